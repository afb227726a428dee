import type { Job, JobReport } from '../../jobs/job.ts';
import { formatDuration } from '../durations.ts';
import { errorJson, errorText, isFailure, LogkeepError } from '../errors.ts';
import { type Log, logBug } from '../log.ts';
import type { Claim, JobQueue } from './queue.ts';

/** How often it is looked whether something waits; a tick of our own clock does not wait for it. */
const POLL_MS = 2_000;
/** How often we say that a job is in hand; well within the queue's ten seconds. */
const RENEW_MS = 3_000;
/** How often a job's end is told to a database that is away: after that its heartbeat has run out anyway. */
const SETTLE_TRIES = 5;

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
  /** How a failed run is logged: `info` where whoever asked for it is told anyway; absent: `warn`. */
  readonly failureLevel?: 'warn' | 'info';
}

/** Takes jobs from the queue and works on them, several at once, until stopped. */
export interface Worker {
  /** Something of this kind may wait: looks at once. */
  wake(job: string): void;
  /** How many jobs are in hand. */
  inHand(): number;
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
export function startWorker({
  queue,
  jobs,
  log,
  find,
  onReport,
  failureLevel = 'warn',
}: WorkerOptions): Worker {
  const running = new Set<Running>();
  /** Streams that other processes have in their settings and this one has not. */
  const foreign = new Set<string>();
  const woken = new Set<string>();
  let polledAt = Number.NEGATIVE_INFINITY;
  let state: 'going' | 'paused' | 'stopped' = 'going';
  let awaySince: number | null = null;
  let renewing = false;
  let wakeUp: (() => void) | null = null;

  async function loop(): Promise<void> {
    while (state !== 'stopped') {
      try {
        if (state === 'going') await takeWaiting();
        if (awaySince !== null)
          log.info({ ms: Math.round(performance.now() - awaySince) }, 'the job queue is reachable again');
        awaySince = null;
      } catch (error) {
        if (awaySince === null) {
          if (isFailure(error, 'database'))
            log.warn(
              { error: errorText(error) },
              'the job queue cannot be reached: waiting for the database',
            );
          else logBug(log, {}, error);
        }
        awaySince ??= performance.now();
      }
      await idle();
    }
  }

  async function takeWaiting(): Promise<void> {
    const asked = [...woken];
    woken.clear();
    const polls = asked.length === 0 || performance.now() - polledAt >= POLL_MS;
    const due = polls ? await queue.due() : [];
    if (polls) polledAt = performance.now();
    for (const job of jobs) {
      if (!asked.includes(job.name) && !due.includes(job.name)) continue;
      if (job.perStream && job.lanes !== undefined) {
        await takeLanes(job, polls);
        continue;
      }
      const free = job.atOnce - [...running].filter((one) => one.job === job).length;
      if (free <= 0) continue;
      const claims = await queue.take(job.name, free, [...foreign]);
      for (const claim of claims) begin(job, claim);
    }
  }

  /**
   * Takes one lane of each stream, so that every process has its part, and at each poll one `more` that nobody took:
   * a process that is alone thus has them all after a while.
   */
  async function takeLanes(job: Job, more: boolean): Promise<void> {
    for (let first = true; state === 'going'; first = false) {
      const ours = [...running].filter((one) => one.job === job);
      if (ours.length >= job.atOnce) return;
      const streams = ours.flatMap(({ claim: { stream } }) => (stream === null ? [] : [stream]));
      const [claim] = await queue.take(job.name, 1, [...foreign, ...(first && more ? [] : streams)]);
      if (claim === undefined) return;
      begin(job, claim);
    }
  }

  function idle(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, woken.size > 0 && awaySince === null ? 0 : POLL_MS);
      wakeUp = () => {
        if (awaySince !== null && state !== 'stopped') return;
        clearTimeout(timer);
        resolve();
      };
    });
  }

  function begin(job: Job, claim: Claim): void {
    const work = state === 'going' ? find(job, claim) : null;
    if (work === null) {
      if (claim.stream !== null && state === 'going') foreign.add(claim.stream);
      void settle(claim, () => queue.giveBack(claim));
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
            'time_up',
            `${job.name}: stopped at its time limit of ${formatDuration(job.timeoutMs)}`,
          ),
        ),
      job.timeoutMs,
    );
    const report = await reportOf(one, work);
    clearTimeout(limit);
    running.delete(one);
    onReport?.(one, report);
    logReport(one, report);
    if (isFailure(abort.signal.reason, 'lease')) return;
    if (abort.signal.reason === HANDED_OVER && report.outcome === 'stopped') {
      await settle(claim, () => queue.giveBack(claim));
      return;
    }
    await settle(claim, () =>
      queue.finish(claim, {
        outcome: report.outcome,
        error: errorJson(report.error),
        counts: report.counts,
      }),
    );
  }

  async function reportOf(one: Running, work: Work): Promise<JobReport> {
    try {
      return await work(one.abort.signal);
    } catch (error) {
      if (error instanceof LogkeepError) return { outcome: 'failed', error, window: null, counts: {} };
      // One job's bug must not end the others; its tick will come again.
      logBug(log, { job: one.job.name, stream: one.claim.stream }, error);
      const bug = new LogkeepError('bug', String(error), { cause: error });
      return { outcome: 'failed', error: bug, window: null, counts: {} };
    }
  }

  function logReport(
    { job, claim, startedMs }: Running,
    { outcome, error, window, counts }: JobReport,
  ): void {
    const fields = {
      job: job.name,
      ...(claim.stream === null ? {} : { stream: claim.stream }),
      ...(claim.lane === 0 ? {} : { lane: claim.lane }),
      outcome,
      ...(window === null
        ? {}
        : {
            window_from: new Date(window.from).toISOString(),
            window_to: new Date(window.to).toISOString(),
          }),
      ms: Math.round(performance.now() - startedMs),
      ...counts,
    };
    if (outcome === 'failed') {
      const { message, ...told } = errorJson(error) ?? {};
      log[failureLevel]({ ...fields, error: message, ...told }, 'run failed');
    } else if (outcome === 'done' && Object.values(counts).every((count) => count === 0)) {
      // There was nothing to do, as mostly with backfills.
      log.debug(fields, 'run ended');
    } else log.info(fields, 'run ended');
  }

  /** Tells the queue what became of a claim; where that fails, the claim runs out by itself. */
  async function settle(claim: Claim, settling: () => Promise<void>): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await settling();
      } catch (error) {
        if (tries === SETTLE_TRIES || state === 'stopped') {
          log.debug(
            { job: claim.job, stream: claim.stream, error: errorText(error) },
            'end of job not recorded',
          );
          return;
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  async function renew(): Promise<void> {
    if (renewing || running.size === 0) return;
    renewing = true;
    try {
      const lost = await queue.renew([...running].map(({ claim }) => claim));
      for (const one of running) {
        if (!lost.includes(one.claim)) continue;
        log.warn({ job: one.job.name, stream: one.claim.stream }, 'another process took the job over');
        one.abort.abort(new LogkeepError('lease', `${one.job.name}: another process took the job over`));
      }
    } catch (error) {
      log.debug({ error: errorText(error) }, 'heartbeat not sent');
    } finally {
      renewing = false;
    }
  }

  async function handOver(): Promise<void> {
    const ended = [...running].map((one) => one.ended);
    for (const { abort } of running) abort.abort(HANDED_OVER);
    await Promise.all(ended);
  }

  const renewal = setInterval(() => void renew(), RENEW_MS);
  const looping = loop();
  return {
    wake(job) {
      woken.add(job);
      wakeUp?.();
    },
    inHand: () => running.size,
    async pause() {
      state = 'paused';
      await handOver();
    },
    go() {
      foreign.clear();
      state = 'going';
      for (const { name } of jobs) woken.add(name);
      wakeUp?.();
    },
    async stop() {
      state = 'stopped';
      wakeUp?.();
      await Promise.all([handOver(), looping]);
      clearInterval(renewal);
    },
  };
}

/** Why a job stops that another process, or this one later, goes on with. */
const HANDED_OVER = new LogkeepError('aborted', 'stopped on request');
