import type { Job, JobReport } from '../../jobs/job.ts';
import { formatDuration } from '../durations.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Claim, JobQueue } from './queue.ts';

/** How often it is looked whether something waits; a tick of our own clock does not wait for it. */
const POLL_MS = 2_000;
/** How often we say that a job is in hand; well within the queue's ten seconds. */
const HOLD_MS = 3_000;
/** How often a job's end is told to a database that is away: after that its heartbeat has run out anyway. */
const TELL_TRIES = 5;

/** Does one job; failed calls may be thrown or reported. */
export type Work = (signal: AbortSignal) => Promise<JobReport>;

/** A job in hand. */
export interface Execution {
  readonly job: Job;
  readonly claim: Claim;
  readonly startedMs: number;
}

/** What a worker needs. */
export interface WorkerOptions {
  readonly queue: JobQueue;
  readonly jobs: readonly Job[];
  readonly log: Log;
  /** How a claim is worked on; null: its stream is not of this process, another is to have it. */
  readonly find: (job: Job, claim: Claim) => Work | null;
  readonly onReport?: (execution: Execution, report: JobReport) => void;
}

/** Takes jobs from the queue and works on them, several at once, until stopped. */
export interface Worker {
  /** Something of this kind may wait: looks at once. */
  wake(job: string): void;
  /** What is in hand. */
  executions(): readonly Execution[];
  /** Since when, by `performance.now()`, the queue cannot be reached; null: it can. */
  awaySince(): number | null;
  /** Hands over what is in hand, after the batch of each; takes nothing until `go`. */
  pause(): Promise<void>;
  go(): void;
  /** Like `pause`, for good. */
  stop(): Promise<void>;
}

interface Running extends Execution {
  readonly abort: AbortController;
  readonly ended: Promise<void>;
}

/** Starts working at once. */
export function startWorker({ queue, jobs, log, find, onReport }: WorkerOptions): Worker {
  const running = new Set<Running>();
  /** Streams that other processes know and this one does not. */
  const strangers = new Set<string>();
  const woken = new Set<string>();
  let state: 'going' | 'paused' | 'stopped' = 'going';
  let away: number | null = null;
  let holding = false;
  let wakeUp: (() => void) | null = null;

  async function loop(): Promise<void> {
    while (state !== 'stopped') {
      try {
        if (state === 'going') await look();
        if (away !== null)
          log.info({ ms: Math.round(performance.now() - away) }, 'the job queue is reachable again');
        away = null;
      } catch (error) {
        if (away === null)
          log.warn({ error: String(error) }, 'the job queue cannot be reached: waiting for the database');
        away ??= performance.now();
      }
      await rest();
    }
  }

  async function look(): Promise<void> {
    const asked = [...woken];
    woken.clear();
    const names = asked.length > 0 ? asked : await queue.due();
    for (const job of jobs) {
      if (!names.includes(job.name)) continue;
      const free = job.atOnce - [...running].filter((one) => one.job === job).length;
      if (free <= 0) continue;
      const claims = await queue.take(job.name, free, [...strangers]);
      for (const claim of claims) begin(job, claim);
    }
  }

  function rest(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, woken.size > 0 && away === null ? 0 : POLL_MS);
      wakeUp = () => {
        if (away !== null && state !== 'stopped') return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function begin(job: Job, claim: Claim): void {
    const work = state === 'going' ? find(job, claim) : null;
    if (work === null) {
      if (claim.stream !== null && state === 'going') strangers.add(claim.stream);
      void tell(claim, () => queue.giveBack(claim));
      return;
    }
    const abort = new AbortController();
    const { promise: ended, resolve } = Promise.withResolvers<void>();
    const one: Running = { job, claim, startedMs: performance.now(), abort, ended };
    running.add(one);
    void execute(one, work).finally(resolve);
  }

  async function execute(one: Running, work: Work): Promise<void> {
    const { job, claim, abort } = one;
    const limit = setTimeout(
      () =>
        abort.abort(
          new LogkeepError(
            'aborted',
            `${job.name}: stopped at its time limit of ${formatDuration(job.timeoutMs)}`,
          ),
        ),
      job.timeoutMs,
    );
    const report = await settled(one, work);
    clearTimeout(limit);
    running.delete(one);
    onReport?.(one, report);
    sayReport(one, report);
    if (isFailure(abort.signal.reason, 'lease')) return;
    if (abort.signal.reason === HANDED_OVER && report.outcome === 'stopped') {
      await tell(claim, () => queue.giveBack(claim));
      return;
    }
    await tell(claim, () =>
      queue.finish(claim, {
        outcome: report.outcome,
        error: report.error === null ? null : report.error.message,
        counts: report.counts,
      }),
    );
  }

  async function settled(one: Running, work: Work): Promise<JobReport> {
    try {
      return await work(one.abort.signal);
    } catch (error) {
      if (error instanceof LogkeepError) return { outcome: 'failed', error, counts: {} };
      // One job's bug must not end the others; its tick will come again.
      const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
      log.error(
        { job: one.job.name, stream: one.claim.stream, stack },
        'this is a bug in logkeep; please report it',
      );
      return { outcome: 'failed', error: new LogkeepError('aborted', String(error)), counts: {} };
    }
  }

  function sayReport({ job, claim, startedMs }: Running, { outcome, error, counts }: JobReport): void {
    const fields = {
      job: job.name,
      ...(claim.stream === null ? {} : { stream: claim.stream }),
      outcome,
      ms: Math.round(performance.now() - startedMs),
      ...counts,
    };
    if (outcome === 'failed') log.warn({ ...fields, kind: error?.kind, error: error?.message }, 'run failed');
    else if (outcome === 'done' && Object.values(counts).every((count) => count === 0)) {
      // There was nothing to do, as mostly with backfills.
      log.debug(fields, 'run ended');
    } else log.info(fields, 'run ended');
  }

  /** Tells the queue what became of a claim; where it cannot be told, the heartbeat tells it. */
  async function tell(claim: Claim, telling: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await telling();
      } catch (error) {
        if (tries === TELL_TRIES || state === 'stopped') {
          log.debug(
            { job: claim.job, stream: claim.stream, error: String(error) },
            'end of job not recorded',
          );
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async function hold(): Promise<void> {
    if (holding || running.size === 0) return;
    holding = true;
    try {
      const lost = await queue.hold([...running].map(({ claim }) => claim));
      for (const one of running) {
        if (!lost.includes(one.claim)) continue;
        log.warn({ job: one.job.name, stream: one.claim.stream }, 'another process took the job over');
        one.abort.abort(new LogkeepError('lease', `${one.job.name}: another process took the job over`));
      }
    } catch (error) {
      log.debug({ error: String(error) }, 'sign of life not given');
    } finally {
      holding = false;
    }
  }

  async function handOver(): Promise<void> {
    const ended = [...running].map((one) => one.ended);
    for (const { abort } of running) abort.abort(HANDED_OVER);
    await Promise.all(ended);
  }

  const holder = setInterval(() => void hold(), HOLD_MS);
  const looping = loop();
  return {
    wake(job) {
      woken.add(job);
      wakeUp?.();
    },
    executions: () => [...running],
    awaySince: () => away,
    async pause() {
      state = 'paused';
      await handOver();
    },
    go() {
      strangers.clear();
      state = 'going';
      for (const { name } of jobs) woken.add(name);
      wakeUp?.();
    },
    async stop() {
      state = 'stopped';
      wakeUp?.();
      await Promise.all([handOver(), looping]);
      clearInterval(holder);
    },
  };
}

/** Why a job stops that another process, or this one later, goes on with. */
const HANDED_OVER = new LogkeepError('aborted', 'stopped on request');
