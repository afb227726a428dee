import { setTimeout as delay } from 'node:timers/promises';
import type { Ms } from './model.ts';

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
