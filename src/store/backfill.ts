import type pg from 'pg';
import type { JobKind, Ms, Span, Spans } from '../model.ts';
import type { Progress } from '../sync/ledger.ts';
import { inTransaction, retried } from './connection.ts';
import { isoTime, parseSpans, spansColumn } from './coverage.ts';
import { naming } from './database.ts';
import { FREE, type StreamKey } from './windows.ts';

/** Rows looked at for a density, in each strip: enough to tell, few enough for a moment. */
const DENSITY_ROWS = 20_000;

/** A window in hand, for a backfill to see who has it. */
export interface HeldWindow extends Span {
  readonly job: JobKind;
  /** Null: nobody's at present. */
  readonly holder: string | null;
}

/** What planning a backfill needs to know of a stream; nothing is locked. Times are ms. */
export interface BackfillState {
  /**
   * Old time that was asked for and is not all there: not cancelled, and not covered or oversize as a whole. What is
   * left of it may be known lost.
   */
  readonly unread: readonly Span[];
  readonly progress: Pick<Progress, 'askedFrom' | 'covered' | 'expired' | 'oversize' | 'open'>;
  readonly windows: readonly HeldWindow[];
  /** The API's clock minus ours as of its last answer; null: it has not answered yet. */
  readonly skewMs: number | null;
  readonly quota: {
    readonly limit: number | null;
    readonly remaining: number | null;
    readonly resetMs: Ms | null;
    /** Length of a quota window; null: not told. */
    readonly periodMs: number | null;
  };
}

const UNREAD = `b.stream = $1 and b.fingerprint = $2 and b.cancelled_at is null
  and not isempty(tstzmultirange(tstzrange(b.from_time, b.to_time)) - s.covered - s.oversize)`;
const OPEN = `${UNREAD} and not isempty(tstzmultirange(tstzrange(b.from_time, b.to_time)) - s.covered - s.expired - s.oversize)`;

/** Records that `span` is to be read, unless one of the same span is still unread. Gives the number of either. */
export function recordBackfill(
  pool: pg.Pool,
  key: StreamKey & { readonly source: string },
  span: Span,
  first: { readonly askedFrom: Ms; readonly retentionMs: number },
): Promise<string> {
  return named(key, 'record the backfill', () =>
    inTransaction(pool, async (client) => {
      // As the ledger does it: a stream that was never read gets its row here.
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
        `logkeep:stream:${key.id}`,
      ]);
      await client.query(
        'update logkeep.stream set active = false where stream = $1 and fingerprint <> $2 and active',
        keyOf(key),
      );
      await client.query(
        `insert into logkeep.stream (stream, fingerprint, source, asked_from, retention)
        values ($1, $2, $3, date_trunc('second', $4::timestamptz), $5)
        on conflict (stream, fingerprint) do update set active = true`,
        [...keyOf(key), key.source, isoTime(first.askedFrom), `${first.retentionMs} ms`],
      );
      // The stream's row lock: two that ask for the same at once make one.
      await client.query(
        'select from logkeep.stream where stream = $1 and fingerprint = $2 for update',
        keyOf(key),
      );
      const values = [...keyOf(key), isoTime(span.from), isoTime(span.to)];
      const before = await client.query<{ id: string }>(
        `select b.id from logkeep.backfill b join logkeep.stream s using (stream, fingerprint)
        where ${UNREAD} and from_time = $3 and to_time = $4`,
        values,
      );
      if (before.rows[0] !== undefined) return before.rows[0].id;
      const { rows } = await client.query<{ id: string }>(
        'insert into logkeep.backfill (stream, fingerprint, from_time, to_time) values ($1, $2, $3, $4) returning id',
        values,
      );
      return (rows[0] as { id: string }).id;
    }),
  );
}

/** Where a stream's backfills stand; null where the database has not seen the stream under these filters. */
export function readBackfillState(pool: pg.Pool, key: StreamKey): Promise<BackfillState | null> {
  return named(key, 'read the backfills', async () => {
    const { rows } = await pool.query(
      `select extract(epoch from asked_from) * 1000 as asked_from, ${spansColumn('covered')} as covered,
        ${spansColumn('expired')} as expired, ${spansColumn('oversize')} as oversize,
        extract(epoch from api_skew) * 1000 as skew, quota_limit, quota_remaining,
        extract(epoch from quota_reset_at) * 1000 as quota_reset,
        (select extract(epoch from q.period) * 1000 from logkeep.quota q where q.quota_limit = s.quota_limit
          order by abs(extract(epoch from q.ends_at - s.quota_reset_at)) limit 1) as period,
        coalesce((select json_agg(w order by w."from") from (
          select extract(epoch from from_time) * 1000 as "from", extract(epoch from to_time) * 1000 as "to", job,
            case when not ${FREE} then holder end as holder
          from logkeep.sync_window w where w.stream = s.stream and w.fingerprint = s.fingerprint) w), '[]') as windows,
        coalesce((select json_agg(o order by o."from", o.id) from (
          select b.id, extract(epoch from from_time) * 1000 as "from", extract(epoch from to_time) * 1000 as "to"
          from logkeep.backfill b where ${UNREAD}) o), '[]') as backfills
      from logkeep.stream s where stream = $1 and fingerprint = $2`,
      keyOf(key),
    );
    const row = rows[0];
    if (row === undefined) return null;
    const windows = row.windows as readonly HeldWindow[];
    const backfills = row.backfills as readonly Span[];
    return {
      unread: backfills.map(({ from, to }) => ({ from, to })),
      progress: {
        askedFrom: Math.round(Number(row.asked_from)),
        covered: parseSpans(row.covered),
        expired: parseSpans(row.expired),
        oversize: parseSpans(row.oversize),
        open: windows.map(({ from, to }) => ({ from, to })),
      },
      windows,
      skewMs: roundOrNull(row.skew),
      quota: {
        limit: row.quota_limit,
        remaining: row.quota_remaining,
        resetMs: roundOrNull(row.quota_reset),
        periodMs: roundOrNull(row.period),
      },
    };
  });
}

/**
 * Brings what is recorded up to date: time of open backfills before `expiredBefore` (null: the API's time is not
 * known) that is not covered becomes expired, windows that nobody holds and nobody wants any more go, and backfills of
 * which nothing is left are finished.
 */
export function updateBackfills(pool: pg.Pool, key: StreamKey, expiredBefore: Ms | null): Promise<void> {
  return named(key, 'settle the backfills', () =>
    inTransaction(pool, async (client) => {
      await client.query(
        'select from logkeep.stream where stream = $1 and fingerprint = $2 for update',
        keyOf(key),
      );
      if (expiredBefore !== null) {
        await client.query(
          `update logkeep.stream s set expired = expired
            + (o.wanted * tstzmultirange(tstzrange(null, $3)) - covered - oversize)
          from (select range_agg(tstzrange(b.from_time, b.to_time)) as wanted
            from logkeep.backfill b join logkeep.stream s using (stream, fingerprint) where ${OPEN}) o
          where s.stream = $1 and s.fingerprint = $2 and o.wanted is not null`,
          [...keyOf(key), isoTime(expiredBefore)],
        );
      }
      await client.query(
        `delete from logkeep.sync_window w using logkeep.stream s
        where w.stream = $1 and w.fingerprint = $2 and s.stream = $1 and s.fingerprint = $2 and w.job = 'backfill'
          and ${FREE}
          and (w.to_time <= $3 or not exists (select from logkeep.backfill b
            where ${OPEN} and b.from_time < w.to_time and b.to_time > w.from_time))`,
        [...keyOf(key), expiredBefore === null ? null : isoTime(expiredBefore)],
      );
      await client.query(
        `update logkeep.backfill f set finished_at = case when exists (
            select from logkeep.backfill b join logkeep.stream s using (stream, fingerprint) where ${OPEN} and b.id = f.id)
          then null else coalesce(finished_at, clock_timestamp()) end
        where f.stream = $1 and f.fingerprint = $2 and f.cancelled_at is null`,
        keyOf(key),
      );
    }),
  );
}

/** Gives a stream's open backfills up; how many there were. What they have read stays. */
export function recordCancellation(pool: pg.Pool, key: StreamKey): Promise<number> {
  return named(key, 'cancel the backfills', async () => {
    const { rowCount } = await pool.query(
      `update logkeep.backfill c set cancelled_at = clock_timestamp() where id in (
        select b.id from logkeep.backfill b join logkeep.stream s using (stream, fingerprint) where ${OPEN})`,
      keyOf(key),
    );
    return rowCount ?? 0;
  });
}

/** Entries per ms of the covered `strips`, by the table; null where there are none. */
export function readDensity(
  pool: pg.Pool,
  key: StreamKey,
  entries: { readonly table: string; readonly time: string },
  strips: Spans,
): Promise<number | null> {
  return named(key, 'count entries', async () => {
    let count = 0;
    let lengthMs = 0;
    for (const strip of strips) {
      const { rows } = await pool.query<{ entries: number; last: string | null }>(
        `select count(*)::integer as entries, extract(epoch from max(t)) * 1000 as last from (
          select ${entries.time} as t from logkeep.${entries.table}
          where stream = $1 and ${entries.time} >= $2 and ${entries.time} < $3 order by 1 limit ${DENSITY_ROWS}) e`,
        [key.id, isoTime(strip.from), isoTime(strip.to)],
      );
      const found = rows[0] as { entries: number; last: string | null };
      count += found.entries;
      const whole = found.entries < DENSITY_ROWS || found.last === null;
      lengthMs += whole ? strip.to - strip.from : Math.max(1, Number(found.last) - strip.from);
    }
    return lengthMs === 0 ? null : count / lengthMs;
  });
}

/** What requests cost lately, by the runs of the last day. */
export interface Usage {
  /** Time of one request, waits for quota not counted; null: no run tells. */
  readonly requestMs: number | null;
  /** Requests per ms that the live log took. */
  readonly livePerMs: number;
}

/** Reads what requests cost the stream lately. */
export function readUsage(pool: pg.Pool, key: StreamKey): Promise<Usage> {
  return named(key, 'read what was spent', async () => {
    const { rows } = await pool.query(
      `select (extract(epoch from sum(finished_at - started_at)) * 1000 - sum(wait_ms)) / nullif(sum(requests), 0) as request_ms,
        sum(requests) filter (where job = 'sync') as live,
        extract(epoch from clock_timestamp() - min(started_at)) * 1000 as over
      from logkeep.run where stream = $1 and fingerprint = $2 and finished_at is not null and outcome = 'done' and requests > 0
        and started_at > clock_timestamp() - interval '1 day'`,
      keyOf(key),
    );
    const { request_ms, live, over } = rows[0] as Record<'request_ms' | 'live' | 'over', string | null>;
    return {
      requestMs: request_ms === null ? null : Math.max(1, Number(request_ms)),
      // At least an hour: the very first sync says nothing about what the live log will take.
      livePerMs: live === null ? 0 : Number(live) / Math.max(3_600_000, Number(over)),
    };
  });
}

function keyOf(key: StreamKey): [string, string] {
  return [key.id, key.fingerprint];
}

function roundOrNull(text: string | null): number | null {
  return text === null ? null : Math.round(Number(text));
}

function named<T>(key: StreamKey, doing: string, work: () => Promise<T>): Promise<T> {
  return naming(`${key.id}: ${doing}`, () => retried(work));
}
