import type { Clock } from '../clock.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { betweenEdges, floorSecond } from './spans.ts';

/** A walk this short is never split: what expires meanwhile is less than the requests that splitting costs. */
const WORTH_MS = 60_000;
/** A shorter time says too little of the pace: one slow answer would pass for all. */
const TIMED_MS = 5_000;
/** How long the walk of one piece should take. */
const PIECE_MS = 30_000;
const MAX_PIECES = 64;

/** How a newest-first walk gets on. */
export interface TimedWalk {
  readonly window: Span;
  /** Event times between which it was timed: newer ones were read before, older ones are left. */
  readonly timedFromMs: Ms;
  readonly reachedMs: Ms;
  /** How long the walk took from one to the other. */
  readonly elapsedMs: number;
  /** Now by the API's clock. */
  readonly apiNowMs: Ms;
  readonly retentionMs: number;
}

/**
 * Pieces to read instead, oldest first, when a newest-first walk would reach its oldest entries only after they
 * have expired; null while it gets there in time. The pages read so far are read once more: that costs requests,
 * the walk would cost entries.
 */
export function splitToOutrun(walk: TimedWalk): Spans | null {
  const { window, timedFromMs, reachedMs, elapsedMs, apiNowMs, retentionMs } = walk;
  const read = timedFromMs - reachedMs;
  // Time before the retention is read as far as the API shows it, but it is not owed.
  const owedFrom = Math.max(window.from, apiNowMs - retentionMs);
  const left = reachedMs - owedFrom;
  if (read <= 0 || left <= 0 || elapsedMs < TIMED_MS) return null;
  const leftMs = (elapsedMs * left) / read;
  const marginMs = owedFrom + retentionMs - apiNowMs;
  if (leftMs <= Math.max(marginMs, WORTH_MS)) return null;
  const length = window.to - owedFrom;
  const count = Math.min(MAX_PIECES, Math.ceil((elapsedMs * length) / read / PIECE_MS));
  const edges = new Set([window.from, window.to]);
  for (let i = 1; i < count; i++) edges.add(floorSecond(owedFrom + (i * length) / count));
  const sorted = [...edges].filter((edge) => edge >= window.from).sort((a, b) => a - b);
  return sorted.length <= 2 ? null : betweenEdges(sorted);
}

/** Times a newest-first walk, page by page, from its first one. */
export class WalkTimer {
  readonly #window: Span;
  readonly #retentionMs: number;
  readonly #clock: Clock;
  #start: { readonly atMs: Ms; readonly localMs: Ms } | null = null;

  constructor(window: Span, retentionMs: number, clock: Clock) {
    this.#window = window;
    this.#retentionMs = retentionMs;
    this.#clock = clock;
  }

  /** What `splitToOutrun` says after a page whose last row is of `reachedMs`, which the API gave at `apiNowMs`. */
  pieces(reachedMs: Ms | null, apiNowMs: Ms): Spans | null {
    if (reachedMs === null) return null;
    this.#start ??= { atMs: reachedMs, localMs: this.#clock.now() };
    return splitToOutrun({
      window: this.#window,
      timedFromMs: this.#start.atMs,
      reachedMs,
      elapsedMs: this.#clock.now() - this.#start.localMs,
      apiNowMs,
      retentionMs: this.#retentionMs,
    });
  }
}
