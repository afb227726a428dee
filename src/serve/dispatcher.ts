import { setTimeout as delay } from 'node:timers/promises';
import { errorText, isFailure } from '../errors.ts';
import { type Log, logBug } from '../log.ts';
import type { Ms } from '../model.ts';
import type { ScheduledJob } from './cron.ts';
import type { JobQueue } from './queue.ts';

const AGAIN_MS = 2_000;
/** Processes that start at about the same time ask for the first round once. */
const ROUND_MS = 10_000;

/** Sends to the queue what is due. */
export interface Dispatcher {
  /** Asks for the job; while the database is away it goes on trying, once however many ticks pass. */
  readonly send: (scheduled: ScheduledJob, atMs: Ms) => void;
  readonly sendAll: (timetable: readonly ScheduledJob[]) => void;
  stop(): void;
}

/** A dispatcher to `queue`; `wake` is told of each job that may wait now. */
export function createDispatcher(options: {
  readonly queue: Pick<JobQueue, 'send'>;
  readonly log: Log;
  readonly wake: (job: string) => void;
  /** How many are to share the work now, 1 at least. */
  readonly lanes: (scheduled: ScheduledJob) => Promise<number>;
}): Dispatcher {
  const { queue, log, wake, lanes } = options;
  const stopping = new AbortController();
  const owed = new Set<string>();

  async function ask(scheduled: ScheduledJob, atMs: Ms): Promise<void> {
    const { job, stream } = scheduled;
    const key = `${job} ${stream ?? ''}`;
    if (owed.has(key)) return;
    owed.add(key);
    try {
      while (!stopping.signal.aborted) {
        try {
          await queue.send(job, stream, atMs);
          wake(job);
          const count = await lanes(scheduled);
          for (let lane = 1; lane < count; lane++) await queue.send(job, stream, atMs, lane);
          if (count > 1) wake(job);
          return;
        } catch (error) {
          if (!isFailure(error, 'database')) {
            // Once we leave, what it asks may be closed already.
            if (!stopping.signal.aborted) logBug(log, { job, stream }, error);
            return;
          }
          log.debug({ job, stream, error: errorText(error) }, 'job not sent: trying again');
        }
        await delay(AGAIN_MS, undefined, { signal: stopping.signal }).catch(() => {});
      }
    } finally {
      owed.delete(key);
    }
  }

  return {
    send: (scheduled, atMs) => void ask(scheduled, atMs),
    sendAll(timetable) {
      const roundMs = Math.floor(Date.now() / ROUND_MS) * ROUND_MS;
      for (const scheduled of timetable) void ask(scheduled, roundMs);
    },
    stop: () => stopping.abort(),
  };
}
