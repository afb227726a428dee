import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import { readStream } from '../../src/operations/read.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Stream } from '../../src/sources/source.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import { startPrivateServer, withClient } from '../postgres.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { askOf, createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

afterEach(() => world.close());

async function made(options: WorldOptions = {}): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    ...options,
    settings: { pageSize: 20, since: { agoMs: 2 * HOUR }, ...options.settings },
    sandbox: {
      qstash: { ...prompt, ...options.sandbox?.qstash },
      datadog: { ...prompt, ...options.sandbox?.datadog },
    },
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 120 });
}

/** Sleeps last until they are stopped. */
const standing = (): Clock => ({
  now: () => world.clock.now(),
  sleep: async (_, signal) => {
    await delay(3_600_000, undefined, { ref: false, ...(signal === undefined ? {} : { signal }) }).catch(
      () => {},
    );
    throw signal?.reason;
  },
});

const stored = () =>
  world
    .query<{ n: number }>('select count(*)::integer as n from logkeep.datadog_log')
    .then((rows) => rows[0]?.n);

test('before a wait for quota what is in hand is stored, and a stop ends the wait within a second, with the cursor kept', async () => {
  await made({ streams: ['datadog.main'], sandbox: { datadog: { quota: { limit: 3, periodS: 3_600 } } } });
  const stop = new AbortController();
  const running = world.sync(
    { signal: stop.signal },
    { clock: standing(), settings: { pageSize: 20, reserve: 0, since: { agoMs: 2 * HOUR } } },
  );
  await expect.poll(stored, { timeout: 10_000 }).toBe(60);
  const asked = performance.now();
  stop.abort();
  const [result] = await running;
  expect(performance.now() - asked).toBeLessThan(1_000);
  expect(result).toMatchObject({
    outcome: 'stopped',
    error: null,
    totals: { fetched: 60 },
    meter: { requests: 3 },
  });
  expect(
    await world.query('select lease_until, holder, cursor is not null as kept from logkeep.sync_window'),
  ).toEqual([{ lease_until: null, holder: null, kept: true }]);
  expect(await world.query('select outcome from logkeep.run')).toEqual([{ outcome: 'stopped' }]);
  world.clock.advance(HOUR);
  for (let run = 0; run < 3; run++) await world.sync();
  expect(
    difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
});

test('pages that have waited for a second are stored, though the next answer takes longer', async () => {
  await made({ streams: ['datadog.main'], settings: { timeoutMs: 60_000 } });
  let pages = 0;
  const stop = new AbortController();
  const running = world.sync({
    signal: stop.signal,
    mayRequest: () => {
      if (++pages === 3) world.sandbox.faults.next('datadog', { kind: 'slow', ms: 55_000 });
      return true;
    },
  });
  await expect.poll(stored, { timeout: 20_000, interval: 50 }).toBe(40);
  stop.abort();
  expect((await running)[0]).toMatchObject({ outcome: 'stopped', totals: { fetched: 40 } });
});

test('an allowance of requests is kept to the letter, retries included', async () => {
  await made({ streams: ['qstash.main'], settings: { pageSize: 5 }, wrap: pageIsBatch });
  for (const allowed of [0, 1, 4]) {
    let left = allowed;
    const before = world.sandbox.requests().length;
    if (allowed === 4) world.sandbox.faults.next('qstash', { kind: 'unavailable' }, { kind: 'cut' });
    const [result] = await world.sync({ mayRequest: () => left-- > 0 });
    expect(result).toMatchObject({ outcome: 'stopped', meter: { requests: allowed } });
    expect(world.sandbox.requests().length - before).toBe(allowed);
  }
  expect((await world.sync())[0]?.outcome).toBe('done');
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
});

test('an allowance that is used up while the API fails ends the run as failed, with that failure, at once', async () => {
  await made({ streams: ['qstash.main'], settings: { retryMs: 60_000 } });
  world.sandbox.faults.every(1, { kind: 'unavailable' }, 'qstash');
  for (const allowed of [1, 2]) {
    let left = allowed;
    const before = world.sandbox.requests().length;
    const [result] = await world.sync({ mayRequest: () => left-- > 0 });
    expect(result).toMatchObject({
      outcome: 'failed',
      error: { kind: 'unavailable', status: 503 },
      meter: { requests: allowed, retries: allowed - 1 },
    });
    expect(world.sandbox.requests().length - before).toBe(allowed);
  }
});

test('time that is up while the API fails ends the run as failed; a stop on request, or after it answered, does not', async () => {
  await made({ streams: ['qstash.main'], settings: { retryMs: 60_000, pageSize: 20 } });
  const endedBy = async (reason: LogkeepError, at: RunEvent['kind']) => {
    const stop = new AbortController();
    const watch = (_: Stream, { kind }: RunEvent) => {
      if (kind === at) stop.abort(reason);
    };
    const [result] = await world.sync({ signal: stop.signal, watch }, { wrap: pageIsBatch });
    const [run] = await world.query(
      'select outcome, error_kind, error, requests, retries from logkeep.run order by id desc limit 1',
    );
    expect(await world.query('select holder from logkeep.sync_window')).toEqual([{ holder: null }]);
    return { result, run };
  };
  const timeUp = new LogkeepError('time_up', 'stopped after 1s');
  const requested = new LogkeepError('aborted', 'stopped on request');
  world.sandbox.faults.every(1, { kind: 'unavailable' }, 'qstash');
  const failed = await endedBy(timeUp, 'retrying');
  expect(failed.result).toMatchObject({ outcome: 'failed', error: { kind: 'unavailable' } });
  expect(failed.run).toMatchObject({ outcome: 'failed', error_kind: 'unavailable' });
  expect(failed.run?.error).toMatch(/^qstash\.main: .*503/);
  const stopped = await endedBy(requested, 'retrying');
  expect([stopped.result?.outcome, stopped.run?.error_kind]).toEqual(['stopped', null]);
  world.sandbox.faults.clear();
  world.sandbox.faults.next('qstash', { kind: 'unavailable' });
  const answered = await endedBy(timeUp, 'stored');
  expect(answered.result).toMatchObject({ outcome: 'stopped', error: null, meter: { retries: 1 } });
  expect(answered.run).toMatchObject({ outcome: 'stopped', error_kind: null });
});

test('each try that is made again is told, with its number, its cause and what was sent so far', async () => {
  await made({ streams: ['qstash.main'], settings: { retryMs: 60_000 } });
  world.sandbox.faults.next('qstash', { kind: 'unavailable' }, { kind: 'not_json' });
  const told: unknown[] = [];
  await world.sync({
    watch: (_, event) => {
      if (event.kind !== 'retrying') return;
      const { retry, error, meter } = event;
      told.push([retry, error.message.slice(0, 12), meter.requests]);
    },
  });
  expect(told).toEqual([
    [1, 'qstash.main:', 1],
    [2, 'qstash.main:', 2],
  ]);
});

test('one stream that fails leaves the other alone, and no connection stays in use', async () => {
  await made();
  world.sandbox.faults.every(1, { kind: 'refuse' }, 'qstash');
  const app = await world.open();
  const results = await syncStreams(app, askOf());
  expect(results.map(({ outcome }) => outcome)).toEqual(['failed', 'done']);
  const { totalCount, idleCount, waitingCount } = app.store.pool;
  expect({ busy: totalCount - idleCount, waitingCount }).toEqual({ busy: 0, waitingCount: 0 });
  await app.close();
  expect(await world.query('select holder, lease_until from logkeep.sync_window')).toEqual([
    { holder: null, lease_until: null },
  ]);
});

test('a commit that fails for good leaves no lease: the next run has the window at once', async () => {
  await made();
  for (const table of ['qstash_log', 'datadog_log']) {
    await world.query(`alter table logkeep.${table} add constraint full_disk check (false) not valid`);
  }
  const results = await world.sync();
  expect(results.map(({ outcome, error }) => [outcome, error?.kind])).toEqual([
    ['failed', 'database'],
    ['failed', 'database'],
  ]);
  expect(await world.query('select holder, lease_until from logkeep.sync_window')).toEqual([
    { holder: null, lease_until: null },
    { holder: null, lease_until: null },
  ]);
  for (const table of ['qstash_log', 'datadog_log']) {
    await world.query(`alter table logkeep.${table} drop constraint full_disk`);
  }
  const begun = performance.now();
  expect((await world.sync()).map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  expect(performance.now() - begun).toBeLessThan(9_000);
});

test('a bug in the middle of a window leaves no lease either, and is thrown as it is', async () => {
  await made({ streams: ['qstash.main'] });
  const bug = new TypeError('a bug');
  const broken = (stream: Stream): Stream => ({
    ...stream,
    read: () => ({ [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(bug) }) }),
  });
  await expect(world.sync({}, { wrap: broken })).rejects.toBe(bug);
  expect(await world.query('select holder, lease_until from logkeep.sync_window')).toEqual([
    { holder: null, lease_until: null },
  ]);
});

test('a run that was stopped before it began asks for nothing and leaves no lease', async () => {
  await made();
  const results = await world.sync({ signal: AbortSignal.abort() });
  expect(results.map(({ outcome, meter }) => [outcome, meter.requests])).toEqual([
    ['stopped', 0],
    ['stopped', 0],
  ]);
  expect(world.sandbox.requests()).toEqual([]);
});

test('Postgres that crashes and comes back in the middle of a run costs the run a wait, and nothing else', async () => {
  const server = await startPrivateServer();
  try {
    await made({ server: server.url, wrap: pageIsBatch });
    let restarted: Promise<void> | null = null;
    const results = await world.sync({
      watch: (_, { kind }) => {
        if (kind === 'stored') restarted ??= server.restart('immediate');
      },
    });
    await restarted;
    expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual([
      { outcome: 'done', error: null },
      { outcome: 'done', error: null },
    ]);
    const counted = await withClient(server.url, (client) =>
      client.query(
        'select (select count(*)::integer from logkeep.qstash_log) as qstash, (select count(*)::integer from logkeep.datadog_log) as datadog',
      ),
    );
    const { qstash, datadog } = world.sandbox;
    expect(counted.rows).toEqual([
      { qstash: onceEach(qstash.truth()).length, datadog: datadog.truth({ visibleAt: START }).length },
    ]);
  } finally {
    await server.stop();
  }
}, 60_000);

test('a bug in what plans the windows is thrown as it is, at once, and recorded as a bug', async () => {
  await made({ streams: ['qstash.main'] });
  const app = await world.open();
  const bug = new Error('expected a window of whole hours');
  let plans = 0;
  try {
    const reading = readStream(app, app.streams[0] as (typeof app.streams)[number], {
      job: 'sync',
      plan: () => {
        plans += 1;
        throw bug;
      },
      askedFrom: START - HOUR,
      leadMs: 0,
      untilMs: null,
      again: null,
      settlesAfterMs: null,
      signal: new AbortController().signal,
      mayRequest: () => true,
      watch: () => {},
    });
    await expect(reading).rejects.toBe(bug);
    expect(plans).toBe(1);
    expect(await world.query('select outcome, error_kind, error from logkeep.run')).toEqual([
      { outcome: 'failed', error_kind: 'bug', error: bug.message },
    ]);
  } finally {
    await app.close();
  }
});
