import { chmod, rm } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { Span } from '../../src/model.ts';
import { Partitions } from '../../src/store/partitions.ts';
import { type BenchDatabase, measureWork, type ServerCost } from './database.ts';
import type { SourceName } from './pages.ts';

/** The tables that a source's entries go to; the first is partitioned by day. */
export const TABLES: Readonly<Record<SourceName, readonly string[]>> = {
  qstash: ['qstash_log', 'qstash_request', 'qstash_message'],
  datadog: ['datadog_log'],
};

const DAY_MS = 86_400_000;

/** Lets the server write all rows of the source's tables to files in `folder`, in the order in which they lie. */
export async function dumpRows(database: BenchDatabase, source: SourceName, folder: string): Promise<void> {
  await chmod(folder, 0o777);
  for (const table of TABLES[source]) {
    const path = join(folder, table);
    await rm(path, { force: true });
    await database.client.query(`copy (select * from logkeep.${table}) to ${pg.escapeLiteral(path)}`);
  }
}

/**
 * Lets the server read those files into the tables of a fresh database, in text COPY and one transaction: as fast
 * as one connection can fill these tables and indexes when no client is in the way.
 */
export async function copyRows(
  database: BenchDatabase,
  source: SourceName,
  folder: string,
  span: Span,
): Promise<ServerCost & { readonly elapsedMs: number }> {
  const pool = new pg.Pool({ connectionString: database.url, max: 1 });
  const partitions = new Partitions(pool);
  await partitions.ensure(TABLES[source][0] as string, daysOf(span));
  await pool.end();
  const { client } = database;
  const { result, ...cost } = await measureWork(client, async () => {
    const startedAt = performance.now();
    await client.query('begin');
    for (const table of TABLES[source]) {
      await client.query(`copy logkeep.${table} from ${pg.escapeLiteral(join(folder, table))}`);
    }
    await client.query('commit');
    return performance.now() - startedAt;
  });
  return { elapsedMs: result, ...cost };
}

/** One time on each UTC day that the span touches. */
export function daysOf(span: Span): readonly number[] {
  const first = Math.floor(span.from / DAY_MS);
  const last = Math.floor((span.to - 1) / DAY_MS);
  return Array.from({ length: last - first + 1 }, (_, n) => (first + n) * DAY_MS);
}
