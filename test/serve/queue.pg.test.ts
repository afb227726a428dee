import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Job } from '../../jobs/job.ts';
import { LogkeepError } from '../../src/errors.ts';
import { silentLog } from '../../src/log.ts';
import { type JobQueue, migrateQueue, openQueue } from '../../src/serve/queue.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { startTamper } from '../tamper.ts';
import { until } from './stand.ts';

const JOB: Job = {
  name: 'sync',
  perStream: false,
  schedule: '* * * * *',
  timeoutMs: 60_000,
  atOnce: 1,
  run: async () => ({ outcome: 'done', error: null, window: null, counts: {} }),
};
let database: TestDatabase;
const open: { store: Store; queue: JobQueue }[] = [];

beforeEach(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  for (const { store, queue } of open.splice(0)) {
    await queue.close();
    await store.close();
  }
  await database.drop();
});

async function openOne(url = database.url): Promise<JobQueue> {
  await migrateQueue({ url: database.url }, [JOB], silentLog);
  const store = openStore(url);
  const queue = await openQueue({ pool: store.pool, jobs: [JOB], log: silentLog });
  open.push({ store, queue });
  return queue;
}

test('several processes may prepare an empty database at once', async () => {
  await Promise.all(Array.from({ length: 5 }, () => migrateQueue({ url: database.url }, [JOB], silentLog)));
  expect(await (await openOne()).depth()).toEqual([{ job: 'sync', waiting: 0, active: 0 }]);
}, 60_000);

test("a stream's job waits or is worked on once at a time, and one tick makes one job, whoever asks when", async () => {
  const [one, other] = [await openOne(), await openOne()];
  const sent = await Promise.all(
    [one, other, one, other].map((queue) => queue.send('sync', 'a.main', 60_000)),
  );
  expect(sent.filter((id) => id !== null)).toHaveLength(1);
  expect(await one.send('sync', 'b.main', 60_000)).not.toBe(null);
  const taken = await Promise.all([one.take('sync', 5, []), other.take('sync', 5, [])]);
  expect(
    taken
      .flat()
      .map(({ stream }) => stream)
      .sort(),
  ).toEqual(['a.main', 'b.main']);
  expect(await other.send('sync', 'a.main', 120_000)).toBe(null);
  for (const claim of taken.flat()) await one.finish(claim, { outcome: 'done' });
  expect(await other.send('sync', 'a.main', 60_000)).toBe(null);
  expect(await other.send('sync', 'a.main', 120_000)).not.toBe(null);
  expect(await one.depth()).toEqual([{ job: 'sync', waiting: 1, active: 0 }]);
});

test('each lane of a stream is a job of its own, asked for once a tick, and a taker that leaves the stream out gets none', async () => {
  const [one, other] = [await openOne(), await openOne()];
  const sent = await Promise.all(
    [0, 1, 0, 1].map((lane, at) => (at < 2 ? one : other).send('sync', 'a.main', 60_000, lane)),
  );
  expect(sent.filter((id) => id !== null)).toHaveLength(2);
  const [mine] = await one.take('sync', 1, []);
  expect(await one.take('sync', 5, ['a.main'])).toEqual([]);
  const [theirs] = await other.take('sync', 5, []);
  expect([mine?.lane, theirs?.lane].sort()).toEqual([0, 1]);
  expect(await one.current('sync', 'a.main', theirs?.lane)).toBe(theirs?.id);
  expect(await one.current('sync', 'a.main', 2)).toBe(null);
});

test('what is given back is taken again, but not of a stream that the taker does not know', async () => {
  const queue = await openOne();
  await queue.send('sync', 'a.main', null);
  const [claim] = await queue.take('sync', 1, []);
  if (claim === undefined) throw new Error('nothing was taken');
  await queue.giveBack(claim);
  await until('a due job', async () => (await queue.due()).includes('sync'));
  expect(await queue.take('sync', 1, ['a.main'])).toEqual([]);
  expect(await queue.take('sync', 1, ['b.main'])).toMatchObject([{ stream: 'a.main', retryCount: 1 }]);
});

test('a claim without a sign of life is lost: whoever had it is told, and can neither finish nor give it back', async () => {
  const [dead, living] = [await openOne(), await openOne()];
  await dead.send('sync', 'a.main', null);
  const [claim] = await dead.take('sync', 1, []);
  if (claim === undefined) throw new Error('nothing was taken');
  expect(await dead.renew([claim])).toEqual([]);
  const silentSince = performance.now();
  const taken = await until(
    'the job to be taken over',
    async () => (await living.take('sync', 1, []))[0] ?? null,
    25_000,
  );
  expect(performance.now() - silentSince).toBeGreaterThan(9_000);
  expect(performance.now() - silentSince).toBeLessThan(20_000);
  expect(await dead.renew([claim])).toEqual([claim]);
  await dead.finish(claim, { outcome: 'done' });
  await dead.giveBack(claim);
  expect(await living.stateOf('sync', claim.id)).toEqual({ status: 'active' });
  await living.finish(taken, { outcome: 'done', counts: { new: 3 } });
  expect(await dead.stateOf('sync', claim.id)).toEqual({
    status: 'finished',
    report: { outcome: 'done', counts: { new: 3 } },
  });
}, 40_000);

test('the queue names no statement and sets nothing for the session, so a pooler in transaction mode serves', async () => {
  const statements: string[] = [];
  const tamper = await startTamper(database.url, ({ type, text }) => {
    if (type === 'Q' || type === 'P') statements.push(text);
    return 'pass';
  });
  try {
    const queue = await openOne(tamper.url);
    await queue.send('sync', 'a.main', 60_000);
    const claims = await queue.take('sync', 1, []);
    await queue.renew(claims);
    for (const claim of claims) await queue.finish(claim, { outcome: 'done' });
    await queue.depth();
    // A round of its own upkeep.
    await new Promise((resolve) => setTimeout(resolve, 7_000));
    await queue.close();
  } finally {
    await tamper.close();
  }
  expect(statements.some((text) => text.includes('heartbeat_on'))).toBe(true);
  const lasting =
    /\b(listen|unlisten|prepare|deallocate)\b|pg_advisory_lock\b|^\s*set (?!local)|create temp table/i;
  expect(statements.filter((text) => lasting.test(text))).toEqual([]);
}, 30_000);

test('a database that is away is a failed call that says what was wanted', async () => {
  const queue = await openOne('postgres://nobody@127.0.0.1:1/nothing').catch((error: unknown) => error);
  expect(queue).toBeInstanceOf(LogkeepError);
  expect(String(queue)).toMatch(/job queue: open: .*ECONNREFUSED/);
});
