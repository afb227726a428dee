import type { App, OpenStream } from '../app.ts';
import { errorText, LogkeepError } from '../errors.ts';
import type { Span } from '../model.ts';
import { createMeter, type Stream } from '../sources/source.ts';
import { recordBackfill, recordCancellation, updateBackfills } from '../store/backfill.ts';
import { planBackfill, readableFrom } from '../sync/plan-backfill.ts';
import type { RunEvent, RunResult } from '../sync/run.ts';
import { floorSecond, hull } from '../sync/spans.ts';
import { noTotals, type RunCounts } from '../sync/totals.ts';
import { createWhole } from '../sync/whole.ts';
import { type BackfillStatus, readBackfillStatus, readersOf } from './backfill-status.ts';
import type { ReadResult } from './read.ts';
import { readStream } from './read.ts';
import { beginning } from './sync.ts';

/** How often a reader looks whether it is still wanted, and how much there is. */
const REFRESH_MS = 2_000;
/** How often, a second apart, it is tried to record what is just expiring. */
const EDGE_TRIES = 4;

/** What a run of a stream's open backfills is given. */
export interface BackfillAsk {
  readonly signal: AbortSignal;
  readonly mayRequest: () => boolean;
  readonly watch: (stream: Stream, event: RunEvent) => void;
  /** Windows at a time at most; left out: as many as the concurrency allows. */
  readonly readers?: number;
}

/** How a run of a stream's open backfills went, and what is left of them; null: that could not be read. */
export interface BackfillResult extends ReadResult {
  readonly left: BackfillStatus | null;
}

/** Records that `span` is to be read: whoever backfills the stream next does it. Throws `database`. */
export async function requestBackfill(app: App, { stream, settings }: OpenStream, span: Span): Promise<void> {
  const { retentionMs } = settings;
  const nowMs = app.clock.now();
  await recordBackfill(
    app.store.pool,
    stream,
    { from: floorSecond(span.from), to: floorSecond(span.to) },
    { retentionMs, askedFrom: beginning(null, settings, nowMs).askedFrom },
  );
}

/** Cancels the stream's open backfills; how many there were. What they have read stays. Throws `database`. */
export async function cancelBackfills(app: App, { stream }: OpenStream): Promise<number> {
  const cancelled = await recordCancellation(app.store.pool, stream);
  await updateBackfills(app.store.pool, stream, null);
  return cancelled;
}

/** How many readers the stream's open backfills are worth now, 1 at least. One query where none is open. Throws `database`. */
export async function backfillLanes(app: App, open: OpenStream): Promise<number> {
  if (readersOf(open.settings.concurrency) === 1) return 1;
  return Math.max(1, readersFor(open, await readBackfillStatus(app, open, null)));
}

/**
 * Reads what is missing of the stream's open backfills, oldest-expiring first, several windows at once, beside
 * whatever else reads the stream; what has expired is recorded. Costs one query where no backfill is open. The
 * stream's trouble is in the result.
 */
export async function backfillStream(app: App, open: OpenStream, ask: BackfillAsk): Promise<BackfillResult> {
  const { stream } = open;
  try {
    const told = await readBackfillStatus(app, open, null);
    if (told.missing.length === 0) return { stream, ...merged([]), left: told };
    const skewMs = await heardSkew(app, open, told, ask.signal);
    const before = skewMs === told.skewMs ? told : await readBackfillStatus(app, open, null, skewMs);
    if (before.plan.expired.length > 0) await recordProgress(app, open, skewMs);
    const readers = Math.min(ask.readers ?? Number.POSITIVE_INFINITY, readersFor(open, before));
    const results = merged(await readTogether(app, open, ask, before, readers));
    const left = await recordEnd(app, open, results.skewMs ?? skewMs, ask.signal);
    return { stream, ...results, left };
  } catch (error) {
    if (!(error instanceof LogkeepError)) throw error;
    return {
      stream,
      ...merged([]),
      outcome: error.kind === 'aborted' ? 'stopped' : 'failed',
      error,
      left: null,
    };
  }
}

/** No more readers than there are windows, whoever holds them. */
function readersFor({ settings }: OpenStream, { plan, held }: BackfillStatus): number {
  const ours = held.filter(({ job }) => job === 'backfill').length;
  return Math.min(readersOf(settings.concurrency), plan.windows.length + ours);
}

/**
 * Before time is given up as expired, one request asks what time it is there: what was heard last may have been heard
 * by a machine whose clock was wrong, or before ours was set.
 */
async function heardSkew(
  app: App,
  { stream }: OpenStream,
  before: BackfillStatus,
  signal: AbortSignal,
): Promise<number | null> {
  if (before.plan.expired.length === 0) return before.skewMs;
  const { skewMs } = await stream.probe(signal);
  app.log.debug({ stream: stream.id, skewMs }, 'asked for the time by the API');
  return skewMs;
}

/** Readers that share the windows among them, each with a run of its own. */
async function readTogether(
  app: App,
  open: OpenStream,
  ask: BackfillAsk,
  before: BackfillStatus,
  readers: number,
): Promise<readonly RunResult[]> {
  const { stream } = open;
  const unwanted = new AbortController();
  const signal = AbortSignal.any([ask.signal, unwanted.signal]);
  let status = before;
  let looking: Promise<void> | null = null;
  let lookedAt = performance.now();

  /** Reads `status` again every now and then: others may cancel, and what was read tells how long the next windows should be. */
  function refresh(): void {
    if (looking !== null || performance.now() - lookedAt < REFRESH_MS) return;
    looking = readBackfillStatus(app, open, null)
      .then((now) => {
        status = now;
        whole.lacks(now.missing);
        if (now.wanted.length === 0) unwanted.abort(new LogkeepError('aborted', 'nothing more is wanted'));
      })
      .catch((error: unknown) =>
        app.log.warn({ stream: stream.id, error: errorText(error) }, 'backfill not looked at'),
      )
      .finally(() => {
        looking = null;
        lookedAt = performance.now();
      });
  }

  // Each reader counts for itself; who watches sees one backfill.
  const counts = new Map<number, RunCounts>();
  const whole = createWhole(stream.order, Number.NEGATIVE_INFINITY);
  whole.wants(before.missing);
  const together = (event: RunEvent, reader: number): RunEvent => {
    if (event.kind === 'window') return { ...event, whole: whole.share() };
    if (event.kind !== 'stored' && event.kind !== 'retrying') return event;
    counts.set(reader, event);
    const sum = sumOf([...counts.values()]);
    if (event.kind === 'retrying') return { ...event, ...sum };
    whole.reads(event.window, event.share);
    return { ...event, ...sum, whole: whole.share() };
  };

  async function read(_: unknown, reader: number): Promise<RunResult> {
    const result = await readStream(app, open, {
      job: 'backfill',
      // What the live log owes is not changed by a backfill.
      askedFrom: before.askedFrom ?? app.clock.now(),
      plan: (progress, { targetMs, nowMs }) => {
        const known = app.clock.now() + (status.skewMs ?? Number.POSITIVE_INFINITY);
        const edgeMs = readableFrom(Math.min(nowMs, known), open.settings.retentionMs);
        const { wanted, windowMs } = status;
        // One at a time: what nobody is reading stays free for the live log to plan.
        return planBackfill(progress, { wanted, targetMs, edgeMs, windowMs }).windows.slice(0, 1);
      },
      leadMs: 0,
      untilMs: null,
      again: null,
      settlesAfterMs: null,
      signal,
      mayRequest: ask.mayRequest,
      watch: (event) => {
        refresh();
        ask.watch(stream, together(event, reader));
      },
    });
    return result.outcome === 'stopped' && unwanted.signal.aborted && !ask.signal.aborted
      ? { ...result, outcome: 'done' }
      : result;
  }

  const runs = await Promise.allSettled(Array.from({ length: readers }, read));
  // Whoever called may close the app now.
  await looking;
  // What went wrong is thrown only after the others have finished their batches.
  return runs.map((run) => {
    if (run.status === 'rejected') throw run.reason;
    return run.value;
  });
}

/** Records what has expired by now and what is finished. */
async function recordProgress(
  app: App,
  { stream, settings }: OpenStream,
  skewMs: number | null,
): Promise<void> {
  const expiredBefore = skewMs === null ? null : floorSecond(app.clock.now() + skewMs - settings.retentionMs);
  await updateBackfills(app.store.pool, stream, expiredBefore);
}

/** Records until nothing is left that is just about to expire: that takes three seconds at most, and what is asked. */
async function recordEnd(
  app: App,
  open: OpenStream,
  skewMs: number | null,
  signal: AbortSignal,
): Promise<BackfillStatus> {
  for (let tries = 1; ; tries++) {
    await recordProgress(app, open, skewMs);
    const after = await readBackfillStatus(app, open, null, skewMs);
    const { windows, expired, inHand, later } = after.plan;
    const expiring = expired.length > 0 && windows.length + inHand.length + later.length === 0;
    if (!expiring || skewMs === null || tries === EDGE_TRIES || signal.aborted) return after;
    await app.clock.sleep(1_000, signal).catch(() => {});
  }
}

/** Several runs as one. */
function merged(results: readonly RunResult[]): RunResult {
  const outcomes = results.map(({ outcome }) => outcome);
  return {
    ...sumOf(results),
    outcome: outcomes.includes('failed') ? 'failed' : outcomes.includes('stopped') ? 'stopped' : 'done',
    error: results.find(({ error }) => error !== null)?.error ?? null,
    window: hull(results.flatMap(({ window }) => (window === null ? [] : [window]))),
    skewMs: results.findLast(({ skewMs }) => skewMs !== null)?.skewMs ?? null,
    againLeft: [],
  };
}

function sumOf(counts: readonly RunCounts[]): RunCounts {
  const totals = noTotals();
  const meter = createMeter();
  for (const count of counts) {
    for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += count.totals[key];
    for (const key of Object.keys(meter) as (keyof typeof meter)[]) meter[key] += count.meter[key];
  }
  return { totals, meter };
}
