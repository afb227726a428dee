import { setTimeout as delay } from 'node:timers/promises';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import type { Entry } from './clockwork.ts';
import type { JobQueue } from './queue.ts';

const AGAIN_MS = 2_000;
/** Processes that start at about the same time ask for the first round once. */
const ROUND_MS = 10_000;

/** Turns ticks into jobs. */
export interface Ticker {
  /** Asks for the job; while the database is away it goes on trying, once however many ticks pass. */
  readonly tick: (entry: Entry, atMs: Ms) => void;
  tickAll(entries: readonly Entry[]): void;
  stop(): void;
}

/** A ticker of `queue`; `wake` is told of each job that may wait now. */
export function createTicker(options: {
  readonly queue: JobQueue;
  readonly log: Log;
  readonly wake: (job: string) => void;
}): Ticker {
  const { queue, log, wake } = options;
  const stopping = new AbortController();
  const owed = new Set<string>();

  async function ask({ job, stream }: Entry, atMs: Ms): Promise<void> {
    const key = `${job} ${stream ?? ''}`;
    if (owed.has(key)) return;
    owed.add(key);
    try {
      while (!stopping.signal.aborted) {
        try {
          await queue.send(job, stream, atMs);
          wake(job);
          return;
        } catch (error) {
          log.debug({ job, stream, error: String(error) }, 'tick not sent: trying again');
        }
        await delay(AGAIN_MS, undefined, { signal: stopping.signal }).catch(() => {});
      }
    } finally {
      owed.delete(key);
    }
  }

  const tick = (entry: Entry, atMs: Ms) => void ask(entry, atMs);
  return {
    tick,
    tickAll(entries) {
      for (const entry of entries) tick(entry, Math.floor(Date.now() / ROUND_MS) * ROUND_MS);
    },
    stop: () => stopping.abort(),
  };
}
