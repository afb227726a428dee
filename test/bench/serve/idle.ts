import type pg from 'pg';
import { startSandbox } from '../../../src/sandbox/sandbox.ts';
import type { BenchServer } from '../database.ts';
import { type Line, loadNow, p50, rounded } from '../figures.ts';
import { postgresCpuMs } from '../postgres-cpu.ts';
import { megabytes } from '../run.ts';
import { startServing, usageOf } from './process.ts';

/** What starting left behind is cleared up, and both streams have been read. */
const WARM_MS = 10_000;
const IDLE_MS = 125_000;
const SAMPLE_MS = 5_000;

/**
 * One `serve` at its defaults, both streams set and nothing to copy: its share of a core and its memory, and what its
 * looking costs Postgres.
 */
export async function measureIdle(server: BenchServer): Promise<Line> {
  const database = await server.create('migrated');
  const sandbox = await startSandbox();
  const serving = await startServing({ ...sandbox.env, DATABASE_URL: database.url }, null);
  try {
    await pause(WARM_MS);
    const { client } = database;
    const before = await usageOf(serving.pid);
    const requests = sandbox.requests().length;
    const rss: number[] = [];
    // A page's first change after a checkpoint is logged whole, which the second half is mostly free of.
    await client.query('checkpoint');
    const begin = await costOf(client);
    let half = begin;
    while (performance.now() - begin.atMs < IDLE_MS) {
      await pause(SAMPLE_MS);
      rss.push((await usageOf(serving.pid))?.rssBytes ?? Number.NaN);
      if (half === begin && performance.now() - begin.atMs >= IDLE_MS / 2) half = await costOf(client);
    }
    const end = await costOf(client);
    const after = await usageOf(serving.pid);
    const tookMs = end.atMs - begin.atMs;
    const share = (cpuMs: number | null) => (cpuMs === null ? null : rounded((cpuMs / tookMs) * 100, 2));
    return {
      kind: 'idle',
      seconds: rounded(tookMs / 1000, 0),
      cpu_percent: share(before === null || after === null ? null : after.cpuMs - before.cpuMs),
      rss_median_mb: megabytes(p50(rss)),
      rss_peak_mb: after === null ? null : megabytes(after.peakRssBytes),
      postgres_cpu_percent: share(
        begin.cpuMs === null || end.cpuMs === null ? null : end.cpuMs - begin.cpuMs,
      ),
      transactions_per_s: rounded((end.transactions - begin.transactions) / (tookMs / 1000), 1),
      wal_kb_per_min: rounded((end.walBytes - half.walBytes) / 1024 / ((end.atMs - half.atMs) / 60_000), 0),
      connections: end.connections,
      requests: sandbox.requests().length - requests,
      load: loadNow(),
    };
  } finally {
    await serving.stop();
    await sandbox.close();
    await database.drop();
  }
}

/** What the server has done so far; `connections` are those to this database, but for ours. */
async function costOf(client: pg.Client): Promise<{
  readonly atMs: number;
  readonly cpuMs: number | null;
  readonly walBytes: number;
  readonly transactions: number;
  readonly connections: number;
}> {
  const { rows } = await client.query(
    `select pg_backend_pid() as pid, pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8 as "walBytes",
      (xact_commit + xact_rollback)::float8 as transactions, (numbackends - 1)::integer as connections
    from pg_stat_database where datname = current_database()`,
  );
  const { pid, ...told } = rows[0];
  return { ...told, cpuMs: await postgresCpuMs(pid), atMs: performance.now() };
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
