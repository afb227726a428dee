import { setTimeout as delay } from 'node:timers/promises';
import type { Ms } from './model.ts';

/** A minute, in ms. */
export const MINUTE_MS = 60_000;
/** An hour, in ms. */
export const HOUR_MS = 60 * MINUTE_MS;
/** A day of UTC, in ms. */
export const DAY_MS = 24 * HOUR_MS;

/** The only way to tell or to pass time; tests bring their own. */
export interface Clock {
  /** Now by the local clock, in ms since the epoch. */
  now(): Ms;
  /** Resolves after `ms`; rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** The machine's clock. */
export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    try {
      await delay(ms, undefined, signal === undefined ? {} : { signal });
    } catch (error) {
      throw signal?.aborted ? signal.reason : error;
    }
  },
};

/**
 * `clock`, but for being set back: then it goes on from the latest time it gave, and from the end of a sleep that
 * has passed, lest what was to come at a time waits as much longer.
 */
export function steadyClock(clock: Clock): Clock {
  let addedMs = 0;
  let latest: Ms = Number.NEGATIVE_INFINITY;
  function atLeast(least: Ms): Ms {
    const now = clock.now() + addedMs;
    addedMs += Math.max(0, least - now);
    latest = Math.max(least, now);
    return latest;
  }
  return {
    now: () => atLeast(latest),
    async sleep(ms, signal) {
      const until = atLeast(latest) + ms;
      await clock.sleep(ms, signal);
      atLeast(Math.max(latest, until));
    },
  };
}
