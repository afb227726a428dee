import type { Pace } from './ledger.ts';

/** A wait shorter than this is not worth a row. */
export const LONG_WAIT_MS = 5_000;

/** Follows a run to tell what it is at. Times are of the monotonic clock. */
export interface PaceTimer {
  /** A wait for quota of `waitMs` begins. */
  waits(waitMs: number): void;
  /** So much of the window (0 to 1; null: not known) is stored. */
  stored(windowId: string, share: number | null): void;
  now(): Pace;
}

/** A timer that has seen nothing yet; `elapsed` gives ms since any fixed moment. */
export function createPace(elapsed: () => number = () => performance.now()): PaceTimer {
  let waitsUntil = 0;
  let window: { readonly id: string; readonly share: number; readonly at: number } | null = null;
  let latest: { readonly share: number; readonly at: number } | null = null;
  return {
    waits(waitMs) {
      waitsUntil = elapsed() + waitMs;
    },
    stored(id, share) {
      const at = elapsed();
      latest = share === null ? null : { share, at };
      if (window?.id === id && share !== null) return;
      // What was read before the first batch took its time before anybody looked: the pace begins here.
      window = share === null ? null : { id, share, at };
    },
    now() {
      const waitMs = waitsUntil - elapsed();
      return { waitMs: waitMs > 0 ? waitMs : null, toGoMs: toGo() };
    },
  };

  function toGo(): number | null {
    if (window === null || latest === null || latest.share <= window.share) return null;
    const restMs = ((latest.at - window.at) * (1 - latest.share)) / (latest.share - window.share);
    return Math.max(0, restMs - (elapsed() - latest.at));
  }
}
