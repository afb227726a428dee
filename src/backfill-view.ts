import type { App, OpenStream } from './app.ts';
import type { Ms, Span, Spans } from './model.ts';
import {
  type BackfillState,
  type HeldWindow,
  readBackfillState,
  readDensity,
  readSpending,
} from './store/backfill.ts';
import { type Estimate, estimateBackfill, type Speed, speedOf } from './sync/backfill-estimate.ts';
import {
  type BackfillPlan,
  missingOf,
  neighboursOf,
  planBackfill,
  readableFrom,
  windowLength,
} from './sync/plan-backfill.ts';
import { floorSecond, union } from './sync/spans.ts';

/** How far on each side of what is missing its density is looked for. */
const NEAR_MS = 86_400_000;
/** Where no request has been timed yet. */
const REQUEST_MS = 300;

/** Where a stream's backfills stand, and what is to do. */
export interface BackfillView {
  /** All that is wanted. */
  readonly wanted: Spans;
  /** What of it is neither copied nor known lost; `plan` divides it. */
  readonly missing: Spans;
  readonly plan: BackfillPlan;
  /** Windows in hand that hold some of it. */
  readonly held: readonly HeldWindow[];
  /** The API's clock minus ours; null: it has not answered yet. */
  readonly skewMs: number | null;
}

/** A view with what it takes to read it. */
export interface BackfillPreview extends BackfillView {
  readonly estimate: Estimate;
  readonly speed: Speed;
}

/** A view with what planning goes by: entries per ms (null: not known), and the length of a window. */
export interface BackfillSight extends BackfillView {
  readonly density: number | null;
  readonly windowMs: number;
  /** The earliest time that the live log owes; null: the stream was never read. */
  readonly askedFrom: Ms | null;
}

/** What reading `span`, or where it is null all open backfills of the stream, would take. Asks nothing of the API. */
export async function previewBackfill(
  app: App,
  open: OpenStream,
  span: Span | null,
): Promise<BackfillPreview> {
  const { stream, settings } = open;
  const { pool } = app.store;
  const state = await readBackfillState(pool, stream);
  const { density, ...view } = await lookAtBackfill(app, open, state, span);
  const spending = await readSpending(pool, stream);
  const nowMs = app.clock.now() + (view.skewMs ?? 0);
  const speed = speedOf({
    quota: state?.quota ?? { limit: null, remaining: null, resetMs: null, periodMs: null },
    reserve: settings.reserve,
    livePerMs: spending.livePerMs,
    requestMs: spending.requestMs ?? REQUEST_MS,
    parallel: readersOf(settings.concurrency),
    nowMs: app.clock.now(),
  });
  const terms = {
    density,
    pageSize: stream.pageSize,
    order: stream.order,
    nowMs,
    retentionMs: settings.retentionMs,
  };
  const ours = view.held.filter(({ job }) => job === 'backfill');
  const windows = [...view.plan.windows, ...ours].sort((a, b) => a.from - b.from);
  return { ...view, speed, estimate: estimateBackfill(windows, { ...terms, speed }) };
}

/** Where the stream's backfills stand by `state`; of `span` alone where it is not null. Throws `database`. */
export async function lookAtBackfill(
  app: App,
  open: OpenStream,
  state: BackfillState | null,
  span: Span | null,
): Promise<BackfillSight> {
  const { stream, settings } = open;
  const asked = union((state?.open ?? []).map((one) => one.span));
  const wanted = span === null ? asked : [{ from: floorSecond(span.from), to: floorSecond(span.to) }];
  const progress = state?.progress ?? { covered: [], expired: [], oversize: [], open: [] };
  const missing = missingOf(progress, wanted);
  const skewMs = state?.skewMs ?? null;
  const nowMs = app.clock.now() + (skewMs ?? 0);
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
  return { wanted, missing, plan, held, skewMs, density, windowMs, askedFrom };
}

/** One place in flight is left for the live log, which would otherwise wait for a whole answer. */
export function readersOf(concurrency: number): number {
  return Math.max(1, concurrency - 1);
}
