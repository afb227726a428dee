import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { silentLog } from '../../src/log.ts';
import { openEmbedded } from '../../src/store/embedded.ts';
import { migrateToLatest } from '../../src/store/migrate.ts';
import { postgresCpuMs } from './postgres-cpu.ts';

/** An embedded Postgres for the bench alone, in a temporary folder. */
export interface BenchServer {
  /** A folder that this process and the server's user can both write. */
  readonly exchange: string;
  /** A fresh database: with logkeep's tables, or empty. */
  create(tables: 'migrated' | 'empty'): Promise<BenchDatabase>;
  close(): Promise<void>;
}

/** One database of the bench; its connection is the superuser's. */
export interface BenchDatabase {
  readonly url: string;
  readonly client: pg.Client;
  drop(): Promise<void>;
}

/** Starts the server with the settings that every user of the embedded Postgres gets. */
export async function openBenchServer(): Promise<BenchServer> {
  const folder = await mkdtemp(join(tmpdir(), 'logkeep-bench-'));
  await chmod(folder, 0o711);
  const exchange = await mkdtemp(join(folder, 'exchange-'));
  await chmod(exchange, 0o777);
  const server = await openEmbedded({ dir: join(folder, 'postgres'), log: silentLog });
  const admin = await connect(server.url);
  let count = 0;
  const make = async (template: string): Promise<BenchDatabase> => {
    const name = `bench_${++count}`;
    await admin.query(`create database ${name} template ${template}`);
    const url = new URL(server.url);
    url.pathname = `/${name}`;
    const client = await connect(url.href);
    return {
      url: url.href,
      client,
      async drop() {
        await client.end();
        await admin.query(`drop database ${name} with (force)`);
      },
    };
  };
  const template = await make('template0');
  await migrateToLatest(template.url);
  await template.client.end();
  return {
    exchange,
    create: (tables) => make(tables === 'migrated' ? 'bench_1' : 'template0'),
    async close() {
      await admin.end();
      await server.release();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** The server's version and the settings that its configuration file or its command line gives. */
export async function describeServer(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query(
    `select name, current_setting(name) as value from pg_settings
    where name in ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'shared_buffers',
      'max_wal_size', 'wal_level', 'jit', 'autovacuum', 'wal_compression') order by name`,
  );
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]));
}

/** What a piece of work cost the server. */
export interface ServerCost {
  readonly walBytes: number;
  /** User and system time of all the server's processes; null where the system does not tell. */
  readonly postgresCpuMs: number | null;
}

/** Runs `work` from a fresh checkpoint; also returns what it cost the server. */
export async function measureWork<T>(
  client: pg.Client,
  work: () => Promise<T>,
): Promise<ServerCost & { readonly result: T }> {
  await client.query('checkpoint');
  const { rows: before } = await client.query(
    'select pg_current_wal_insert_lsn() as lsn, pg_backend_pid() as pid',
  );
  const { lsn, pid } = before[0];
  const cpuBefore = await postgresCpuMs(pid);
  const result = await work();
  const cpuAfter = await postgresCpuMs(pid);
  const { rows: after } = await client.query(
    'select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), $1)::float8 as bytes',
    [lsn],
  );
  const known = cpuBefore !== null && cpuAfter !== null;
  return { result, walBytes: after[0].bytes, postgresCpuMs: known ? cpuAfter - cpuBefore : null };
}

/** Bytes on disk of the tables whose names begin with `prefix`, with their indexes and TOAST. */
export async function diskBytes(client: pg.Client, prefix: string): Promise<number> {
  const { rows } = await client.query(
    `select coalesce(sum(pg_total_relation_size(oid)), 0)::float8 as bytes from pg_class
    where relkind = 'r' and relnamespace = 'logkeep'::regnamespace and starts_with(relname, $1)`,
    [prefix],
  );
  return rows[0].bytes;
}

async function connect(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  // After a failure the server stops before all connections are closed: the failure is what is to be seen.
  client.on('error', () => {});
  await client.connect();
  return client;
}
