import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { MIGRATIONS } from '../../migrations/list.ts';
import { MIGRATING_KEY } from '../../src/store/blockers.ts';
import { openStore } from '../../src/store/database.ts';
import { migrateToLatest, pendingMigrations } from '../../src/store/migrate.ts';
import type { QstashEntry } from '../../src/store/schema.ts';
import { createDatabase, createMigratedDatabase, type TestDatabase, withClient } from '../postgres.ts';

const NAMES = Object.keys(MIGRATIONS);
const databases: TestDatabase[] = [];

async function database(make: () => Promise<TestDatabase>): Promise<TestDatabase> {
  const made = await make();
  databases.push(made);
  return made;
}

afterEach(async () => {
  for (const one of databases.splice(0)) await one.drop();
});

async function rows(url: string, text: string): Promise<Record<string, unknown>[]> {
  return withClient(url, async (client) => (await client.query(text)).rows);
}

test('twenty migrations at once on an empty database: each is applied exactly once, and all twenty succeed', async () => {
  const { url } = await database(createDatabase);
  const applied = await Promise.all(Array.from({ length: 20 }, () => migrateToLatest(url)));
  expect(applied.flat().sort()).toEqual([...NAMES].sort());
  expect(await rows(url, 'select name from logkeep.migration order by name')).toEqual(
    NAMES.map((name) => ({ name })),
  );
});

test('a database that is up to date is left alone', async () => {
  const { url } = await database(createMigratedDatabase);
  expect(await migrateToLatest(url)).toEqual([]);
});

test('a process that stalled while it migrated is named to the next one, and holds up nobody who has nothing to do', async () => {
  for (const make of [createDatabase, createMigratedDatabase]) {
    const { url } = await database(make);
    await withClient(url, async (stalled) => {
      await stalled.query(`begin; select pg_advisory_xact_lock(${MIGRATING_KEY})`);
      const migrated = migrateToLatest(url, { lockMs: 200, tries: 2 });
      if (make === createMigratedDatabase) expect(await migrated).toEqual([]);
      else await expect(migrated).rejects.toThrow(/others have them in use: pid \d+ \(.*idle in transaction/);
    });
    expect(await migrateToLatest(url)).toEqual(make === createDatabase ? NAMES : []);
  }
});

test('a database newer than this version is refused, by its migration and with the remedy, and nothing is changed', async () => {
  const { url } = await database(createMigratedDatabase);
  await rows(url, `insert into logkeep.migration (name, timestamp) values ('9999_future', '2030-01-01')`);
  await expect(migrateToLatest(url)).rejects.toMatchObject({
    kind: 'config',
    message: expect.stringMatching(/9999_future.*upgrade logkeep/),
  });
});

test('a migration that fails leaves nothing half done, and the next try goes through', async () => {
  const { url } = await database(createDatabase);
  await rows(url, 'create schema logkeep; create table logkeep.datadog_log ()');
  await expect(migrateToLatest(url)).rejects.toMatchObject({
    kind: 'database',
    message: expect.stringContaining('datadog_log'),
  });
  const left = await rows(
    url,
    `select relname from pg_class where relnamespace = 'logkeep'::regnamespace and relkind in ('r', 'p', 'v') order by 1`,
  );
  expect(left.map(({ relname }) => relname)).toEqual(['datadog_log', 'migration', 'migration_lock']);
  const store = openStore(url);
  expect(await pendingMigrations(store.db)).toEqual(NAMES);
  await store.close();
  await rows(url, 'drop table logkeep.datadog_log');
  expect(await migrateToLatest(url)).toEqual(NAMES);
});

test('a role that owns the database and is no superuser can migrate it', async () => {
  const { url } = await database(createDatabase);
  const name = new URL(url).pathname.slice(1);
  const role = `owner_${name}`;
  await rows(
    url,
    `create role "${role}" login password 'plain'; alter database "${name}" owner to "${role}"`,
  );
  const own = new URL(url);
  own.username = role;
  own.password = 'plain';
  expect(await migrateToLatest(own.href)).toEqual(NAMES);
  await rows(
    url,
    `reassign owned by "${role}" to current_user; drop owned by "${role}"; drop role "${role}"`,
  );
});

test('a message is found by its id alone, in a database of before too, and merges keep their key', async () => {
  const { url } = await database(createMigratedDatabase);
  await rows(
    url,
    `alter table logkeep.qstash_message drop constraint qstash_message_pkey,
      add constraint qstash_message_pkey primary key (stream, message_id);
    insert into logkeep.qstash_message (stream, message_id, state_at, state_id, state_rank, attempts)
    select 'a', 'msg_' || n, now(), gen_random_uuid(), 1, 1 from generate_series(1, 3) n`,
  );
  const store = openStore(url);
  await MIGRATIONS['0011_message_key']?.up(store.db);
  await store.close();
  expect(await rows(url, 'select count(*)::integer from logkeep.qstash_message')).toEqual([{ count: 3 }]);
  // Postgres 18 finds an id behind the stream too, so the plan alone would not tell; those before it do not.
  const keys = `select conname as name, pg_get_constraintdef(oid) as key from pg_constraint
    where conrelid = 'logkeep.qstash_message'::regclass and contype = 'p'`;
  expect(await rows(url, keys)).toEqual([
    { name: 'qstash_message_pkey', key: 'PRIMARY KEY (message_id, stream)' },
  ]);
  const plan = (statement: string) =>
    withClient(url, async (client) => {
      await client.query('set enable_seqscan = off; set enable_bitmapscan = off');
      const found = await client.query<{ 'QUERY PLAN': string }>(`explain (costs off) ${statement}`);
      return found.rows.map((row) => row['QUERY PLAN'].trim());
    });
  expect(await plan(`select state from logkeep.qstash_message where message_id = 'msg_2'`)).toEqual([
    'Index Scan using qstash_message_pkey on qstash_message',
    `Index Cond: (message_id = 'msg_2'::text)`,
  ]);
  expect(
    await plan(
      `insert into logkeep.qstash_message select * from logkeep.qstash_message on conflict (stream, message_id) do nothing`,
    ),
  ).toContain('Conflict Arbiter Indexes: qstash_message_pkey');
});

test('a migration lets others pass, names who is in its way, and goes through once they are done', async () => {
  const { url } = await database(createMigratedDatabase);
  await rows(url, `delete from logkeep.migration where name >= '0011'`);
  await withClient(url, async (reader) => {
    await reader.query(`set application_name = 'a long look'; begin; select from logkeep.qstash_message`);
    const { rows: own } = await reader.query<{ pid: number }>('select pg_backend_pid() as pid');
    const named = expect.stringMatching(
      new RegExp(
        `in use: pid ${own[0]?.pid} \\(a long look of \\w+, idle in transaction for \\d+ s\\); end them`,
      ),
    );
    await expect(migrateToLatest(url, { lockMs: 50, tries: 2 })).rejects.toMatchObject({
      kind: 'database',
      message: named,
    });
    const told: string[] = [];
    const migrating = migrateToLatest(url, { lockMs: 200, onWait: (text) => told.push(text) });
    await expect.poll(() => told).toEqual([named]);
    expect(await rows(url, 'select from logkeep.qstash_message')).toEqual([]);
    await reader.query('commit');
    expect(await migrating).toEqual(NAMES.filter((name) => name >= '0011'));
    expect(told).toHaveLength(1);
  });
});

/** What other tools query, so it stays. */
const PUBLIC: Readonly<Record<string, readonly string[]>> = {
  qstash_log: [
    'time',
    'entry_id',
    'stream',
    'message_id',
    'state',
    'url',
    'error',
    'response_status',
    'next_delivery_time',
    'duration_ms',
    'escaped',
    'ingested_at',
  ],
  qstash_message: [
    'stream',
    'message_id',
    'url',
    'state',
    'created_at',
    'first_active_at',
    'finished_at',
    'attempts',
    'last_error',
    'last_response_status',
  ],
  qstash_entry: [],
  qstash_request: [],
  datadog_log: [
    'timestamp',
    'event_id',
    'id',
    'stream',
    'host',
    'service',
    'status',
    'source',
    'message',
    'tags',
    'attributes',
    'intake_time',
    'escaped',
    'ingested_at',
  ],
  log_entry: ['time', 'stream', 'source', 'id', 'level', 'service', 'message'],
  stream: ['covered', 'settled', 'expired'],
  gap: ['stream', 'kind', 'from_time', 'to_time'],
  sync_window: [],
  run: [],
  quarantine: ['reason', 'raw'],
};

test('every public table, view and column is there, each with a comment', async () => {
  const { url } = await database(createMigratedDatabase);
  const found = await rows(
    url,
    `select c.relname, obj_description(c.oid) as comment, array_agg(a.attname::text) as columns,
      coalesce(array_agg(a.attname::text) filter (where col_description(c.oid, a.attnum) is null), '{}') as silent
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
    where c.relnamespace = 'logkeep'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition group by c.oid`,
  );
  const tables = new Map(found.map((row) => [row.relname as string, row]));
  for (const [name, columns] of Object.entries(PUBLIC)) {
    expect({ name, has: tables.get(name)?.columns }).toEqual({
      name,
      has: expect.arrayContaining([...columns]),
    });
  }
  expect(found.filter(({ comment }) => comment === null).map(({ relname }) => relname)).toEqual([]);
  const silent = found.flatMap(({ relname, silent }) =>
    (silent as string[]).map((column) => `${relname}.${column}`),
  );
  expect(silent).toEqual([]);
});

/** The compiler holds these to be the very names of the type, which is put together from others. */
const ENTRY = {
  stream: 0,
  time: 0,
  entry_id: 0,
  message_id: 0,
  state: 0,
  url: 0,
  error: 0,
  response_status: 0,
  response_headers: 0,
  response_body: 0,
  next_delivery_time: 0,
  duration_ms: 0,
  method: 0,
  header: 0,
  body: 0,
  queue_name: 0,
  schedule_id: 0,
  topic_name: 0,
  endpoint_name: 0,
  callback: 0,
  callback_headers: 0,
  failure_callback: 0,
  failure_callback_headers: 0,
  max_retries: 0,
  timeout_ms: 0,
  retry_delay_expression: 0,
  label: 0,
  labels: 0,
  caller_ip: 0,
  host: 0,
  path: 0,
  flow_control_key: 0,
  parallelism: 0,
  rate: 0,
  period: 0,
  request_extra: 0,
  extra: 0,
  escaped: 0,
  ingested_at: 0,
} satisfies Record<keyof QstashEntry, 0>;

test('the types of the tables name the very columns of each table and view', async () => {
  const { url } = await database(createMigratedDatabase);
  const found = await rows(
    url,
    `select c.relname, array_agg(a.attname::text order by a.attname) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    where c.relnamespace = 'logkeep'::regnamespace and c.relkind in ('r', 'p', 'v') and c.relname !~ '^migration' group by c.oid`,
  );
  const text = ['schema.ts', 'schema-serve.ts']
    .map((file) => readFileSync(join(import.meta.dirname, '../../src/store', file), 'utf8'))
    .join('\n');
  const names = (body: string) => [...body.matchAll(/^ {2}(\w+)\??:/gm)].map((match) => match[1] as string);
  const bodies = new Map(
    [...text.matchAll(/interface (\w+)[^{]*\{\n([\s\S]*?)\n\}/g)].map((match) => [
      match[1] as string,
      match[2] as string,
    ]),
  );
  const declared = [...(bodies.get('Database') ?? '').matchAll(/^ {2}(\w+): (\w+);/gm)].map(
    (match) => [match[1] as string, match[2] as string] as const,
  );
  // The key's columns stand in the list itself.
  expect(declared.length + 1).toBe(found.length);
  for (const [table, type] of declared) {
    const columns = found.find(({ relname }) => relname === table)?.columns;
    const typed = type === 'QstashEntry' ? Object.keys(ENTRY) : names(bodies.get(type) ?? '');
    expect({ table, columns: typed.sort() }).toEqual({ table, columns });
  }
});

test('the gap view shows holes and expired spans of what is asked for, and neither the lag nor settings of old', async () => {
  const { url } = await database(createMigratedDatabase);
  await rows(
    url,
    `insert into logkeep.stream (stream, fingerprint, source, active, asked_from, covered, expired, oversize, retention) values
    ('a', 'now', 'qstash', true, '2026-05-01', '{[2026-05-02,2026-05-03),[2026-05-04,2026-05-05)}', '{[2026-05-01,2026-05-01 12:00)}', '{[2026-05-03 01:00,2026-05-03 02:00)}', '3 d'),
    ('a', 'old', 'qstash', false, '2026-04-01', '{[2026-04-02,2026-04-03)}', '{}', '{}', '3 d'),
    ('b', 'new', 'qstash', true, '2026-05-01', '{}', '{}', '{}', '3 d')`,
  );
  const gaps = await rows(
    url,
    `select stream, kind, to_char(from_time at time zone 'UTC', 'DD HH24') as from, to_char(to_time at time zone 'UTC', 'DD HH24') as to from logkeep.gap order by from_time, kind`,
  );
  expect(gaps).toEqual([
    { stream: 'a', kind: 'expired', from: '01 00', to: '01 12' },
    { stream: 'a', kind: 'hole', from: '01 12', to: '02 00' },
    { stream: 'a', kind: 'hole', from: '03 00', to: '03 01' },
    { stream: 'a', kind: 'oversize', from: '03 01', to: '03 02' },
    { stream: 'a', kind: 'hole', from: '03 02', to: '04 00' },
  ]);
});

test('a redaction key is made with the tables, another one for each database', async () => {
  const [one, other] = [await database(createDatabase), await database(createDatabase)];
  const keys: string[] = [];
  for (const { url } of [one, other]) {
    await migrateToLatest(url);
    keys.push(
      String((await rows(url, `select encode(key, 'hex') as key from logkeep.redaction_key`))[0]?.key),
    );
  }
  expect(keys[0]).toMatch(/^[0-9a-f]{64}$/);
  expect(keys[0]).not.toBe(keys[1]);
});
