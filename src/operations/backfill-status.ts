import type { App, OpenStream } from '../app.ts';
import type { Ms, Span, Spans } from '../model.ts';
import {
  type BackfillState,
  type HeldWindow,
  readBackfillState,
  readDensity,
  readUsage,
} from '../store/backfill.ts';
import { type Estimate, estimateBackfill, type Speed, speedOf } from '../sync/backfill-estimate.ts';
import {
  type BackfillPlan,
  neighboursOf,
  planBackfill,
  readableFrom,
  windowLength,
} from '../sync/plan-backfill.ts';
import { missingOf } from '../sync/reach.ts';
import { floorSecond, subtract, union } from '../sync/spans.ts';

/** How far on each side of what is missing its density is looked for. */
const NEAR_MS = 86_400_000;
/** Where no request has been timed yet. */
const REQUEST_MS = 300;

/** Where a stream's backfills stand, and what is to do. */
export interface BackfillStatus {
  /** All that is wanted. */
  readonly wanted: Spans;
  /** What of it is neither copied nor known lost; `plan` divides it. */
  readonly missing: Spans;
  readonly plan: BackfillPlan;
  /** Windows in hand that hold some of it. */
  readonly held: readonly HeldWindow[];
  /** The API's clock minus ours; null: it has not answered yet. */
  readonly skewMs: number | null;
  /** The API's now, by which `plan` divides: as heard just now, else the later of what is on record and of our clock. */
  readonly nowMs: Ms;
  /** Entries per ms around what is missing; null: not known. */
  readonly density: number | null;
  /** How long a window is, by the density. */
  readonly windowMs: number;
  /** The earliest time that the live log owes; null: the stream was never read. */
  readonly askedFrom: Ms | null;
  readonly quota: BackfillState['quota'];
}

/** A status with what it takes to read what is missing. */
export interface BackfillPreview extends BackfillStatus {
  readonly estimate: Estimate;
  readonly speed: Speed;
}

/** What reading `span`, or where it is null all open backfills of the stream, would take. Asks nothing of the API. */
export async function previewBackfill(
  app: App,
  open: OpenStream,
  span: Span | null,
): Promise<BackfillPreview> {
  const { stream, settings } = open;
  const { pool } = app.store;
  const status = await readBackfillStatus(app, open, span);
  const usage = await readUsage(pool, stream);
  const speed = speedOf({
    quota: status.quota,
    reserve: settings.reserve,
    livePerMs: usage.livePerMs,
    requestMs: usage.requestMs ?? REQUEST_MS,
    parallel: readersOf(settings.concurrency),
    nowMs: app.clock.now(),
  });
  const terms = {
    density: status.density,
    pageSize: stream.pageSize,
    order: stream.order,
    nowMs: status.nowMs,
    retentionMs: settings.retentionMs,
  };
  const ours = status.held.filter(({ job }) => job === 'backfill');
  const windows = [...status.plan.windows, ...ours].sort((a, b) => a.from - b.from);
  return { ...status, speed, estimate: estimateBackfill(windows, { ...terms, speed }) };
}

/**
 * Where the stream's open backfills stand, or `span` alone where it is not null; `heardMs`: the API's clock minus ours
 * as heard just now, in place of what is on record. Throws `database`.
 */
export async function readBackfillStatus(
  app: App,
  open: OpenStream,
  span: Span | null,
  heardMs: number | null = null,
): Promise<BackfillStatus> {
  const { stream, settings } = open;
  const state = await readBackfillState(app.store.pool, stream);
  const skewMs = heardMs ?? state?.skewMs ?? null;
  const ours = app.clock.now();
  const told = ours + (skewMs ?? 0);
  // What is on record may have been heard by a machine whose clock was ahead: what has expired since would look readable.
  const nowMs = heardMs === null ? Math.max(told, ours) : told;
  const recorded = state?.progress ?? { covered: [], expired: [], oversize: [], open: [] };
  // With a longer retention what was lost can be read after all, as the ledger of the first reader will record.
  const lostBefore = readableFrom(Math.max(told, ours), settings.retentionMs);
  const again = [{ from: lostBefore, to: Number.POSITIVE_INFINITY }];
  const progress = { ...recorded, expired: subtract(recorded.expired, again) };
  const opened = (state?.unread ?? []).filter((one) => missingOf(progress, [one]).length > 0);
  const asked = union(opened);
  const wanted = span === null ? asked : [{ from: floorSecond(span.from), to: floorSecond(span.to) }];
  const missing = missingOf(progress, wanted);
  const near = neighboursOf(progress.covered, missing, NEAR_MS);
  const density = await readDensity(app.store.pool, stream, stream.tables.entries, near);
  const windowMs = windowLength(density, stream.pageSize);
  const plan = planBackfill(progress, {
    wanted,
    targetMs: nowMs - settings.settleMs,
    edgeMs: readableFrom(nowMs, settings.retentionMs),
    windowMs,
  });
  const held = (state?.windows ?? []).filter((window) =>
    missing.some((one) => one.from < window.to && one.to > window.from),
  );
  const askedFrom = state?.progress.askedFrom ?? null;
  const quota = state?.quota ?? { limit: null, remaining: null, resetMs: null, periodMs: null };
  return { wanted, missing, plan, held, skewMs, nowMs, density, windowMs, askedFrom, quota };
}

/** One place in flight is left for the live log, which would otherwise wait for a whole answer. */
export function readersOf(concurrency: number): number {
  return Math.max(1, concurrency - 1);
}
