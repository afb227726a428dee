import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/cli/finding.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { migrateToLatest } from '../../src/store/migrate.ts';
import { type PrivateServer, startPrivateServer, withClient } from '../postgres.ts';
import { createDesk, type Desk, writeSmallHistory } from './child.ts';

// Roles belong to a whole server: one of our own.
let server: PrivateServer;
let sandbox: Sandbox;
let desk: Desk;

beforeAll(async () => {
  server = await startPrivateServer();
  await sql('postgres', 'create database logs', 'create role "no-right" login');
  await sql('postgres', "create role walled login password 'another-word'");
  const { rows } = await withClient(server.url, (client) => client.query('show hba_file'));
  const { hba_file: file } = rows[0] as { hba_file: string };
  writeFileSync(file, `host all walled all scram-sha-256\n${readFileSync(file, 'utf8')}`);
  await sql('postgres', 'select pg_reload_conf()');
});
afterAll(() => server.stop());
beforeEach(async () => {
  sandbox = await startSandbox();
  desk = createDesk(sandbox.env);
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
});

/** An address on the server, and where it leads as messages name it. */
function address(parts: {
  user?: string;
  password?: string;
  database?: string;
  port?: string;
  query?: string;
}) {
  const url = new URL(server.url);
  url.pathname = `/${parts.database ?? 'logs'}`;
  if (parts.user !== undefined) url.username = parts.user;
  if (parts.password !== undefined) url.password = parts.password;
  if (parts.port !== undefined) url.port = parts.port;
  url.search = parts.query ?? '';
  return { url: url.href, at: `${url.host}${url.pathname}` };
}

/** Statements of the superuser in `database`. */
async function sql(database: string, ...statements: readonly string[]): Promise<void> {
  await withClient(address({ database }).url, async (client) => {
    for (const one of statements) await client.query(one);
  });
}

/** What `sync` says on stderr, and what `check` finds of the database, at this address. */
async function said(url: string): Promise<{ sync: string; check: string }> {
  const [sync, check] = [
    await desk.runHere('sync', { DATABASE_URL: url }),
    await desk.runHere('check --json', { DATABASE_URL: url }),
  ];
  expect([sync.code, check.code]).toEqual([1, 1]);
  const { findings } = JSON.parse(check.out) as { findings: readonly Finding[] };
  const troubles = findings.filter(({ subject, level }) => subject === 'database' && level === 'trouble');
  expect(sync.err + check.out + check.err).not.toMatch(/hidden-word/);
  return { sync: sync.err, check: troubles.map(({ found, remedy }) => `${found} (${remedy})`).join('\n') };
}

describe('a failure of the database names the place and the remedy, in sync as in check', () => {
  it('where nobody listens: the variable, host, port and database; start it or correct them', async () => {
    const { url, at } = address({ user: 'app', password: 'hidden-word', port: '1' });
    const what = `DATABASE_URL (${at}): connect ECONNREFUSED 127.0.0.1:1 (start Postgres there, or correct host and port in DATABASE_URL; a firewall may also be in between)`;
    expect(await said(url)).toEqual({
      sync: `logkeep: open the database: ${what}\n`,
      check: `connect: ${what}`,
    });
  });

  it('a setting of the file is named as one', async () => {
    const { url, at } = address({ port: '1' });
    writeFileSync(join(desk.cwd, 'logkeep.yaml'), `database_url: ${url}\n`);
    const { err } = await desk.runHere('sync');
    expect(err).toContain(
      `logkeep: open the database: logkeep.yaml: database_url (${at}): connect ECONNREFUSED`,
    );
    expect(err).toContain('correct host and port in logkeep.yaml: database_url');
    const check = await desk.runHere('check --json');
    expect(check.out).toContain(`connect: logkeep.yaml: database_url (${at}): connect ECONNREFUSED`);
  });

  it('a password that is refused: where it is set, and how its characters are written', async () => {
    const { url, at } = address({ user: 'walled', password: 'hidden-word' });
    const what = `DATABASE_URL (${at}): password authentication failed for user "walled" (correct user and password in DATABASE_URL: special characters of the password are percent-encoded there (@ is %40, # is %23, / is %2F, % is %25))`;
    expect(await said(url)).toEqual({
      sync: `logkeep: open the database: ${what}\n`,
      check: `connect: ${what}`,
    });
  });

  it('a database that is not there: create it, or correct its name', async () => {
    const { url, at } = address({ database: 'absent' });
    const what = `DATABASE_URL (${at}): database "absent" does not exist (create database "absent", or correct its name in DATABASE_URL)`;
    expect(await said(url)).toEqual({
      sync: `logkeep: open the database: ${what}\n`,
      check: `connect: ${what}`,
    });
  });

  it('TLS that the server does not have: sslmode', async () => {
    const { url, at } = address({ query: 'sslmode=require' });
    const what = `DATABASE_URL (${at}): The server does not support SSL connections (set sslmode=disable in DATABASE_URL where the network to the server can be trusted, or turn TLS on there (ssl = on))`;
    expect(await said(url)).toEqual({
      sync: `logkeep: open the database: ${what}\n`,
      check: `connect: ${what}`,
    });
  });

  it('a role that may not create the schema: the grant, which cures it', async () => {
    const { url, at } = address({ user: 'no-right' });
    const grant = 'grant create on database "logs" to "no-right"';
    expect(await said(url)).toEqual({
      sync: `logkeep: migrate: DATABASE_URL (${at}): permission denied for database logs (as the owner of the database: ${grant})\n`,
      check: `DATABASE_URL: no-right may not create the schema logkeep (${grant})`,
    });
    await sql('logs', grant);
    expect((await desk.runHere('migrate', { DATABASE_URL: url })).code).toBe(0);
    await sql('logs', 'drop schema logkeep cascade', 'revoke create on database logs from "no-right"');
  });

  it('a schema that was made for the role spares it no right: the same grant, for the tables and for the queue', async () => {
    const { url } = address({ user: 'no-right' });
    const grant = 'grant create on database "logs" to "no-right"';
    await sql('logs', 'create schema logkeep authorization "no-right"');
    const { sync, check } = await said(url);
    expect(sync).toContain(`permission denied for database logs (as the owner of the database: ${grant})`);
    expect(check).toBe(`DATABASE_URL: no-right may not create the schema logkeep (${grant})`);
    await sql('logs', grant, 'create schema logkeep_job authorization "no-right"');
    expect((await desk.runHere('migrate', { DATABASE_URL: url })).code).toBe(0);
    await sql('logs', 'revoke create on database logs from "no-right"');
    expect((await desk.runHere('run trim', { DATABASE_URL: url })).err).toContain(grant);
    expect((await desk.runHere('check', { DATABASE_URL: url })).err).toContain(grant);
    await sql('logs', grant);
    expect((await desk.runHere('run trim', { DATABASE_URL: url })).code).toBe(0);
    await sql(
      'logs',
      'drop schema logkeep, logkeep_job cascade',
      'revoke create on database logs from "no-right"',
    );
  });

  describe('a role that is set to', () => {
    beforeEach(() => migrateToLatest(address({}).url));
    afterEach(() =>
      sql('logs', WRITABLE, `alter role ${role()} in database logs reset all`, 'drop schema logkeep cascade'),
    );

    /** What a sync of one stream says with the role `set`; done by the superuser, its remedy (the last group of `says`) cures it. */
    async function follow(set: string, says: RegExp): Promise<void> {
      const { url, at } = address({});
      await sql('logs', `alter role ${role()} in database logs set ${set}`);
      writeSmallHistory(sandbox, 0, 20);
      const { code, err } = await desk.runHere('sync --stream datadog.main', { DATABASE_URL: url });
      expect([code, err]).toEqual([1, expect.stringMatching(says)]);
      const [, where, remedy = ''] = says.exec(err) ?? [];
      expect(where).toBe(at);
      await sql('logs', WRITABLE, remedy);
      expect((await desk.runHere('sync --stream datadog.main', { DATABASE_URL: url })).code).toBe(0);
    }

    it('too short a statement_timeout', async () => {
      // Whatever else a run asks is quick enough.
      await sql(
        'logs',
        'create function logkeep.slowly() returns trigger language plpgsql as $$ begin perform pg_sleep(1); return null; end $$',
        'create trigger slowly after insert on logkeep.datadog_log for each statement execute function logkeep.slowly()',
      );
      await follow(
        "statement_timeout = '700ms'",
        /^logkeep: datadog\.main: commit a batch of \d+ entries: DATABASE_URL \((.*)\): canceling statement due to statement timeout \(where it is the role's statement_timeout, (alter role "\w+" in database "logs" set statement_timeout = 0); where somebody cancelled it, run it again\)$/m,
      );
    });

    it('transactions that only read', async () => {
      await follow(
        'default_transaction_read_only = on',
        /DATABASE_URL \((.*)\): cannot execute \w+ in a read-only transaction \(on a primary, (alter role "\w+" in database "logs" set default_transaction_read_only = off); where it is a standby, use the address of its primary in DATABASE_URL\)$/m,
      );
    });
  });
});

/** The superuser's own transactions are read-only too while the role is set so. */
const WRITABLE = 'set default_transaction_read_only = off';

function role(): string {
  return new URL(server.url).username;
}
