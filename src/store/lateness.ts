import type { Kysely } from 'kysely';
import type { SourceTables } from '../sources/tables.ts';
import type { Lateness } from '../sync/ledger.ts';
import { asDatabaseError } from './database.ts';
import type { Database } from './schema.ts';

/**
 * SQL that counts how late a batch's new rows came, by bucket, as the JSON that `logkeep.checkpoint` takes: a
 * subquery over the statement's `new_row` and `batch`, or null for a source that does not say.
 */
export function latenessSql(tables: SourceTables): string {
  const { lateness } = tables;
  if (lateness === undefined) return 'null';
  const event = `new_row.${lateness.event}`;
  const late =
    lateness.intake === undefined
      ? // Where nobody tells, only an entry of time that was read before is known to have come late.
        `select case when s.covered @> ${event} then batch.ingested_at - ${event} end as late
          from new_row, batch join logkeep.stream s on s.stream = batch.stream and s.active`
      : `select new_row.${lateness.intake} - ${event} as late from new_row where new_row.${lateness.intake} is not null`;
  return `(select jsonb_object_agg(bucket, count) from (
      select case when late is null then -1 else ceil(2 * ln(greatest(date_part('epoch', late), 1)) / ln(2::float8)) end as bucket, count(*)
      from (${late}) l group by 1) b)`;
}

/** How late a stream's entries came, from the earliest to the latest; empty where nothing is counted. Throws `database`. */
export async function readLateness(db: Kysely<Database>, stream: string): Promise<Lateness> {
  try {
    const rows = await db
      .selectFrom('lateness')
      .select(['bucket', 'count'])
      .where('stream', '=', stream)
      .orderBy('bucket')
      .execute();
    return rows.map(({ bucket, count }) => ({ upToMs: upToMs(bucket), count: Number(count) }));
  } catch (error) {
    throw asDatabaseError('read the lateness', error);
  }
}

/** The longest lateness that a bucket of `logkeep.lateness` stands for. */
export function upToMs(bucket: number): number {
  return bucket < 0 ? 0 : Math.round(1000 * 2 ** (bucket / 2));
}
