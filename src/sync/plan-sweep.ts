import { HOUR_MS, MINUTE_MS } from '../clock.ts';
import type { Ms, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { betweenEdges, floorSecond, intersect, subtract, union } from './spans.ts';

/** The time between two sweeps, so that each reads one window. A late entry makes its whole window be swept again. */
const WINDOW_MS = 6 * HOUR_MS;
/** Entries this close to their expiry may vanish while they are read, which would prove nothing. */
const EXPIRING_MS = 10 * MINUTE_MS;

/** What a sweep wants of a stream, and when. */
export interface SweepAsk {
  /** Now, by the API's clock as far as it is known. */
  readonly nowMs: Ms;
  /** How often this run has planned before. */
  readonly round: number;
  /** The age from which on entries are taken to have come. */
  readonly sweepAfterMs: number;
  readonly retentionMs: number;
}

/** From here on what the API shows stays there while it is read; by the API's clock. */
export function stayingFrom(nowMs: Ms, retentionMs: number): Ms {
  return floorSecond(nowMs - retentionMs + EXPIRING_MS) + 1000;
}

/**
 * Windows to read once more: what is covered, beyond the lateness horizon, still shown by the API and not settled,
 * in windows of about six hours, the one that expires first at the front. A run plans once: what brings something new
 * is swept again by the next one.
 */
export function planSweep(progress: Progress, ask: SweepAsk): Spans {
  const { nowMs, sweepAfterMs, retentionMs } = ask;
  if (ask.round > 0) return [];
  const from = stayingFrom(nowMs, retentionMs);
  const to = floorSecond(nowMs - sweepAfterMs);
  if (to <= from) return [];
  const due = intersect(progress.covered, [{ from, to }]);
  return subtract(due, union(progress.settled, progress.open, progress.oversize)).flatMap(pieces);
}

function pieces({ from, to }: Spans[number]): Spans {
  const count = Math.max(1, Math.round((to - from) / WINDOW_MS));
  const inner = Array.from({ length: count - 1 }, (_, i) =>
    floorSecond(from + ((to - from) * (i + 1)) / count),
  );
  return betweenEdges([from, ...inner, to]);
}
