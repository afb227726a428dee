import { expect, test } from 'vitest';
import type { Job } from '../../jobs/job.ts';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import { type Log, silentLog } from '../../src/log.ts';
import { createDispatcher } from '../../src/serve/dispatcher.ts';
import type { Claim, JobQueue } from '../../src/serve/queue.ts';
import { startWorker } from '../../src/serve/worker.ts';
import { createHttp } from '../../src/sources/http.ts';
import { plainApi, serve, turn } from '../sources/stand.ts';

const LIMIT_MS = 100;
const JOB: Job = {
  name: 'slow',
  timeoutMs: LIMIT_MS,
  atOnce: 1,
  perStream: false,
  schedule: '* * * * *',
  run: () => Promise.reject(new Error('`find` gives the work')),
};

/** A queue in which one job waits; `finished` resolves to the report of its end. */
function queueOfOne(): { readonly queue: JobQueue; readonly finished: Promise<unknown> } {
  const { promise: finished, resolve } = Promise.withResolvers<unknown>();
  let waiting: readonly Claim[] = [{ job: JOB.name, stream: null, lane: 0, id: '1', retryCount: 0 }];
  const queue: JobQueue = {
    send: async () => null,
    due: async () => waiting.map(({ job }) => job),
    take: async () => {
      const claims = waiting;
      waiting = [];
      return claims;
    },
    renew: async () => [],
    finish: async (_claim, report) => resolve(report),
    giveBack: async () => resolve('given back'),
    current: async () => null,
    stateOf: async () => ({ status: 'gone' }),
    depth: async () => [],
    close: async () => {},
  };
  return { queue, finished };
}

test('a job that outlasts its time limit is told to stop, with the limit as the reason, and is finished', async () => {
  const { queue, finished } = queueOfOne();
  const begunAt = performance.now();
  let reason: unknown = null;
  const worker = startWorker({
    queue,
    jobs: [JOB],
    log: silentLog,
    find: () => async (signal) => {
      await new Promise((resolve) => {
        signal.addEventListener('abort', resolve, { once: true });
        setTimeout(resolve, 5_000);
      });
      reason = signal.reason;
      return { outcome: 'stopped', error: null, window: null, counts: {} };
    },
  });
  try {
    expect(await finished).toMatchObject({ outcome: 'stopped' });
    expect(reason).toMatchObject({ kind: 'time_up', message: 'slow: stopped at its time limit of 100ms' });
    expect(performance.now() - begunAt).toBeGreaterThanOrEqual(LIMIT_MS - 1);
  } finally {
    await worker.stop();
  }
});

test('a job that is at its time limit while its API fails is told as failed, with that failure', async () => {
  const { queue, finished } = queueOfOne();
  const stand = await serve((_, response) => void response.writeHead(503).end());
  const http = createHttp({ clock: systemClock });
  const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }), { retryMs: 60_000 });
  const request = { method: 'GET' as const, url: new URL(stand.url), headers: {}, hasCursor: false };
  const worker = startWorker({
    queue,
    jobs: [{ ...JOB, timeoutMs: 1_000 }],
    log: silentLog,
    find: () => async (signal) => {
      await http.request(api, { ...request, ...turn({ signal }) }, () => null);
      return { outcome: 'done', error: null, window: null, counts: {} };
    },
  });
  try {
    expect(await finished).toMatchObject({
      outcome: 'failed',
      error: { kind: 'unavailable', message: expect.stringMatching(/^toy\.main: .*503/) },
    });
  } finally {
    await worker.stop();
    await http.close();
    await stand.close();
  }
});

/** A log that keeps what it is told, each as level and message. */
function noted(): { readonly log: Log; readonly lines: string[] } {
  const lines: string[] = [];
  const at = (level: string) => (_: object, message: string) => void lines.push(`${level}: ${message}`);
  const log = { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
  return { log, lines };
}

const BUG = 'error: this is a bug in logkeep; please report it';

test('a bug of a job is reported as a bug, not as a stop that was asked for, and the next job has its turn', async () => {
  const { queue, finished } = queueOfOne();
  const { log, lines } = noted();
  const bug = new TypeError('undefined is not a function');
  const reports: unknown[] = [];
  const worker = startWorker({
    queue,
    jobs: [JOB],
    log,
    find: () => () => Promise.reject(bug),
    onReport: (_, { error }) => reports.push(error),
  });
  try {
    expect(await finished).toMatchObject({ outcome: 'failed', error: { kind: 'bug', message: String(bug) } });
    expect(reports).toEqual([expect.objectContaining({ kind: 'bug', cause: bug })]);
    expect(lines).toEqual([BUG, 'warn: run failed']);
  } finally {
    await worker.stop();
  }
});

test('only a database that is away is called so: a bug where jobs are taken is said to be one, once', async () => {
  for (const [error, line] of [
    [
      new LogkeepError('database', 'job queue: take: Connection terminated'),
      'warn: the job queue cannot be reached: waiting for the database',
    ],
    [new TypeError('undefined is not a function'), BUG],
  ] as const) {
    const { queue } = queueOfOne();
    const { log, lines } = noted();
    const worker = startWorker({
      queue: { ...queue, due: () => Promise.reject(error) },
      jobs: [JOB],
      log,
      find: () => null,
    });
    await expect.poll(() => lines).toEqual([line]);
    await worker.stop();
  }
});

test('a tick that a bug keeps from the queue is dropped; one that the database keeps waits', async () => {
  for (const [error, expected] of [
    [
      new LogkeepError('database', 'job queue: send: Connection terminated'),
      'debug: job not sent: trying again',
    ],
    [new TypeError('undefined is not a function'), BUG],
  ] as const) {
    const { log, lines } = noted();
    let tries = 0;
    const dispatcher = createDispatcher({
      queue: {
        send: () => {
          tries += 1;
          return Promise.reject(error);
        },
      },
      log,
      wake: () => {},
      lanes: async () => 1,
    });
    const tick = { job: 'sync', stream: 'toy.main', schedule: '* * * * *' };
    dispatcher.send(tick, 0);
    await expect.poll(() => lines).toEqual([expected]);
    // The next tick has its try, unless the one before is still waiting for its own.
    dispatcher.send(tick, 60_000);
    await expect.poll(() => tries).toBe(error instanceof LogkeepError ? 1 : 2);
    dispatcher.stop();
  }
});
