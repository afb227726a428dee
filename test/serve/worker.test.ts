import { expect, test } from 'vitest';
import type { Job } from '../../jobs/job.ts';
import { systemClock } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import type { Claim, JobQueue } from '../../src/serve/queue.ts';
import { startWorker } from '../../src/serve/worker.ts';
import { createHttp } from '../../src/sources/http.ts';
import { plainApi, serve, turn } from '../sources/stand.ts';

const LIMIT_MS = 100;
const JOB: Job = {
  name: 'slow',
  help: 'never ends by itself',
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
      error: expect.stringMatching(/^toy\.main: .*503/),
    });
  } finally {
    await worker.stop();
    await http.close();
    await stand.close();
  }
});
