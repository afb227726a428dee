import pg from 'pg';
import { needsEscape } from '../escape.ts';
import type { Ms } from '../model.ts';
import type { Batch, Lease } from '../sync/ledger.ts';
import { isoTime, multirangeText } from './coverage.ts';

/** SQL of the arguments of `logkeep.checkpoint` up to `p_settles_to`; the loader adds the counts. */
export function checkpointArguments(
  runId: string,
  lease: Lease,
  batch: Batch,
  options: {
    /** The run's batches count from 1. */
    readonly number: number;
    readonly overlapMs: number;
    /** A sweep: what is at least so old, and was found unchanged, is settled. */
    readonly settlesAfterMs?: number | null;
  },
): string {
  const { number, overlapMs, settlesAfterMs = null } = options;
  // A cursor that Postgres cannot hold is given up: that costs a re-read after an interruption, and only then.
  const cursor = batch.cursor === null || needsEscape(batch.cursor) ? null : batch.cursor;
  return [
    lease.windowId,
    lease.fence,
    number,
    runId,
    batch.pages,
    cursor === null ? 'null' : pg.escapeLiteral(cursor),
    cursor === null ? 'null' : 'clock_timestamp()',
    time(batch.chainAt),
    time(batch.readAt),
    time(batch.doneTo),
    `'${multirangeText(batch.claim === null ? [] : [batch.claim])}'::tstzmultirange`,
    `'${overlapMs} ms'::interval`,
    batch.done,
    time(settlesAfterMs === null ? null : Math.floor((batch.chainAt - settlesAfterMs) / 1000) * 1000),
  ].join(', ');
}

function time(ms: Ms | null): string {
  return ms === null ? 'null' : `'${isoTime(ms)}'::timestamptz`;
}
