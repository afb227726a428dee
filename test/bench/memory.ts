import type { BenchServer } from './database.ts';
import type { SourceName } from './pages.ts';
import { measureSync, megabytes, openStand, type Stand } from './run.ts';
import { median } from './summary.ts';

const TIMES = 5;

/**
 * Peak memory of a sync of `entries` and of five times as many, in turn: it must not grow with what is read. One line a
 * sync, and one at the end: peaks lie some MB apart from run to run, so single ones say little.
 */
export async function* measureMemory(
  server: BenchServer,
  source: SourceName,
  entries: number,
  runs: number,
): AsyncGenerator<Record<string, unknown>, void> {
  const stands: Stand[] = [];
  const peaks: number[][] = [];
  try {
    for (const wanted of [entries, entries * TIMES]) {
      stands.push(await openStand(source, wanted));
      peaks.push([]);
    }
    for (let run = 1; run <= runs; run += 1) {
      for (const [size, stand] of stands.entries()) {
        const line = await measurePeak(server, stand);
        peaks[size]?.push(line.sync_rss_mb);
        yield { kind: 'memory', source, run, ...line };
      }
    }
  } finally {
    for (const stand of stands) await stand.close();
  }
  const [least, most] = peaks.map((values) => median(values.toSorted((a, b) => a - b)));
  yield { kind: 'memory_median', source, least_mb: least, most_mb: most, peaks };
}

async function measurePeak(server: BenchServer, { source, span, served }: Stand) {
  const database = await server.create('migrated');
  try {
    const task = { source, api: served.url, database: database.url, span, again: false };
    const { result } = await measureSync(database.client, task, null);
    return {
      entries: result.fetched,
      sync_rss_mb: megabytes(result.peakRssBytes),
      sync_per_s: Math.round((result.fetched / result.elapsedMs) * 1000),
    };
  } finally {
    await database.drop();
  }
}
