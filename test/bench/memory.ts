import type { BenchServer } from './database.ts';
import { p50, rounded } from './figures.ts';
import type { SourceName } from './pages.ts';
import { measureSync, megabytes, openStand, type Stand } from './run.ts';

const TIMES = 5;

/**
 * Peak memory of a sync of `entries` and of five times as many, in turn: it must not grow with what is read. One line a
 * sync, and one at the end. Peaks of two syncs lie some MB apart whatever they read, so each long one also tells what
 * its own was when `entries` of them were stored, and how much it grew from there.
 */
export async function* measureMemory(
  server: BenchServer,
  source: SourceName,
  entries: number,
  runs: number,
): AsyncGenerator<Record<string, unknown>, void> {
  const stands: Stand[] = [];
  const least: number[] = [];
  const most: number[] = [];
  const grown: number[] = [];
  try {
    for (const wanted of [entries, entries * TIMES]) stands.push(await openStand(source, wanted));
    const [short, long] = stands as [Stand, Stand];
    for (let run = 1; run <= runs; run += 1) {
      const one = await measurePeak(server, short, entries);
      least.push(one.sync_rss_mb);
      yield { kind: 'memory', source, run, ...one };
      const other = await measurePeak(server, long, entries);
      most.push(other.sync_rss_mb);
      grown.push(rounded(other.sync_rss_mb - other.early_rss_mb, 1));
      yield { kind: 'memory', source, run, ...other };
    }
  } finally {
    for (const stand of stands) await stand.close();
  }
  yield {
    kind: 'memory_median',
    source,
    least_mb: p50(least),
    most_mb: p50(most),
    grown_mb: p50(grown),
    peaks: [least, most],
    grown,
  };
}

/** `early_rss_mb`: the peak as soon as at least `noteAt` entries were stored. */
async function measurePeak(server: BenchServer, { source, span, served }: Stand, noteAt: number) {
  const database = await server.create('migrated');
  try {
    const task = { source, api: served.url, database: database.url, span, again: false, noteAt };
    const { result } = await measureSync(database.client, task, null);
    if (result.notedRssBytes === null)
      throw new Error(`${source}: ${result.fetched} entries were stored, less than ${noteAt}`);
    return {
      entries: result.fetched,
      early_rss_mb: megabytes(result.notedRssBytes),
      sync_rss_mb: megabytes(result.peakRssBytes),
      sync_per_s: Math.round((result.fetched / result.elapsedMs) * 1000),
    };
  } finally {
    await database.drop();
  }
}
