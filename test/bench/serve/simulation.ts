import { setTimeout as delay } from 'node:timers/promises';
import type { JobContext, StreamJob } from '../../../jobs/job.ts';
import { type App, type OpenStream, openApp } from '../../../src/app.ts';
import type { Clock } from '../../../src/clock.ts';
import { type Config, loadConfig } from '../../../src/config.ts';
import { silentLog } from '../../../src/log.ts';
import type { Ms } from '../../../src/model.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts';
import { SOURCES } from '../../../src/sources/list.ts';
import type { StreamSettings } from '../../../src/sources/source.ts';
import type { BenchDatabase } from '../database.ts';
import type { SourceName } from '../pages.ts';

/** Looks in a row that find everybody asleep before time goes on. */
const STILL = 3;
const LOOK_MS = 2;

/** The app against the sandbox on a clock that goes on only while all sleep: hours in seconds. */
export interface Simulation {
  readonly sandbox: Sandbox;
  readonly database: BenchDatabase;
  readonly settings: StreamSettings;
  now(): Ms;
  /** Begins a job as the queue would: the one that runs already is left alone, and ended at its time limit. */
  start(job: StreamJob): void;
  running(job: StreamJob): boolean;
  /** So much time in which nothing runs. */
  advance(ms: number): void;
  /** Lets time pass up to `to`; null: until nothing runs. */
  pass(to: Ms | null): Promise<void>;
  close(): Promise<void>;
}

interface Running {
  readonly untilMs: Ms;
  readonly abort: AbortController;
}

/** Opens a simulation of one stream that begins at `startMs`; `changes` differ from the default settings. */
export async function openSimulation(
  database: BenchDatabase,
  source: SourceName,
  startMs: Ms,
  options: { readonly sandbox: SandboxOptions; readonly changes?: Partial<StreamSettings> },
): Promise<Simulation> {
  let nowMs = startMs;
  const now = () => nowMs;
  const sleepers = new Set<{ readonly dueMs: Ms; readonly wake: () => void }>();
  let slept = 0;
  const clock: Clock = {
    now,
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        slept += 1;
        const done = (then: () => void) => {
          sleepers.delete(one);
          signal?.removeEventListener('abort', stop);
          then();
        };
        const stop = () => done(() => reject(signal?.reason));
        const one = { dueMs: nowMs + Math.max(0, ms), wake: () => done(resolve) };
        sleepers.add(one);
        if (signal?.aborted) stop();
        else signal?.addEventListener('abort', stop, { once: true });
      }),
  };
  const sandbox = await startSandbox({ ...options.sandbox, clock });
  const config = loadConfig({
    env: { ...sandbox.env, DATABASE_URL: database.url },
    cwd: '/nonexistent',
    file: null,
    sources: SOURCES,
  });
  const [first] = config.streams.filter((stream) => stream.source === source);
  if (first === undefined) throw new Error(`${source}: the environment declares no stream of it`);
  const settings = { ...first, ...options.changes };
  const app = await openApp(config, [settings], clock, silentLog, { migrate: false });
  const jobs = runner(app, config, now);

  /** Everybody sleeps: no connection in use, no request on its way, nothing that began or ended meanwhile. */
  const stillness = async () => {
    const { pool } = app.store;
    let seen = '';
    // A job of which nobody sleeps is at work, however long nothing is seen of it.
    for (let still = 0; !jobs.idle() && (still < STILL || sleepers.size === 0); still += 1) {
      await delay(LOOK_MS);
      const signs = `${slept} ${sandbox.requests().at(-1)?.atMs} ${sandbox.requests().length} ${jobs.ended()}`;
      if (signs !== seen || pool.idleCount < pool.totalCount || pool.waitingCount > 0) still = 0;
      seen = signs;
    }
  };
  return {
    sandbox,
    database,
    settings,
    now,
    start: jobs.start,
    running: jobs.running,
    advance(ms) {
      nowMs += ms;
    },
    async pass(to) {
      for (;;) {
        await stillness();
        jobs.rethrow();
        if (to === null && jobs.idle()) return;
        const next = [...sleepers].sort((a, b) => a.dueMs - b.dueMs)[0];
        const untilMs = Math.min(next?.dueMs ?? Number.POSITIVE_INFINITY, to ?? Number.POSITIVE_INFINITY);
        nowMs = Math.max(nowMs, untilMs);
        jobs.limit();
        if (next === undefined || next.dueMs > untilMs) return;
        next.wake();
      }
    },
    close: async () => {
      await app.close();
      await sandbox.close();
    },
  };
}

function runner(app: App, config: Config, now: () => Ms) {
  const running = new Map<StreamJob, Running>();
  let ended = 0;
  let failure: unknown = null;
  return {
    start(job: StreamJob) {
      if (running.has(job)) return;
      const abort = new AbortController();
      const context: JobContext = { app, config, signal: abort.signal, watch: () => {} };
      running.set(job, { untilMs: now() + job.timeoutMs, abort });
      void job
        .run(context, app.streams[0] as OpenStream)
        .then(
          ({ error }) => {
            failure ??= error;
          },
          (error: unknown) => {
            failure ??= error;
          },
        )
        .finally(() => {
          running.delete(job);
          ended += 1;
        });
    },
    running: (job: StreamJob) => running.has(job),
    idle: () => running.size === 0,
    ended: () => ended,
    /** A simulated job that failed is no measurement. */
    rethrow() {
      if (failure !== null) throw failure;
    },
    /** Ends what has reached its time limit; what is left, the next tick goes on with. */
    limit() {
      for (const { untilMs, abort } of running.values()) if (now() >= untilMs) abort.abort();
    },
  };
}
