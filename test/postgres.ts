import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';

export { type PrivateServer, startPrivateServer } from './server.ts';

/** A database that one test owns. */
export interface TestDatabase {
  readonly url: string;
  /** Ends its connections and drops it. */
  drop(): Promise<void>;
}

/** A fresh, empty database on the run's server. */
export async function createDatabase(): Promise<TestDatabase> {
  return create(null);
}

/** A fresh database with the current tables, cloned from a template that is migrated once a run. */
export async function createMigratedDatabase(): Promise<TestDatabase> {
  const { url } = await theServer();
  const template = `${inject('postgres').prefix}_template`;
  await withClient(url, async (client) => {
    // Several test files ask at once; the name appears only when the template is complete.
    await client.query('select pg_advisory_lock(hashtext($1))', [template]);
    const { rowCount } = await client.query('select from pg_database where datname = $1', [template]);
    if (rowCount !== 0) return;
    const { migrateToLatest } = await import('../src/store/migrate.ts');
    const draft = await create(null);
    await migrateToLatest(draft.url);
    const name = new URL(draft.url).pathname.slice(1);
    await endSessions(client, name);
    await client.query(`alter database "${name}" rename to "${template}"`);
  });
  return create(template);
}

/** Runs `use` with a connection of its own, closed afterwards. */
export async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url });
  // What is under way fails; an idle one that a test cuts off must not end the run.
  client.on('error', () => {});
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

/** Asks again and again at little cost: a connection costs Postgres more than most questions do. */
export interface Asker {
  query<Row extends Record<string, unknown> = Record<string, unknown>>(
    text: string,
    values?: unknown[],
  ): Promise<Row[]>;
  end(): Promise<void>;
}

/** One connection for all questions to `url`, one after the other; the next one makes it anew once it broke. */
export function createAsker(url: string): Asker {
  let open: Promise<pg.Client> | null = null;
  let turn: Promise<unknown> = Promise.resolve();
  async function connect(): Promise<pg.Client> {
    const client = new pg.Client({ connectionString: url, application_name: 'test' });
    const mine = client.connect().then(() => client);
    open = mine;
    const lost = () => {
      if (open === mine) open = null;
    };
    // A test may take its server away.
    client.on('error', lost).on('end', lost);
    mine.catch(lost);
    return mine;
  }
  return {
    query<Row extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
      const answer = turn.then(async () => (await (await (open ?? connect())).query<Row>(text, values)).rows);
      turn = answer.catch(() => {});
      return answer;
    },
    end: async () => {
      await turn;
      const client = await open?.catch(() => null);
      await client?.end();
    },
  };
}

interface Server {
  readonly url: string;
  /** How databases are made of their template. */
  readonly strategy: string;
}

let server: Promise<Server> | null = null;
let admin: Asker | null = null;

async function askServer(): Promise<Server> {
  const answer = await fetch(inject('postgres').door);
  const url = await answer.text();
  if (!answer.ok) throw new Error(url);
  // Where nothing is written through, files as they are cost half of what the log does, which is the default.
  const strategy = answer.headers.get('x-server') === 'DATABASE_URL' ? '' : ' strategy file_copy';
  return { url, strategy };
}

async function theServer(): Promise<Server> {
  server ??= askServer();
  server.catch(() => {
    server = null;
  });
  return server;
}

/** By way of one connection of the worker's, which lasts as long as the worker. */
async function asAdmin(sql: string): Promise<void> {
  const { url } = await theServer();
  admin ??= createAsker(url);
  await admin.query(sql);
}

async function create(template: string | null): Promise<TestDatabase> {
  const name = `${inject('postgres').prefix}_${randomBytes(5).toString('hex')}`;
  const { url: own, strategy } = await theServer();
  await asAdmin(`create database "${name}" template "${template ?? 'template0'}"${strategy}`);
  const url = new URL(own);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    drop: () => asAdmin(`drop database if exists "${name}" with (force)`),
  };
}

async function endSessions(client: pg.Client, database: string): Promise<void> {
  await client.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [database]);
}
