import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/cli/finding.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { SUPERUSER } from '../../src/store/cluster.ts';
import { migrateToLatest } from '../../src/store/migrate.ts';
import { type PrivateServer, startPrivateServer, withClient } from '../postgres.ts';
import { createDesk, type Desk, writeSmallHistory } from './child.ts';

// Roles belong to a whole server: one of our own.
let server: PrivateServer;
let sandbox: Sandbox;
let desk: Desk;
let database = 'postgres';
let made = 0;

beforeAll(async () => {
  server = await startPrivateServer();
  await sql('create role worker login', 'create role keeper');
});
afterAll(() => server.stop());
beforeEach(async () => {
  sandbox = await startSandbox();
  await withClient(server.url, (client) => client.query(`create database logs_${++made}`));
  database = `logs_${made}`;
  await migrateToLatest(urlOf());
  await sql(`grant create on database ${database} to worker`);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: urlOf('worker') });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
});

function urlOf(user?: string): string {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  if (user !== undefined) url.username = user;
  return url.href;
}

/** Statements of the superuser. */
async function sql(...statements: readonly string[]): Promise<void> {
  await withClient(urlOf(), async (client) => {
    for (const one of statements) await client.query(one);
  });
}

async function check(): Promise<{ code: number | null; found: readonly Finding[] }> {
  const { code, out } = await desk.runHere('check --json');
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] };
  return { code, found: findings.filter(({ subject, level }) => subject === 'database' && level !== 'ok') };
}

/** What the remedies say, done by the superuser; then all is well, and a sync stores both logs. */
async function follow(found: readonly Finding[]): Promise<void> {
  for (const { remedy } of found) await sql(remedy ?? '');
  expect(await check()).toEqual({ code: 0, found: [] });
  const shown = writeSmallHistory(sandbox, 20, 50);
  const { code, out, err } = await desk.runHere('sync');
  expect([code, err]).toEqual([0, expect.not.stringContaining('denied')]);
  expect(out).toContain(`${shown.qstash} new entries`);
  expect(out).toContain(`${shown.datadog} new entries`);
}

const texts = (found: readonly Finding[]) =>
  found.map((one) => `${one.level}: ${one.found} => ${one.remedy}`);
const WRITE = 'grant select, insert, update, delete on all tables in schema logkeep to worker';
const OWNED =
  'alter table logkeep.datadog_log owner to "worker"; alter table logkeep.qstash_log owner to "worker"';

describe('check asks whether the role may do what a sync does', () => {
  it('a role that may only read lacks the tables, the schema and the partitioned tables', async () => {
    await sql(
      'grant usage on schema logkeep to worker',
      'grant select on all tables in schema logkeep to worker',
    );
    expect((await desk.runHere('sync')).code).toBe(1);
    const { code, found } = await check();
    expect(code).toBe(1);
    expect(texts(found)).toEqual([
      expect.stringMatching(
        /^trouble: worker may not insert into, update and delete from all tables of the schema logkeep \(not alert, backfill, datadog_log and \d+ more\) => grant select, insert, update, delete on all tables in schema logkeep to "worker"$/,
      ),
      'trouble: worker may not create the partitions of new days: it may not create in the schema logkeep => grant create on schema logkeep to "worker"',
      `trouble: worker may not create the partitions of new days: datadog_log and qstash_log are ${SUPERUSER}'s => ${OWNED}`,
    ]);
    await follow(found);
  });

  it('a role that may write, but make no partition, is told of by the owner whose role it can be given', async () => {
    await sql(
      'alter table logkeep.datadog_log owner to keeper',
      'alter table logkeep.qstash_log owner to keeper',
      'grant usage, create on schema logkeep to worker',
      WRITE,
    );
    const { code, found } = await check();
    expect(code).toBe(1);
    expect(texts(found)).toEqual([
      'trouble: worker may not create the partitions of new days: datadog_log and qstash_log are keeper\'s => grant "keeper" to "worker"',
    ]);
    await follow(found);
    await sql('revoke keeper from worker');
  });

  it('a role that may not even look into the schema is told all that it lacks at once', async () => {
    await sql('revoke execute on all functions in schema logkeep from public');
    const { code, found } = await check();
    expect(code).toBe(1);
    expect(found.map(({ remedy }) => remedy)).toEqual([
      'grant usage on schema logkeep to "worker"',
      'grant select, insert, update, delete on all tables in schema logkeep to "worker"',
      'grant execute on all functions in schema logkeep to "worker"',
      'grant create on schema logkeep to "worker"',
      OWNED,
    ]);
    await follow(found);
  });

  it('a role whose transactions are read-only is told how to have others', async () => {
    await sql(
      'grant usage, create on schema logkeep to worker',
      WRITE,
      OWNED,
      `alter database ${database} set default_transaction_read_only = on`,
    );
    const { code, found } = await check();
    expect(code).toBe(1);
    expect(texts(found)).toEqual([
      `trouble: DATABASE_URL: transactions of worker are read-only (default_transaction_read_only) => alter role "worker" in database "${database}" set default_transaction_read_only = off`,
    ]);
    // The superuser's own transactions are read-only there too.
    await sql('set default_transaction_read_only = off', found[0]?.remedy ?? '');
    await follow([]);
  });

  it('a role that owns nothing cannot bring the tables of an earlier version up to date', async () => {
    await sql(
      'grant usage, create on schema logkeep to worker',
      WRITE,
      OWNED,
      'delete from logkeep.migration where name = (select max(name) from logkeep.migration)',
    );
    const { code, found } = await check();
    expect(code).toBe(1);
    expect(texts(found)).toContainEqual(
      expect.stringMatching(
        /^trouble: worker may not migrate the tables \(\d{4}_\w+\): they are owned by logkeep => run `logkeep migrate` as logkeep$/,
      ),
    );
  });

  it('the grants of docs/settings.md are all it takes, and hold for the tables of a later version', async () => {
    const settings = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8');
    const [, grants = ''] = /```sql\n(grant temporary [^`]*)```/.exec(settings) ?? [];
    await sql(
      `revoke create on database ${database} from worker`,
      'alter schema logkeep owner to keeper',
      `do $$ declare one regclass; begin
        for one in select oid from pg_class
          where relnamespace = 'logkeep'::regnamespace and relkind in ('r', 'p', 'v')
        loop execute format('alter table %s owner to keeper', one); end loop;
      end $$`,
      // Of the two ways to partitions the one that gives the role nothing else of the owner's.
      grants.replaceAll('database logs', `database ${database}`).replace('grant keeper to worker', OWNED),
      'set role keeper; create table logkeep.later (n integer)',
    );
    expect(await check()).toEqual({ code: 0, found: [] });
  });

  it('the schema of the queue, which only serve and run need, is a note where it is not there yet', async () => {
    await sql(`revoke create on database ${database} from worker`);
    await sql('grant usage, create on schema logkeep to worker', WRITE, OWNED);
    const { code, found } = await check();
    expect(code).toBe(0);
    expect(texts(found)).toEqual([
      `note: worker may not create the schema logkeep_job, the queue of \`logkeep serve\` and \`logkeep run\` => grant create on database "${database}" to "worker"`,
    ]);
    const denied = expect.stringMatching(
      new RegExp(
        `^logkeep: prepare the job queue: DATABASE_URL \\(\\S+/${database}\\): permission denied for database ${database} \\(as the owner of the database: ${found[0]?.remedy}\\)\n$`,
      ),
    );
    expect(await desk.runHere('run trim')).toMatchObject({ code: 1, err: denied });
    for (const { remedy } of found) await sql(remedy ?? '');
    expect(await check()).toEqual({ code: 0, found: [] });
    expect((await desk.runHere('run trim')).code).toBe(0);
  });

  it('the tables of the queue, which only serve and run need, are a note', async () => {
    await sql('grant usage, create on schema logkeep to worker', WRITE, OWNED);
    await sql('create schema logkeep_job', 'create table logkeep_job.job (id integer)');
    const { code, found } = await check();
    expect(code).toBe(0);
    expect(texts(found)).toEqual([
      'note: worker may not work on the queue of `logkeep serve` and `logkeep run` (schema logkeep_job) => grant usage on schema logkeep_job to "worker"; grant select, insert, update, delete on all tables in schema logkeep_job to "worker"',
    ]);
  });
});
