import { HOUR_MS } from '../clock.ts';
import type { Ms, Span, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { missingOf } from './reach.ts';
import { betweenEdges, floorSecond, intersect, length, subtract } from './spans.ts';

/** Pages that a window should hold: its last page, on average half empty, then costs a hundredth. */
const WINDOW_PAGES = 50;
const SHORTEST_MS = 10_000;
/** The longest window, and the length where the amount is not known: readers share the work by windows, and a crash costs one. */
const LONGEST_MS = 6 * HOUR_MS;
/** More windows than this would gain nothing over longer ones. */
const MOST_WINDOWS = 10_000;
/** The API's Date has whole seconds, and a claim begins a second after the edge of the retention. */
const LEAST_AFTER_EXPIRY_MS = 2_000;

/** What is to be read of the past, and what is known of it. */
export interface BackfillPlanAsk {
  /** Spans that open backfills ask for. */
  readonly wanted: Spans;
  /** Read no further, exclusive: the API's now less the settle delay. */
  readonly targetMs: Ms;
  /** What lies before can no longer be claimed: `readableFrom`. */
  readonly edgeMs: Ms;
  /** Length of a window, at most. */
  readonly windowMs: number;
}

/** What becomes of the wanted time that is not covered yet; with what is covered, these four make up all of it. */
export interface BackfillPlan {
  /** To read, oldest-expiring first; none overlaps another, an open window or what is there. */
  readonly windows: Spans;
  /** Older than the edge, and in nobody's hands: lost. */
  readonly expired: Spans;
  /** In open windows, of whatever job. */
  readonly inHand: Spans;
  /** Too young to be claimed: beyond the target. */
  readonly later: Spans;
}

/** The earliest event time that an answer of an API with this retention can still claim at `apiNowMs`. */
export function readableFrom(apiNowMs: Ms, retentionMs: number): Ms {
  return floorSecond(apiNowMs - retentionMs) + LEAST_AFTER_EXPIRY_MS;
}

/**
 * Divides what is missing of the wanted time. All entries of a stream live equally long, so that oldest first is
 * also the order of expiry.
 */
export function planBackfill(
  progress: Pick<Progress, 'covered' | 'expired' | 'oversize' | 'open'>,
  ask: BackfillPlanAsk,
): BackfillPlan {
  const missing = missingOf(progress, ask.wanted);
  const free = subtract(missing, progress.open);
  const edge = Math.min(ask.edgeMs, floorSecond(ask.targetMs));
  const readable = intersect(free, [{ from: edge, to: floorSecond(ask.targetMs) }]);
  const windowMs = Math.max(ask.windowMs, length(readable) / MOST_WINDOWS);
  return {
    windows: readable.flatMap((span) => cut(span, windowMs)),
    expired: intersect(free, [{ from: Number.NEGATIVE_INFINITY, to: edge }]),
    inHand: intersect(missing, progress.open),
    later: intersect(free, [{ from: floorSecond(ask.targetMs), to: Number.POSITIVE_INFINITY }]),
  };
}

/** How long a window should be where an API holds `density` entries per ms; null: not known. */
export function windowLength(density: number | null, pageSize: number): number {
  if (density === null || density === 0) return LONGEST_MS;
  return Math.min(LONGEST_MS, Math.max(SHORTEST_MS, (WINDOW_PAGES * pageSize) / density));
}

/** Covered time next to what is missing, nearest first on each side and at most `reachMs` of each: how much it holds tells what to expect. */
export function neighboursOf(covered: Spans, missing: Spans, reachMs: number): Spans {
  const first = missing[0];
  const last = missing.at(-1);
  if (first === undefined || last === undefined) return [];
  const before = take(
    intersect(covered, [{ from: Number.NEGATIVE_INFINITY, to: first.from }]),
    reachMs,
    'last',
  );
  const within = intersect(covered, [{ from: first.from, to: last.to }]);
  const after = take(intersect(covered, [{ from: last.to, to: Number.POSITIVE_INFINITY }]), reachMs, 'first');
  return [...before, ...take(within, reachMs, 'first'), ...after];
}

/** Equal pieces of at most `pieceMs`, edges on whole seconds. */
function cut(span: Span, pieceMs: number): Spans {
  const count = Math.ceil((span.to - span.from) / pieceMs);
  const edges = new Set([span.from]);
  for (let i = 1; i < count; i++) {
    const edge = floorSecond(span.from + (i * (span.to - span.from)) / count);
    if (edge > span.from) edges.add(edge);
  }
  return betweenEdges([...edges, span.to]);
}

/** `lengthMs` of spans from one end. */
function take(spans: Spans, lengthMs: number, end: 'first' | 'last'): Spans {
  const taken: Span[] = [];
  let left = lengthMs;
  for (const span of end === 'first' ? spans : spans.toReversed()) {
    const some = Math.min(left, span.to - span.from);
    if (some <= 0) break;
    taken.push(
      end === 'first' ? { from: span.from, to: span.from + some } : { from: span.to - some, to: span.to },
    );
    left -= some;
  }
  return end === 'first' ? taken : taken.reverse();
}
