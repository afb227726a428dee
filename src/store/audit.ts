import type pg from 'pg';
import type { Ms, Span, Spans } from '../model.ts';
import type { Stream } from '../sources/source.ts';
import type { HourCounts, Stock } from '../sync/stock.ts';
import { isoTime, parseSpans, spansColumn } from './coverage.ts';
import { naming, type Store } from './database.ts';
import { rawHash } from './loader.ts';

const KEYS_AT_ONCE = 5_000;

/** What is on record of a stream. */
export interface StreamRecord {
  readonly askedFromMs: Ms;
  readonly covered: Spans;
  readonly settled: Spans;
  readonly expired: Spans;
  readonly oversize: Spans;
  /** Its rows may have been stored under other filters too: then the API need not show all of them now. */
  readonly otherFilters: boolean;
  /** Clock of the API minus that of the machine that read it last. */
  readonly skewMs: number;
}

/** The record of a stream under the filters in force; null if it was never read. Throws `database`. */
export async function readRecord(store: Store, stream: Stream): Promise<StreamRecord | null> {
  return naming(`${stream.id}: read the record`, async () => {
    const { rows } = await store.pool.query(
      `select extract(epoch from asked_from) * 1000 as asked_from, ${spansColumn('covered')} as covered,
        ${spansColumn('settled')} as settled, ${spansColumn('expired')} as expired, ${spansColumn('oversize')} as oversize,
        extract(epoch from coalesce(api_skew, '0')) * 1000 as skew,
        exists (select from logkeep.stream o where o.stream = s.stream and o.fingerprint <> s.fingerprint) as other_filters
      from logkeep.stream s where stream = $1 and fingerprint = $2`,
      [stream.id, stream.fingerprint],
    );
    const row = rows[0];
    if (row === undefined) return null;
    return {
      askedFromMs: Math.round(Number(row.asked_from)),
      covered: parseSpans(row.covered),
      settled: parseSpans(row.settled),
      expired: parseSpans(row.expired),
      oversize: parseSpans(row.oversize),
      otherFilters: row.other_filters,
      skewMs: Number(row.skew),
    };
  });
}

/** How many entries of a span are stored, by UTC hour: as rows, and as what waits in quarantine. Throws `database`. */
export async function countStored(
  store: Store,
  stream: Stream,
  span: Span,
): Promise<{ readonly rows: HourCounts; readonly quarantined: HourCounts }> {
  const { table, time } = stream.tables.entries;
  const counts = async (from: string, column: string) => {
    const { rows } = await store.pool.query<{ hour: string; count: string }>(
      `select extract(epoch from date_trunc('hour', ${column}, 'UTC')) * 1000 as hour, count(*) as count
      from logkeep.${from} where stream = $1 and ${column} >= $2 and ${column} < $3 group by 1`,
      [stream.id, isoTime(span.from), isoTime(span.to)],
    );
    return new Map(rows.map(({ hour, count }) => [Math.round(Number(hour)), Number(count)]));
  };
  return naming(`${stream.id}: count what is stored`, async () => ({
    rows: await counts(table, time),
    quarantined: await counts('quarantine', 'time'),
  }));
}

/** What the tables hold of a stream, for a recount. */
export function openStock(store: Store, stream: Stream): Stock {
  const { table, time, key } = stream.tables.entries;
  return {
    now: () =>
      naming('ask for the time', async () => {
        const { rows } = await store.pool.query('select extract(epoch from clock_timestamp()) * 1000 as now');
        return Number(rows[0].now);
      }),
    keys: (span, since) =>
      readByCursor(
        store.pool,
        `${stream.id}: read the keys of what is stored`,
        `select ${key} as key, ingested_at >= $4 as young
        from logkeep.${table} where stream = $1 and ${time} >= $2 and ${time} < $3`,
        [stream.id, isoTime(span.from), isoTime(span.to), isoTime(since)],
      ),
    absent: (rejects) =>
      naming(`${stream.id}: look into quarantine`, async () => {
        const wanted = new Map(rejects.map((reject) => [`${reject.reason} ${rawHash(reject)}`, reject]));
        const { rows } = await store.pool.query<{ found: string }>(
          `select count(*) as found from unnest($2::text[], $3::uuid[]) as w (reason, raw_hash)
          join logkeep.quarantine q using (reason, raw_hash) where q.stream = $1`,
          [
            stream.id,
            [...wanted.values()].map(({ reason }) => reason),
            [...wanted.values()].map((reject) => rawHash(reject)),
          ],
        );
        return wanted.size - Number(rows[0]?.found ?? 0);
      }),
  };
}

/** The rows of a query, some at a time, in one transaction. */
async function* readByCursor<Row extends pg.QueryResultRow>(
  pool: pg.Pool,
  doing: string,
  text: string,
  values: readonly unknown[],
): AsyncGenerator<readonly Row[]> {
  const client = await naming(doing, () => pool.connect());
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    await naming(doing, async () => {
      await client.query('begin read only');
      await client.query(`declare stored no scroll cursor for ${text}`, [...values]);
    });
    for (;;) {
      const { rows } = await naming(doing, () => client.query<Row>(`fetch ${KEYS_AT_ONCE} from stored`));
      if (rows.length === 0) return;
      yield rows;
    }
  } finally {
    await client.query('rollback').catch(onError);
    client.off('error', onError);
    client.release(broken);
  }
}
