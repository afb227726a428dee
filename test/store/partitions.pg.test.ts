import { afterEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import { withClient } from '../../src/store/connection.ts';
import { openStore } from '../../src/store/database.ts';
import { Partitions } from '../../src/store/partitions.ts';
import { createMigratedDatabase } from '../postgres.ts';
import { difference, NO_DIFFERENCE, onceEach, storedQstash } from '../stored.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** The day before the one of START, most of which a first read asks for. */
const BEFORE = { from: START - 20 * HOUR, to: Math.floor(START / DAY) * DAY };
const OLD_DAY = 'qstash_log_20260519';
let world: World | null = null;
let app: App | null = null;

afterEach(async () => {
  await app?.close();
  await world?.close();
  [app, world] = [null, null];
});

async function synced(): Promise<{ readonly world: World; readonly app: App }> {
  const made = await createWorld({
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } } },
    settings: { pageSize: 20 },
    wrap: pageIsBatch,
  });
  world = made;
  made.sandbox.qstash.history({ from: BEFORE.from, to: START - 120_000, messages: 60 });
  const opened = await made.open();
  app = opened;
  expect(await again(opened)).toEqual([null]);
  return { world: made, app: opened };
}

/** Reads the day before once more, in a process that lives on; gives what went wrong with each stream. */
async function again(opened: App): Promise<readonly (string | null)[]> {
  const signal = new AbortController().signal;
  const ask = { since: null, untilMs: null, again: BEFORE, signal, mayRequest: () => true, watch: () => {} };
  return (await syncStreams(opened, ask)).map(({ error }) => error?.message ?? null);
}

async function expectAll({ query, sandbox }: World): Promise<void> {
  const truth = onceEach(sandbox.qstash.truth({ visibleAt: START }));
  expect(difference(await storedQstash({ query }), truth)).toEqual(NO_DIFFERENCE);
}

test('I1: a process that lives on stores the entries of a day again whose partition was dropped', async () => {
  const { world, app } = await synced();
  await world.query(`drop table logkeep.${OLD_DAY}`);
  expect(await again(app)).toEqual([null]);
  await expectAll(world);
});

test('I1: a day whose partition was detached gets another one, and what was detached is left alone', async () => {
  const { world, app } = await synced();
  await world.query(`alter table logkeep.qstash_log detach partition logkeep.${OLD_DAY}`);
  const rows = `select count(*)::integer as n, max(xmin::text::bigint) as last from logkeep.${OLD_DAY}`;
  const kept = await world.query(rows);
  expect(await again(app)).toEqual([null]);
  await expectAll(world);
  const parents = await world.query(
    `select c.relname as name from pg_inherits join pg_class c on c.oid = inhrelid
      where inhparent = 'logkeep.qstash_log'::regclass order by 1`,
  );
  expect(parents.map(({ name }) => name)).toEqual([`${OLD_DAY}_2`, 'qstash_log_20260520']);
  expect(await world.query(rows)).toEqual(kept);
});

test('entries that are known are told from new ones in a partition of any name', async () => {
  const { world, app } = await synced();
  await world.query(
    `alter table logkeep.qstash_log detach partition logkeep.${OLD_DAY};
    alter table logkeep.qstash_log detach partition logkeep.qstash_log_20260520;
    create table logkeep.other partition of logkeep.qstash_log default`,
  );
  await world.query(`insert into logkeep.qstash_log select * from logkeep.${OLD_DAY} order by time limit 40`);
  // The newest come first and are new, so the older ones are taken to be new too.
  expect(await again(app)).toEqual([null]);
  const [left] = await world.query(
    `select count(*)::integer as n from logkeep.${OLD_DAY} o where not exists
      (select from logkeep.other where (time, entry_id) = (o.time, o.entry_id))`,
  );
  expect(left).toEqual({ n: 0 });
});

/** The partitions there are once a day has its place, beside what `made` made. */
async function placesOf(made: string): Promise<readonly string[]> {
  const database = await createMigratedDatabase();
  const store = openStore(database.url);
  try {
    await store.pool.query(`set timezone = 'Asia/Kolkata'; set datestyle = 'sql, dmy'; ${made}`);
    // One connection alone, so that its settings are those of whoever asks.
    await new Partitions(store.pool).ensure('qstash_log', [START]);
    await new Partitions(store.pool).ensure('qstash_log', [START, START + 1]);
    await store.pool.query('set timezone = utc; set datestyle = iso');
    await store.pool.query(
      `insert into logkeep.qstash_log (stream, time, entry_id, message_id, ingested_at, escaped)
        select 's', to_timestamp($1 / 1000.0) + n * interval '1 hour', gen_random_uuid(), 'm', now(), false from generate_series(0, 23) n`,
      [Math.floor(START / DAY) * DAY],
    );
    const { rows } = await store.pool.query<{ said: string }>(
      `select c.relname || ' ' || replace(pg_get_expr(c.relpartbound, c.oid), 'FOR VALUES ', '') as said
        from pg_inherits join pg_class c on c.oid = inhrelid where inhparent = 'logkeep.qstash_log'::regclass order by 1`,
    );
    return rows.map(({ said }) => said);
  } finally {
    await store.close();
    await database.drop();
  }
}

const DAY_NAME = 'qstash_log_20260520';
const whole = (name: string) => `${name} FROM ('2026-05-20 00:00:00+00') TO ('2026-05-21 00:00:00+00')`;
const stray = (time: string) =>
  `insert into logkeep.qstash_log (stream, time, entry_id, message_id, ingested_at, escaped)
    values ('x', '${time}', gen_random_uuid(), 'm', now(), false)`;
const part = (name: string, bounds: string) =>
  `create table logkeep.${name} partition of logkeep.qstash_log ${bounds}`;

test.each([
  ['nothing else', '', [whole(DAY_NAME)]],
  ['a table of its name', `create table logkeep.${DAY_NAME} (x int)`, [whole(`${DAY_NAME}_2`)]],
  [
    'two tables of its name',
    `create table logkeep.${DAY_NAME} (x int); create view logkeep.${DAY_NAME}_2 as select 1 as x`,
    [whole(`${DAY_NAME}_3`)],
  ],
  [
    'a wider partition',
    part('wide', "for values from ('2026-05-01Z') to ('2026-06-01Z')"),
    ["wide FROM ('2026-05-01 00:00:00+00') TO ('2026-06-01 00:00:00+00')"],
  ],
  [
    'partitions without an end',
    `${part('old', "for values from (minvalue) to ('2026-05-20 12:00Z')")};
      ${part('young', "for values from ('2026-05-20 12:00Z') to (maxvalue)")}`,
    [
      "old FROM (MINVALUE) TO ('2026-05-20 12:00:00+00')",
      "young FROM ('2026-05-20 12:00:00+00') TO (MAXVALUE)",
    ],
  ],
  [
    'a partition of some of its hours',
    part('hours', "for values from ('2026-05-20 06:00Z') to ('2026-05-20 07:30Z')"),
    [
      "hours FROM ('2026-05-20 06:00:00+00') TO ('2026-05-20 07:30:00+00')",
      `${DAY_NAME} FROM ('2026-05-20 00:00:00+00') TO ('2026-05-20 06:00:00+00')`,
      `${DAY_NAME}_2 FROM ('2026-05-20 07:30:00+00') TO ('2026-05-21 00:00:00+00')`,
    ],
  ],
  [
    'a default partition that has rows of it',
    `${part('rest', 'default')}; ${stray('2026-05-20 03:00Z')}`,
    ['rest DEFAULT'],
  ],
  [
    'a default partition with rows of another day',
    `${part('rest', 'default')}; ${stray('2026-05-19 23:59Z')}`,
    [whole(DAY_NAME), 'rest DEFAULT'],
  ],
])('a day beside %s has a place for each of its hours', async (_, made, places) => {
  expect(await placesOf(made)).toEqual(places);
});

test('while a partition is being detached its day waits, with the remedy, and other days do not', async () => {
  const database = await createMigratedDatabase();
  const store = openStore(database.url);
  try {
    const partitions = new Partitions(store.pool);
    await partitions.ensure('qstash_log', [START]);
    const detaching = `alter table logkeep.qstash_log detach partition logkeep.${DAY_NAME}`;
    // Whoever reads holds it up; broken off, it stays half done.
    await withClient(store.pool, async (reader) => {
      await reader.query('begin; select from logkeep.qstash_log');
      await withClient(store.pool, async (client) => {
        await client.query("set statement_timeout = '300ms'");
        await expect(client.query(`${detaching} concurrently`)).rejects.toThrow('statement timeout');
        await client.query('reset statement_timeout');
      });
      await reader.query('rollback');
    });
    partitions.forget();
    await partitions.ensure('qstash_log', [START + DAY]);
    await expect(partitions.ensure('qstash_log', [START])).rejects.toMatchObject({
      kind: 'database',
      message: expect.stringMatching(/2026-05-20 is being detached.* finalize/),
    });
    await store.pool.query(`${detaching} finalize`);
    await partitions.ensure('qstash_log', [START]);
    const { rows } = await store.pool.query(
      `select to_regclass('logkeep.${DAY_NAME}_2') is not null as made`,
    );
    expect(rows).toEqual([{ made: true }]);
  } finally {
    await store.close();
    await database.drop();
  }
});
