import { type Kysely, sql } from 'kysely';
import type { Ms } from '../model.ts';
import { parseSpans, spansColumn } from './coverage.ts';
import { asDatabaseError } from './database.ts';
import type { Database } from './schema.ts';

/** A window in hand. Holder null: nobody's, the next run goes on with it. */
export interface WindowStatus {
  readonly fromMs: Ms;
  readonly toMs: Ms;
  readonly pages: number;
  readonly holder: string | null;
}

/** How a run went, or goes. */
export interface RunStatus {
  readonly job: string;
  readonly startedMs: Ms;
  readonly finishedMs: Ms | null;
  /** `running` only while the process gives signs of life; one that stopped giving them is `crashed`. */
  readonly outcome: string;
  readonly holder: string;
  readonly requests: number;
  readonly fetched: number;
  readonly fresh: number;
  readonly error: string | null;
}

/** How far a stream is under the filters in force. Times are ms by the database's clock or of events. */
export interface StreamStatus {
  readonly stream: string;
  readonly source: string;
  readonly fingerprint: string;
  readonly askedFromMs: Ms;
  /** End of the newest coverage; null: nothing is covered. */
  readonly coveredToMs: Ms | null;
  /** From there to now; null: nothing is covered. */
  readonly lagMs: number | null;
  readonly gaps: readonly { readonly kind: string; readonly count: number; readonly lengthMs: number }[];
  /** The earliest time asked for that was not read and is not known lost; the tail up to now counts. */
  readonly missingFromMs: Ms;
  /** How long until that expires upstream; negative: it has begun to. */
  readonly expiresInMs: number;
  readonly retentionMs: number;
  /** Rows stored, by the count of all runs. */
  readonly rows: number;
  readonly quarantined: number;
  readonly lastRun: RunStatus | null;
  readonly windows: readonly WindowStatus[];
  readonly quota: {
    readonly limit: number | null;
    readonly remaining: number | null;
    readonly resetMs: Ms | null;
  };
  /** The API's clock minus that of the machine that read it last. */
  readonly skewMs: number | null;
  /** Fields and states that this version does not know, with the time they were first seen. */
  readonly unknown: readonly { readonly name: string; readonly firstSeenMs: Ms }[];
}

/**
 * The status of every stream that the database knows, by name, in one query; throws `database`. Counting rows would
 * take minutes on large tables, so they are summed from the runs, each of which counted what it stored.
 */
export async function readStatus(db: Kysely<Database>): Promise<readonly StreamStatus[]> {
  try {
    return (await statusQuery.execute(db)).rows.map(asStatus);
  } catch (error) {
    throw asDatabaseError('read the status', error);
  }
}

const statusQuery = sql<StatusRow>`
    select s.stream, s.source, s.fingerprint,
      extract(epoch from asked_from) * 1000 as asked_from,
      extract(epoch from upper(covered)) * 1000 as covered_to,
      extract(epoch from clock_timestamp()) * 1000 as now,
      ${sql.raw(spansColumn('(tstzmultirange(tstzrange(asked_from, null)) - covered - expired - oversize)'))} as missing,
      extract(epoch from retention) * 1000 as retention,
      quota_limit, quota_remaining, extract(epoch from quota_reset_at) * 1000 as quota_reset,
      extract(epoch from api_skew) * 1000 as skew,
      (select coalesce(sum(new), 0) from logkeep.run r where r.stream = s.stream) as rows,
      (select count(*) from logkeep.quarantine q where q.stream = s.stream) as quarantined,
      (select row_to_json(r) from (
        select job, holder, requests, fetched, new, error,
          extract(epoch from started_at) * 1000 as started, extract(epoch from finished_at) * 1000 as finished,
          case when outcome = 'running' and alive_until < clock_timestamp() then 'crashed' else outcome end as outcome
        from logkeep.run r where r.stream = s.stream order by id desc limit 1) r) as last_run,
      coalesce((select json_agg(g) from (
        select kind, count(*) as count, extract(epoch from sum(to_time - from_time)) * 1000 as length
        from logkeep.gap g where g.stream = s.stream group by kind order by kind desc) g), '[]') as gaps,
      coalesce((select json_agg(w) from (
        select extract(epoch from from_time) * 1000 as "from", extract(epoch from to_time) * 1000 as "to", pages,
          case when lease_until > clock_timestamp() then holder end as holder
        from logkeep.sync_window w where w.stream = s.stream and w.fingerprint = s.fingerprint
        order by from_time limit 100) w), '[]') as windows,
      coalesce((select json_agg(u) from (
        select name, extract(epoch from first_seen_at) * 1000 as seen
        from logkeep.unknown_name u where u.stream = s.stream order by first_seen_at, name) u), '[]') as unknown
    from logkeep.stream s where active order by s.stream`;

interface StatusRow {
  stream: string;
  source: string;
  fingerprint: string;
  asked_from: string;
  covered_to: string | null;
  now: string;
  missing: string;
  retention: string;
  quota_limit: number | null;
  quota_remaining: number | null;
  quota_reset: string | null;
  skew: string | null;
  rows: string;
  quarantined: string;
  last_run:
    | (Readonly<Record<'job' | 'holder' | 'outcome', string>> &
        Readonly<Record<'started' | 'requests' | 'fetched' | 'new', number>> & {
          readonly finished: number | null;
          readonly error: string | null;
        })
    | null;
  gaps: readonly { kind: string; count: number; length: number }[];
  windows: readonly { from: number; to: number; pages: number; holder: string | null }[];
  unknown: readonly { name: string; seen: number }[];
}

function asStatus(row: StatusRow): StreamStatus {
  const now = Number(row.now);
  const coveredTo = ms(row.covered_to);
  const missingFrom = parseSpans(row.missing)[0]?.from ?? now;
  const retention = Number(row.retention);
  const run = row.last_run;
  return {
    stream: row.stream,
    source: row.source,
    fingerprint: row.fingerprint,
    askedFromMs: ms(row.asked_from) ?? 0,
    coveredToMs: coveredTo,
    lagMs: coveredTo === null ? null : Math.round(now - coveredTo),
    gaps: row.gaps.map(({ kind, count, length }) => ({ kind, count, lengthMs: Math.round(length) })),
    missingFromMs: missingFrom,
    expiresInMs: Math.round(missingFrom + retention - now),
    retentionMs: retention,
    rows: Number(row.rows),
    quarantined: Number(row.quarantined),
    lastRun:
      run === null
        ? null
        : {
            job: run.job,
            startedMs: Math.round(run.started),
            finishedMs: run.finished === null ? null : Math.round(run.finished),
            outcome: run.outcome,
            holder: run.holder,
            requests: run.requests,
            fetched: run.fetched,
            fresh: run.new,
            error: run.error,
          },
    windows: row.windows.map(({ from, to, pages, holder }) => ({ fromMs: from, toMs: to, pages, holder })),
    quota: { limit: row.quota_limit, remaining: row.quota_remaining, resetMs: ms(row.quota_reset) },
    skewMs: ms(row.skew),
    unknown: row.unknown.map(({ name, seen }) => ({ name, firstSeenMs: Math.round(seen) })),
  };
}

function ms(text: string | null): number | null {
  return text === null ? null : Math.round(Number(text));
}
