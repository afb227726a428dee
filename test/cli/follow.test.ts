import { expect, test } from 'vitest';
import { sync } from '../../jobs/sync.ts';
import { follow } from '../../src/cli/run.ts';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import type { JobQueue, JobState } from '../../src/serve/queue.ts';

const JOB = { stream: 'toy.main', lane: 0 };
const DONE = { outcome: 'done', error: null, counts: { new: 3 } };

/** A queue whose answers to `send`, `current` and `stateOf` are given, the last one of each for good. */
function queueOf(answers: {
  readonly send: readonly (string | null)[];
  readonly current?: readonly (string | null)[];
  readonly state?: readonly JobState[];
}): Pick<JobQueue, 'send' | 'current' | 'stateOf'> {
  const next = <T>(list: readonly T[]): (() => Promise<T>) => {
    let at = 0;
    return async () => list[Math.min(at++, list.length - 1)] as T;
  };
  return {
    send: next(answers.send),
    current: next(answers.current ?? [null]),
    stateOf: next(answers.state ?? [{ status: 'waiting' }]),
  };
}

/** Follows a sync on `queue`, of which this process itself reports `own`. */
async function followed(
  queue: ReturnType<typeof queueOf>,
  own: Parameters<typeof follow>[2]['reports'] = new Map(),
) {
  const told: string[] = [];
  const output = { write: (text: string) => told.push(text) };
  const done = await follow(
    sync,
    JOB,
    { queue, worker: { wake: () => {} }, reports: own },
    { clock: systemClock, signal: new AbortController().signal, stderr: output },
  );
  return { done, told };
}

test('the end of a job that another process worked on is what that process recorded', async () => {
  const error = { kind: 'auth', message: 'toy.main: the API answered 401', remedy: 'fix the credentials' };
  for (const report of [DONE, { outcome: 'failed', error, counts: {} }]) {
    const queue = queueOf({ send: [null], current: ['7'], state: [{ status: 'finished', report }] });
    const { done, told } = await followed(queue);
    expect(done).toEqual({ stream: 'toy.main', ...report });
    expect(told).toEqual([expect.stringMatching(/^toy\.main: sync: .*waiting for/)]);
  }
});

test('a job that ends between asking and looking is asked for once more', async () => {
  const queue = queueOf({ send: [null, '8'], state: [{ status: 'finished', report: DONE }] });
  expect((await followed(queue)).done).toEqual({ stream: 'toy.main', ...DONE });
});

test('an end that nobody recorded is no success', async () => {
  const lost = {
    stream: 'toy.main',
    outcome: 'failed',
    error: {
      kind: 'database',
      message: 'toy.main: sync: how it ended was not recorded',
      remedy: expect.stringContaining('`logkeep status`'),
    },
    counts: {},
  };
  const states: readonly JobState[] = [
    { status: 'gone' },
    { status: 'finished', report: null },
    { status: 'finished', report: { message: 'expired' } },
  ];
  for (const state of states)
    expect((await followed(queueOf({ send: ['7'], state: [state] }))).done).toEqual(lost);
  expect((await followed(queueOf({ send: [null] }))).done).toEqual(lost);
});

test('a failure of our own is told with its kind and what to do', async () => {
  const error = new LogkeepError('auth', 'toy.main: the API answered 401');
  const own = new Map([['7', { outcome: 'failed', error, window: null, counts: {} } as const]]);
  expect((await followed(queueOf({ send: ['7'] }), own)).done).toMatchObject({
    outcome: 'failed',
    error: { kind: 'auth', message: error.message, remedy: expect.stringContaining('`logkeep check`') },
  });
});
