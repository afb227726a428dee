import type { Ms } from '../model.ts';

/** Whose request: 0 the live log, 1 a sweep, 2 a backfill. */
export type Rank = 0 | 1 | 2;

/** What a process has learnt of a credential's quota since it last reported, and what it asks for. Times in ms. */
export interface QuotaReport {
  readonly rank: Rank;
  /** Requests that wait; 0 asks for none. */
  readonly need: number;
  /** Requests given to us that are not answered yet: sent or still in hand. */
  readonly holding: number;
  /** Share of the quota (0 to 1) left for others. */
  readonly reserve: number;
  /** Requests sent for the live log. */
  readonly live: number;
  /** Requests without an answer that told of the quota: each may have cost one. */
  readonly unanswered: number;
  /** The API refused us and wants this wait; 0: it did not. */
  readonly pauseMs: number;
  /** Our answers tell of no quota. */
  readonly unbounded: boolean;
  /** The window that is open, as its answers told; null: none is known. */
  readonly window: {
    readonly limit: number | null;
    readonly remaining: number;
    readonly restMs: number;
    /** Since the request was sent whose answer told it last. */
    readonly ageMs: number;
    readonly windowId: number | null;
    readonly periodMs: number | null;
  } | null;
  /** We are done with this credential. */
  readonly leaves: boolean;
}

/** What all processes together know, and what was given to this one. Times in ms. */
export interface QuotaGrant {
  readonly granted: number;
  /** When nothing was given: after this it is worth asking again. */
  readonly waitMs: number;
  /** The API refused some process: nobody sends for so long; 0: it did not. */
  readonly pauseMs: number;
  /** No requests are counted out: no quota is told, or its windows are too short for that. */
  readonly unbounded: boolean;
  /** The window that is open; null: none is known. */
  readonly window: {
    readonly limit: number | null;
    readonly remaining: number;
    readonly restMs: number;
    readonly windowId: number | null;
  } | null;
  readonly periodMs: number | null;
  /** Other processes heard of within the last 15 s, and those of them that read the live log. */
  readonly others: number;
  readonly othersLive: number;
}

/** The quota as all processes share it. */
export interface SharedQuota {
  /**
   * Reports, and takes what it can get, in one atomic step; `key` names the gate (`QuotaGate.key`). Null where the
   * others cannot be reached, which has been logged.
   */
  take(key: string, report: QuotaReport): Promise<QuotaGrant | null>;
}

/** When the next of a window's requests may be decided by each process alone: it is over too soon for more. */
export const SHORT_WINDOW_MS: Ms = 5_000;

/** The rank of a `Turn.priority` (0 to 9). */
export function rankOf(priority: number): Rank {
  if (priority <= 3) return 0;
  return priority <= 6 ? 1 : 2;
}
