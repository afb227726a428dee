import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { run } from '../../src/cli/check.ts';
import type { Finding } from '../../src/cli/finding.ts';
import { systemClock } from '../../src/clock.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { migrateToLatest } from '../../src/store/migrate.ts';
import { type PrivateServer, startPrivateServer, withClient } from '../postgres.ts';

// Roles belong to a whole server, and this one ends as a standby: one of our own.
let server: PrivateServer;
let sandbox: Sandbox;

beforeAll(async () => {
  server = await startPrivateServer();
  await migrateToLatest(server.url);
});
afterAll(() => server.stop());
beforeEach(async () => {
  sandbox = await startSandbox();
});
afterEach(() => sandbox.close());

/** What `check` finds wrong at this address, each with its remedy; its exit code is 1 where it finds anything. */
async function troubles(url: string): Promise<readonly string[]> {
  let out = '';
  const code = await run(
    { config: null, logLevel: null, stream: [], json: true },
    {
      env: { ...sandbox.env, DATABASE_URL: url },
      cwd: '/nonexistent',
      stdout: { write: (text) => (out += text) },
      stderr: { write: () => undefined },
      signal: new AbortController().signal,
      isTty: false,
      clock: systemClock,
    },
  );
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] };
  const found = findings.filter(({ level }) => level === 'trouble');
  expect(code).toBe(found.length === 0 ? 0 : 1);
  return found.map(({ subject, found, remedy }) => `${subject}: ${found} => ${remedy}`);
}

/** Statements of the superuser in `database`. */
async function sql(database: string, ...statements: readonly string[]): Promise<void> {
  const url = new URL(server.url);
  url.pathname = `/${database}`;
  await withClient(url.href, async (client) => {
    for (const one of statements) await client.query(one);
  });
}

test('a role that may not create temporary tables is trouble, and the remedy is the grant that it lacks', async () => {
  await sql(
    'postgres',
    'create role worker login',
    'revoke temporary on database postgres from public',
    'alter schema logkeep owner to worker',
    'grant usage on schema logkeep to worker',
  );
  const url = new URL(server.url);
  url.username = 'worker';
  const found = await troubles(url.href);
  expect(found).toEqual([
    'database: DATABASE_URL: worker may not create temporary tables => grant temporary on database "postgres" to "worker"',
  ]);
  await sql('postgres', found[0]?.split(' => ')[1] ?? '');
  expect((await troubles(url.href)).filter((one) => one.includes('temporary'))).toEqual([]);
});

test('a Postgres older than 15 is trouble', async () => {
  await sql('postgres', 'create database ancient');
  // Asked for its version, this database tells that of an older server.
  await sql(
    'ancient',
    'create schema old',
    `create function old.current_setting(name text) returns text language sql as $$
      select case name when 'server_version_num' then '140012' when 'server_version' then '14.12 (Debian 14.12-1)'
        else pg_catalog.current_setting(name) end $$`,
    'alter database ancient set search_path = old, pg_catalog',
  );
  const url = new URL(server.url);
  url.pathname = '/ancient';
  expect(await troubles(url.href)).toEqual([
    'database: DATABASE_URL: Postgres 14.12 (Debian 14.12-1) => logkeep needs Postgres 15 or newer',
  ]);
});

test.each(['qstash', 'datadog'] as const)(
  'an API (%s) whose answers tell no Date is trouble: there is no clock to claim by',
  async (api) => {
    sandbox.faults.every(1, { kind: 'no_date' }, api);
    expect(await troubles(server.url)).toEqual([
      `${api}.main: its answers have no Date header, which tells logkeep how far it may claim to have read => check the address and any proxy in between: the API itself sends one`,
    ]);
  },
);

test('a standby is trouble: it takes no writes', async () => {
  expect(await troubles(server.url)).toEqual([]);
  const folder = await withClient(server.url, (client) =>
    client.query<{ data_directory: string }>('show data_directory'),
  );
  writeFileSync(join(folder.rows[0]?.data_directory ?? '', 'standby.signal'), '');
  await server.restart('fast');
  expect(await troubles(server.url)).toEqual([
    'database: DATABASE_URL: a standby, which accepts no writes => use the address of its primary',
  ]);
});
