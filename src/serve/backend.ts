import type { Job } from '../../jobs/job.ts';
import { openDatabase } from '../app.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { errorText, isFailure, remedyOf } from '../errors.ts';
import type { Log } from '../log.ts';
import { mayPass, type Store } from '../store/database.ts';
import { type JobQueue, migrateQueue, openQueue } from './queue.ts';

/** A connection to Postgres on which nothing is heard for so long is lost; no statement of a service takes longer. */
export const SILENCE_MS = 60_000;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 4_000;
/** How often a database that stays away is complained of. */
const COMPLAIN_MS = 60_000;

/** The database and the job queue on it, for as long as a process works. */
export interface Backend {
  readonly store: Store;
  readonly queue: JobQueue;
  close(): Promise<void>;
}

/** What opening the backend needs. */
export interface BackendOptions {
  readonly config: Config;
  readonly jobs: readonly Job[];
  readonly log: Log;
}

/** Opens the database of `config`, its tables and the queue's brought up to date first. Throws `database`, `config`. */
export async function openBackend({ config, jobs, log }: BackendOptions): Promise<Backend> {
  const database = await openDatabase(config, log, { migrate: true, silenceMs: SILENCE_MS });
  try {
    const { directUrl, directFrom } = config.database;
    await migrateQueue({ url: directUrl ?? database.url, from: directFrom ?? database.from }, jobs, log);
    const { store } = database;
    const queue = await openQueue({ pool: store.pool, jobs, log });
    return {
      store,
      queue,
      close: async () => {
        await queue.close();
        await database.close();
      },
    };
  } catch (error) {
    await database.close();
    throw error;
  }
}

/** Waits for as long as `open` fails for a database that is away; throws any other failure, and the signal's reason. */
export async function untilReachable<T>(
  open: () => Promise<T>,
  { clock, log, signal }: { readonly clock: Clock; readonly log: Log; readonly signal: AbortSignal },
): Promise<T> {
  const beganMs = performance.now();
  let complainedMs = Number.NEGATIVE_INFINITY;
  for (let waitMs = FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, LONGEST_WAIT_MS)) {
    try {
      return await open();
    } catch (error) {
      if (!isFailure(error, 'database') || !mayPass(error.cause)) throw error;
      const now = performance.now();
      if (now - complainedMs >= COMPLAIN_MS) {
        complainedMs = now;
        const [text, ms] = [errorText(error), Math.round(now - beganMs)];
        log.warn({ error: text, remedy: remedyOf(error), ms }, 'waiting for the database');
      }
    }
    await clock.sleep(waitMs, signal);
  }
}
