import type { Ms } from '../model.ts';
import type { Progress } from './ledger.ts';
import { type Ask, tailAlone } from './plan.ts';

/** Who draws on a quota. */
export interface Reader {
  /** Time between two ticks of its schedule. */
  readonly everyMs: number;
  /** Requests of a read that finds little. */
  readonly cost: number;
}

/** How often a stream is read where its schedule is quicker than its quota carries. */
export interface Spread {
  readonly everyMs: number;
  /** Time from read to read, on average; longer than `everyMs`. */
  readonly paceMs: number;
}

/** In the last moments of a quota window nothing need be saved any more; shorter windows are never spread. */
const LAST_MS = 5_000;
/** Share of the requests that slowed readers leave unused: otherwise a sweep or a backfill would never get any. */
const LEFT = 0.05;

/** Requests of a window of `limit` that are left for others; at least one is ours. */
export function keptFor(reserve: number, limit: number): number {
  return Math.max(0, Math.min(Math.ceil(limit * reserve), limit - 1));
}

/**
 * The time between reads, in ms, with which `requests`, but for a few, last for `restMs`: quicker readers are slowed
 * down to it, others keep their own pace. 0: none need be slowed, or there is nothing to spread and the quota itself
 * makes them wait.
 */
export function paceFor(requests: number, restMs: number, readers: readonly Reader[]): number {
  if (requests < 1 || restMs <= LAST_MS) return 0;
  const quickest = [...readers].sort((a, b) => a.everyMs - b.everyMs);
  let slowed = 0;
  const asked = quickest.reduce((sum, { everyMs, cost }) => sum + cost / everyMs, 0);
  if (asked <= requests / restMs) return 0;
  let left = (requests * (1 - LEFT)) / restMs - asked;
  for (const [index, { everyMs, cost }] of quickest.entries()) {
    slowed += cost;
    left += cost / everyMs;
    const paceMs = left > 0 ? slowed / left : Number.POSITIVE_INFINITY;
    if (paceMs <= (quickest[index + 1]?.everyMs ?? Number.POSITIVE_INFINITY)) return paceMs;
  }
  return 0;
}

/**
 * Whether a tick leaves the newest tail for a later one, the one that comes nearest to the pace. Never where anything
 * else is owed, or more than about a page by what the overlap holds.
 */
export function isEarly(progress: Progress, ask: Ask, { everyMs, paceMs }: Spread): boolean {
  const tailMs: Ms | null = tailAlone(progress, ask);
  if (tailMs === null || tailMs >= paceMs - everyMs / 2) return false;
  return progress.overlapEntries * tailMs <= ask.pageSize * ask.overlapMs;
}
