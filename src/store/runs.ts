import type pg from 'pg';
import { LogkeepError } from '../errors.ts';
import type { Meter, Quota } from '../sources/source.ts';
import type { Outcome, Pace } from '../sync/ledger.ts';
import { isoTime } from './coverage.ts';

/** What a run has spent so far, what the API last said, and what the run is at. */
export interface Spent {
  readonly meter: Meter;
  readonly quota: Quota;
  readonly skewMs: number | null;
  readonly pace: Pace;
}

/** Closes runs whose process gives no sign of life any more; conditions may follow. */
export const CLOSE_DEAD_RUNS = `update logkeep.run
  set outcome = 'crashed', finished_at = alive_until, error = 'the process died without reporting'
  where outcome = 'running' and alive_until < clock_timestamp()`;

/** Records what run `runId` of a stream (its name and fingerprint) spent; it also says that the run is alive. */
export async function recordSpent(
  pool: pg.Pool,
  runId: string,
  [stream, fingerprint]: readonly [string, string],
  { meter, quota, skewMs, pace }: Spent,
): Promise<void> {
  const { requests, retries, waits, waitMs, bytes } = meter;
  await pool.query(
    `with spent as (update logkeep.run set requests = $3, retries = $4, waits = $5, wait_ms = $6, bytes = $7,
        waits_until = clock_timestamp() + $13::interval, ready_at = clock_timestamp() + $14::interval,
        alive_until = clock_timestamp() + interval '30 s' where id = $8)
    update logkeep.stream set quota_limit = coalesce($9, quota_limit), quota_remaining = coalesce($10, quota_remaining),
      quota_reset_at = coalesce($11, quota_reset_at), api_skew = coalesce($12::interval, api_skew)
    where stream = $1 and fingerprint = $2`,
    [
      stream,
      fingerprint,
      requests,
      retries,
      waits,
      Math.round(waitMs),
      bytes,
      runId,
      wholeOrNull(quota.limit),
      wholeOrNull(quota.remaining),
      quota.resetMs === null ? null : isoTime(quota.resetMs),
      interval(skewMs),
      interval(pace.waitMs),
      interval(pace.toGoMs),
    ],
  );
}

/** Ends run `runId`; `error` is what ended it early, and its kind is what others decide by. */
export async function endRun(
  pool: pg.Pool,
  runId: string,
  outcome: Outcome,
  error: Error | null,
): Promise<void> {
  const kind = error === null ? null : error instanceof LogkeepError ? error.kind : 'bug';
  await pool.query(
    `update logkeep.run set outcome = $2, error = $3, error_kind = $4, waits_until = null, ready_at = null,
      finished_at = clock_timestamp() where id = $1`,
    [runId, outcome, error?.message ?? null, kind],
  );
}

function interval(ms: number | null): string | null {
  return ms === null ? null : `${Math.round(ms)} ms`;
}

/** A count as the column can hold it: headers may say anything. */
function wholeOrNull(count: number | null): number | null {
  return count === null ? null : Math.min(Math.floor(count), 2_147_483_647);
}
