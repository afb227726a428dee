import { startSandbox } from '../../../src/sandbox/sandbox.ts';
import { type BenchServer, measureWork } from '../database.ts';
import { megabytes } from '../run.ts';
import { type Line, loadNow, p50, rounded } from './figures.ts';
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
    const before = await usageOf(serving.pid);
    const transactions = await transactionsOf(database.client);
    const requests = sandbox.requests().length;
    const startedMs = performance.now();
    const rss: number[] = [];
    const { walBytes, postgresCpuMs } = await measureWork(database.client, async () => {
      while (performance.now() - startedMs < IDLE_MS) {
        await pause(SAMPLE_MS);
        rss.push((await usageOf(serving.pid))?.rssBytes ?? Number.NaN);
      }
    });
    const tookMs = performance.now() - startedMs;
    const after = await usageOf(serving.pid);
    const share = (cpuMs: number | null) => (cpuMs === null ? null : rounded((cpuMs / tookMs) * 100, 2));
    return {
      kind: 'idle',
      seconds: rounded(tookMs / 1000, 0),
      cpu_percent: share(before === null || after === null ? null : after.cpuMs - before.cpuMs),
      rss_median_mb: megabytes(p50(rss)),
      rss_peak_mb: after === null ? null : megabytes(after.peakRssBytes),
      postgres_cpu_percent: share(postgresCpuMs),
      transactions_per_s: rounded(
        ((await transactionsOf(database.client)) - transactions) / (tookMs / 1000),
        1,
      ),
      wal_mb_per_day: megabytes((walBytes * 86_400_000) / tookMs),
      requests: sandbox.requests().length - requests,
      load: loadNow(),
    };
  } finally {
    await serving.stop();
    await sandbox.close();
    await database.drop();
  }
}

async function transactionsOf(client: Parameters<typeof measureWork>[0]): Promise<number> {
  const { rows } = await client.query(
    `select (xact_commit + xact_rollback)::float8 as n from pg_stat_database where datname = current_database()`,
  );
  return rows[0].n;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
