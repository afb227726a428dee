import { HOUR_MS, MINUTE_MS } from '../clock.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { keptFor } from './spread.ts';

/** How fast requests may follow each other. */
export interface Speed {
  /** Time of one request without any wait for quota. */
  readonly requestMs: number;
  /** Requests in flight at once. */
  readonly parallel: number;
  /** What the quota leaves a backfill; null: none was told. */
  readonly quota: {
    /** In the window that runs. */
    readonly now: number;
    readonly resetInMs: number;
    /** In each window after it; may be a fraction, or 0. */
    readonly each: number;
    readonly periodMs: number;
  } | null;
}

/** What is known of the quota and of what requests take. */
export interface SpeedFacts {
  readonly quota: {
    readonly limit: number | null;
    readonly remaining: number | null;
    readonly resetMs: Ms | null;
    /** Length of a quota window; null: not told. */
    readonly periodMs: number | null;
  };
  /** Share of the quota left for others. */
  readonly reserve: number;
  /** Requests per ms that the live log takes. */
  readonly livePerMs: number;
  readonly requestMs: number;
  readonly parallel: number;
  /** Now, by the clock of `resetMs`. */
  readonly nowMs: Ms;
}

/** Fewer requests a window are none. */
const LEAST_EACH = 1e-6;
/** Lengths that quota windows are known to have: where it was not told, the shortest that fits. */
const PERIODS_MS = [1_000, 10_000, MINUTE_MS, HOUR_MS];

/** What the present quota leaves a backfill when the live log has had its part, and the reserve is kept. */
export function speedOf(facts: SpeedFacts): Speed {
  const { quota, reserve, livePerMs, requestMs, parallel, nowMs } = facts;
  const { limit, remaining, resetMs } = quota;
  if (limit === null || resetMs === null) return { requestMs, parallel, quota: null };
  const resetInMs = resetMs > nowMs ? resetMs - nowMs : null;
  const periodMs = quota.periodMs ?? PERIODS_MS.find((period) => period >= (resetInMs ?? 0)) ?? HOUR_MS;
  const kept = keptFor(reserve, limit);
  const each = Math.max(0, limit - kept - livePerMs * periodMs);
  const now =
    resetInMs === null || remaining === null ? each : Math.max(0, remaining - kept - livePerMs * resetInMs);
  return { requestMs, parallel, quota: { now, resetInMs: resetInMs ?? periodMs, each, periodMs } };
}

/** What a plan is measured against. */
export interface Terms {
  /** Entries per ms; null: not known. */
  readonly density: number | null;
  readonly pageSize: number;
  readonly order: 'ascending' | 'descending';
  /** Now, by the API's clock. */
  readonly nowMs: Ms;
  readonly retentionMs: number;
  readonly speed: Speed;
}

/** What reading a plan's windows takes at least. */
export interface Estimate {
  /** Null: nothing near is covered that would tell. */
  readonly entries: number | null;
  /** One a window at least. */
  readonly requests: number;
  /** Infinity: the quota leaves nothing. */
  readonly timeMs: number;
  /** When the oldest of it expires; null: there is nothing to read. */
  readonly expiresMs: Ms | null;
  /** How much later than its expiry the worst part would be read; 0: all is read in time. */
  readonly lateMs: number;
  /** How much event time would expire unread, about, although what expires soonest is read first. */
  readonly lostMs: number;
  /** Entries of it, about; null: not known. */
  readonly lostEntries: number | null;
}

/** How long `requests` take; more of them never take less. Infinity where the quota leaves nothing. */
export function timeOf(requests: number, speed: Speed): number {
  const eachMs = speed.requestMs / speed.parallel;
  const { quota } = speed;
  if (quota === null || requests === 0) return requests * eachMs;
  const now = Math.max(0, Math.min(Math.floor(quota.now), Math.floor(quota.resetInMs / eachMs)));
  if (requests <= now) return requests * eachMs;
  if (quota.each < LEAST_EACH) return Number.POSITIVE_INFINITY;
  // Less than one request a window is one in several windows.
  const periodMs = Math.max(quota.periodMs / Math.min(1, quota.each), eachMs);
  const each = Math.max(1, Math.min(Math.floor(quota.each), Math.floor(periodMs / eachMs)));
  const rest = requests - now;
  const whole = Math.ceil(rest / each) - 1;
  return quota.resetInMs + whole * periodMs + (rest - whole * each) * eachMs;
}

/** Measures `windows`, which are read in their order. What is known is taken at its best: it cannot take less. */
export function estimateBackfill(windows: Spans, terms: Terms): Estimate {
  const { density, nowMs, retentionMs, speed } = terms;
  let requests = 0;
  let lengthMs = 0;
  let lateMs = 0;
  for (const window of windows) {
    requests += requestsOf(window, terms);
    lengthMs += window.to - window.from;
    lateMs = Math.max(lateMs, nowMs + timeOf(requests, speed) - deadlineOf(window, terms));
  }
  const lostMs = lateMs > 0 ? lostOf(windows, terms) : 0;
  const oldest = windows[0];
  return {
    entries: density === null ? null : Math.round(density * lengthMs),
    requests,
    timeMs: timeOf(requests, speed),
    expiresMs: oldest === undefined ? null : oldest.from + retentionMs,
    lateMs,
    lostMs: Math.round(lostMs),
    lostEntries: density === null ? null : Math.round(density * lostMs),
  };
}

function requestsOf(window: Span, { density, pageSize }: Terms): number {
  return Math.max(1, Math.ceil(((density ?? 0) * (window.to - window.from)) / pageSize));
}

/** When a walk must end to read everything in time: its last entry is the newest if it goes oldest first, else the oldest. */
function deadlineOf(window: Span, { order, retentionMs }: Terms): Ms {
  return (order === 'ascending' ? window.to : window.from) + retentionMs;
}

/** Plays the walk through, window by window. What has expired when its turn comes costs no request. */
function lostOf(windows: Spans, terms: Terms): number {
  const { nowMs, retentionMs, speed } = terms;
  let requests = 0;
  let lost = 0;
  for (const window of windows) {
    const begins = nowMs + timeOf(requests, speed);
    const from = Math.min(window.to, Math.max(window.from, begins - retentionMs));
    lost += from - window.from;
    if (from === window.to) continue;
    const left: Span = { from, to: window.to };
    const needed = requestsOf(left, terms);
    const ends = nowMs + timeOf(requests + needed, speed);
    const missed = ends > deadlineOf(left, terms) ? missedOf(left, begins, ends, terms) : 0;
    lost += missed;
    requests += Math.ceil(needed * (1 - missed / (left.to - left.from)));
  }
  return lost;
}

/** What a walk of even speed finds expired. Ascending, expiry catches up with it; descending, the two meet. */
function missedOf(left: Span, begins: Ms, ends: Ms, { order, retentionMs }: Terms): number {
  const size = left.to - left.from;
  const rate = size / (ends - begins);
  const leadMs = left.from + retentionMs - begins;
  if (order === 'descending') return Math.min(size, (size + leadMs) / (1 + rate) - leadMs);
  const metAfterMs = leadMs / (1 - rate);
  return (size - rate * metAfterMs) * (1 - rate);
}
