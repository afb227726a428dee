import type { BenchServer } from './database.ts';
import type { SourceName } from './pages.ts';
import { measureSync, megabytes, openStand } from './run.ts';

const TIMES = 5;

/** Peak memory of a sync of `entries` and of five times as many: it must not grow with what is read. */
export async function* measureMemory(
  server: BenchServer,
  source: SourceName,
  entries: number,
): AsyncGenerator<Record<string, unknown>, void> {
  for (const wanted of [entries, entries * TIMES]) {
    const stand = await openStand(source, wanted);
    const database = await server.create('migrated');
    try {
      const { span, served } = stand;
      const task = { source, api: served.url, database: database.url, span, again: false };
      const { result } = await measureSync(database.client, task, null);
      yield {
        kind: 'memory',
        source,
        entries: result.fetched,
        sync_rss_mb: megabytes(result.peakRssBytes),
        sync_per_s: Math.round((result.fetched / result.elapsedMs) * 1000),
      };
    } finally {
      await stand.close();
      await database.drop();
    }
  }
}
