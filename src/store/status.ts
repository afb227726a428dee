import type { Kysely } from 'kysely';
import type { Ms } from '../model.ts';
import type { Lateness } from '../sync/ledger.ts';
import { parseSpans } from './coverage.ts';
import { asDatabaseError } from './database.ts';
import { upToMs } from './lateness.ts';
import type { Database } from './schema.ts';
import { type RunRow, type StatusRow, statusQuery } from './status-query.ts';

/** A window in hand. Holder null: nobody's, the next run goes on with it. */
export interface WindowStatus {
  readonly job: string;
  readonly fromMs: Ms;
  readonly toMs: Ms;
  /** Where what is stored of it ends; null: not known, or nothing is. */
  readonly doneToMs: Ms | null;
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
  readonly retries: number;
  readonly fetched: number;
  readonly fresh: number;
  readonly error: string | null;
  /** Until when it waits for quota; null: it does not. */
  readonly waitsUntilMs: Ms | null;
  /** When its window will be read, at the pace so far; null: not known. */
  readonly readyAtMs: Ms | null;
}

/** Syncs that failed, one after the other, since the last one that was done. */
export interface Failing {
  readonly sinceMs: Ms;
  readonly runs: number;
  /** Of the last one: its `ErrorKind` or `bug`, and its message. */
  readonly kind: string | null;
  readonly error: string | null;
}

/** How long a stream went without a new entry, in event time that was read. */
export interface Quiet {
  /** Now. */
  readonly lengthMs: number;
  /** The longest stretch before, as far as the history of runs reaches. */
  readonly longestMs: number;
  /** How far that history reaches, and how often something new came in it. */
  readonly historyMs: number;
  readonly arrivals: number;
}

/** What open backfills of a stream still miss. */
export interface OpenBackfills {
  readonly count: number;
  readonly missingMs: number;
  /** How long until the oldest of it expires upstream; negative: it has begun to. */
  readonly expiresInMs: number;
}

/** How far a stream is under the filters in force. Times are ms by the database's clock or of events. */
export interface StreamStatus {
  /** Now, by the database's clock. */
  readonly nowMs: Ms;
  readonly stream: string;
  readonly source: string;
  readonly fingerprint: string;
  readonly askedFromMs: Ms;
  /** Nothing was ever stored or covered: what it is asked from moves along with `since`, and nothing is owed yet. */
  readonly untouched: boolean;
  /** No sync has got to its end yet. */
  readonly firstRead: boolean;
  /** How long ago the newest answer that was stored came, whatever the job; null: none was. */
  readonly storedAgoMs: number | null;
  /** End of the newest coverage; null: nothing is covered. */
  readonly coveredToMs: Ms | null;
  /** From there to now; null: nothing is covered. */
  readonly lagMs: number | null;
  readonly gaps: readonly { readonly kind: string; readonly count: number; readonly lengthMs: number }[];
  /** Those holes that the live log owes; the others are an open backfill's. */
  readonly owedHoles: { readonly count: number; readonly lengthMs: number };
  /** Null: no backfill is open. */
  readonly backfill: OpenBackfills | null;
  /** Length of what became expired or oversize within about the last day. */
  readonly lostLatelyMs: number;
  /** The earliest time asked for that was not read and is not known lost; the tail up to now counts. */
  readonly missingFromMs: Ms;
  /** Where that span ends; null: it has no end, it is the tail. */
  readonly missingToMs: Ms | null;
  /** How long until that expires upstream; negative: it has begun to. */
  readonly expiresInMs: number;
  /** Who has a window in hand that it begins in, and lives; null: nobody. */
  readonly missingHeldBy: string | null;
  /** End of the newest time that a sweep has settled; null: nothing is. */
  readonly settledToMs: Ms | null;
  /** How late its entries came, till now. */
  readonly lateness: Lateness;
  readonly retentionMs: number;
  /** Rows stored, by the count of all runs. */
  readonly rows: number;
  readonly quarantined: number;
  /** Of these, first seen within the last hour. */
  readonly quarantinedLately: number;
  /** What is under way, a sync before all else, outranks what has ended. */
  readonly lastRun: RunStatus | null;
  readonly lastSync: RunStatus | null;
  /** Of each job but `sync` the last failure, by job, unless a later run of it was done. */
  readonly failedJobs: readonly RunStatus[];
  /** Runs that give signs of life, oldest first. */
  readonly running: readonly RunStatus[];
  /** Null: the last sync that ended was done, or none has. */
  readonly failing: Failing | null;
  readonly quiet: Quiet;
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
 * take minutes on large tables, so they are summed from the runs, each of which counted what it stored, and from what
 * the runs counted that are no longer kept.
 */
export async function readStatus(db: Kysely<Database>): Promise<readonly StreamStatus[]> {
  try {
    return (await statusQuery.execute(db)).rows.map(asStatus);
  } catch (error) {
    throw asDatabaseError('read the status', error);
  }
}

function asStatus(row: StatusRow): StreamStatus {
  const now = Number(row.now);
  const coveredTo = ms(row.covered_to);
  const missing = parseSpans(row.missing)[0];
  const missingFrom = missing?.from ?? now;
  const retention = Number(row.retention);
  const { failing, quiet, backfill } = row;
  const syncing = row.running.findLast(({ job }) => job === 'sync');
  const lastRun = syncing ?? row.running.at(-1) ?? row.last_run;
  const lastSync = syncing ?? row.last_sync;
  const holding = row.windows.find(
    ({ from, to, holder }) => holder !== null && from <= missingFrom && missingFrom < to,
  );
  return {
    nowMs: Math.round(now),
    stream: row.stream,
    source: row.source,
    fingerprint: row.fingerprint,
    askedFromMs: ms(row.asked_from) ?? 0,
    untouched: row.untouched,
    firstRead: row.first_read,
    storedAgoMs: ms(row.stored_ago),
    coveredToMs: coveredTo,
    lagMs: coveredTo === null ? null : Math.round(now - coveredTo),
    gaps: row.gaps.map(({ kind, count, length }) => ({ kind, count, lengthMs: Math.round(length) })),
    owedHoles: { count: row.owed_holes.count, lengthMs: Math.round(row.owed_holes.length) },
    backfill: backfill && {
      count: backfill.open,
      missingMs: Math.round(backfill.missing),
      expiresInMs: Math.round(backfill.missing_from + retention - now),
    },
    lostLatelyMs: Math.round(Number(row.lost_lately)),
    missingFromMs: missingFrom,
    missingToMs: missing === undefined || missing.to === Number.POSITIVE_INFINITY ? null : missing.to,
    expiresInMs: Math.round(missingFrom + retention - now),
    missingHeldBy: holding?.holder ?? null,
    retentionMs: retention,
    settledToMs: ms(row.settled_to),
    lateness: row.lateness.map(({ bucket, count }) => ({ upToMs: upToMs(bucket), count })),
    rows: Number(row.rows),
    quarantined: Number(row.quarantined),
    quarantinedLately: Number(row.quarantined_lately),
    lastRun: lastRun && asRun(lastRun),
    lastSync: lastSync && asRun(lastSync),
    failedJobs: row.failed_jobs.map(asRun),
    running: row.running.map(asRun),
    failing: failing && {
      sinceMs: Math.round(failing.since),
      runs: failing.runs,
      kind: failing.kind,
      error: failing.error,
    },
    quiet: {
      lengthMs: Math.max(0, Math.round(quiet.length)),
      longestMs: Math.max(0, Math.round(quiet.longest)),
      historyMs: Math.round(quiet.history),
      arrivals: quiet.arrivals,
    },
    windows: row.windows.map(({ job, from, to, done_to, pages, holder }) => ({
      job,
      fromMs: from,
      toMs: to,
      doneToMs: done_to,
      pages,
      holder,
    })),
    quota: { limit: row.quota_limit, remaining: row.quota_remaining, resetMs: ms(row.quota_reset) },
    skewMs: ms(row.skew),
    unknown: row.unknown.map(({ name, seen }) => ({ name, firstSeenMs: Math.round(seen) })),
  };
}

function asRun(run: RunRow): RunStatus {
  return {
    job: run.job,
    startedMs: Math.round(run.started),
    finishedMs: ms(run.finished),
    outcome: run.outcome,
    holder: run.holder,
    requests: run.requests,
    retries: run.retries,
    fetched: run.fetched,
    fresh: run.new,
    error: run.error,
    waitsUntilMs: ms(run.waits_until),
    readyAtMs: ms(run.ready_at),
  };
}

function ms(value: string | number | null): number | null {
  return value === null ? null : Math.round(Number(value));
}
