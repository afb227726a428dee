import { afterEach, expect, test } from 'vitest';
import { sweep } from '../../jobs/sweep.ts';
import { sync } from '../../jobs/sync.ts';
import type { OpenStream } from '../../src/app.ts';
import { syncStream } from '../../src/operations/sync.ts';
import type { SandboxOptions } from '../../src/sandbox/sandbox.ts';
import { askOf, START } from '../world.ts';
import { createPacedWorld, type PacedWorld } from './stand.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** Where a window begins, of an hour or a part of it. */
const ONE = Math.ceil(START / HOUR) * HOUR;
/** 300 less the reserve of a tenth: one request in 13.3 s. */
const OURS = 270;
/** The API tells when a window ends in whole seconds: a request then may count with either. */
const EDGE = 1;
const QUICK = { schedule: '*/5 * * * * *' };

let world: PacedWorld;

afterEach(async () => {
  await world.close();
});

/** A minute before a window, with `limit` requests in `periodS`. */
async function begin(
  limit: number,
  periodS: number,
  changes: Parameters<typeof createPacedWorld>[2] = { 'datadog.main': QUICK },
  datadog: SandboxOptions['datadog'] = {},
  others = 0,
): Promise<void> {
  const quota = { limit, periodS, others };
  world = await createPacedWorld('datadog', { datadog: { quota, ...datadog } }, changes);
  world.clock.advance(ONE - MINUTE - START);
}

/** Requests of each window from `ONE` to `to`, and the longest time without any. */
function seen(periodMs: number, to: number, query: string | null = null) {
  const sent = world.sandbox
    .requests()
    .filter(({ atMs, body }) => atMs >= ONE && atMs < to && (query === null || body.includes(query)));
  const windows = Map.groupBy(sent, ({ atMs }) => Math.floor(atMs / periodMs));
  const times = [...sent.map(({ atMs }) => atMs), to];
  const gaps = times.slice(1).map((atMs, index) => atMs - (times[index] ?? 0));
  return { counts: [...windows.values()].map((list) => list.length), longestMs: Math.max(...gaps) };
}

function expectNoneRefused(): void {
  expect(world.sandbox.requests().filter(({ status }) => status !== 200)).toEqual([]);
}

test('every 5 s under 150 requests in half an hour, reads are spread over it and use all that it allows', async () => {
  await begin(150, 1_800);
  const to = ONE + HOUR;
  await world.play(sync, to - 1, [await world.process()]);
  const { counts, longestMs } = seen(HOUR / 2, to);
  expect(counts).toHaveLength(2);
  for (const count of counts) {
    expect(count).toBeGreaterThan((OURS / 2) * 0.95);
    expect(count).toBeLessThanOrEqual(OURS / 2 + EDGE);
  }
  expect(longestMs).toBeLessThanOrEqual(20_000);
  expectNoneRefused();
}, 180_000);

test('two streams of one credential share its window evenly, whichever of three processes reads them', async () => {
  const own = (query: string) => ({ ...QUICK, own: { query } });
  await begin(100, 1_200, { 'datadog.a': own('service:a'), 'datadog.b': own('service:b') });
  const to = ONE + HOUR / 3;
  await world.play(sync, to - 1, [await world.process(), await world.process(), await world.process()]);
  const [together = 0] = seen(HOUR / 3, to).counts;
  expect(together).toBeGreaterThan((OURS / 3) * 0.95);
  expect(together).toBeLessThanOrEqual(OURS / 3 + EDGE);
  for (const query of ['service:a', 'service:b']) {
    const { counts, longestMs } = seen(HOUR / 3, to, query);
    expect(counts[0]).toBeGreaterThan((OURS / 3) * 0.45);
    expect(longestMs).toBeLessThanOrEqual(45_000);
  }
  expectNoneRefused();
}, 180_000);

test('a slow stream is read as its schedule says beside a quick one of its credential, which gets the rest', async () => {
  const slow = { schedule: '* * * * *', own: { query: 'service:slow' } };
  await begin(60, 720, {
    'datadog.quick': { ...QUICK, own: { query: 'service:quick' } },
    'datadog.slow': slow,
  });
  const to = ONE + 720_000;
  await world.play(sync, to - 1, [await world.process()]);
  const [slowly, quickly] = [seen(720_000, to, 'service:slow'), seen(720_000, to, 'service:quick')];
  expect(slowly.counts).toEqual([12]);
  expect(slowly.longestMs).toBe(MINUTE);
  // 54 requests in all: 42 of them, one in 17 s.
  expect(quickly.counts[0]).toBeGreaterThanOrEqual(40);
  expect(quickly.longestMs).toBeLessThanOrEqual(30_000);
  expectNoneRefused();
});

test('slowed reads leave a sweep its few requests, which does not wait for them', async () => {
  const swept = { schedule: '* * * * * *', pageSize: 20, since: { agoMs: 3 * HOUR }, sweepAfterMs: HOUR };
  await begin(300, 3_600, { 'datadog.main': swept });
  world.sandbox.datadog.history({ from: ONE - 2 * HOUR, to: ONE - HOUR, logs: 100 });
  const app = await world.process();
  await world.play(sync, ONE + 5 * MINUTE, [app]);
  const [begunMs, before] = [world.clock.now(), world.sandbox.requests().length];
  await world.tick(sweep, app);
  expect(world.sandbox.requests().length - before).toBeGreaterThanOrEqual(5);
  expect(world.clock.now() - begunMs).toBeLessThan(5_000);
});

test('a read that takes two requests, as with v2, comes half as often, and as often at the end of a window as before', async () => {
  const v2 = { ...QUICK, own: { api: 'v2' } };
  await begin(60, 720, { 'datadog.main': v2 });
  world.sandbox.datadog.history({ from: ONE - HOUR, to: ONE + HOUR, logs: 600 });
  const to = ONE + 720_000;
  await world.play(sync, to - 1, [await world.process()]);
  const { counts, longestMs } = seen(720_000, to);
  expect(counts[0]).toBeGreaterThan(54 * 0.9);
  expect(longestMs).toBeLessThanOrEqual(45_000);
  expectNoneRefused();
});

test('where other tools draw on the quota too, reads become rarer instead of ceasing', async () => {
  await begin(90, 720, { 'datadog.main': QUICK }, {}, 40);
  const to = ONE + 720_000;
  await world.play(sync, to - 1, [await world.process()]);
  const { counts, longestMs } = seen(720_000, to);
  expect(counts[0]).toBeGreaterThan(30);
  // As each read takes the rest for ours alone; read with every tick it would be more than 400 s.
  expect(longestMs).toBeLessThanOrEqual(120_000);
  expectNoneRefused();
});

test('a backlog is read at full speed, and what is left of the quota is spread anew', async () => {
  await begin(
    300,
    3_600,
    { 'datadog.main': { ...QUICK, pageSize: 20 } },
    {
      lateness: { minMs: 0, maxMs: 0 },
    },
  );
  const app = await world.process();
  await world.play(sync, ONE + 5 * MINUTE, [app]);
  const at = world.clock.now();
  const logs = { from: at - 2 * MINUTE, to: at - 2 * MINUTE + 4_000, logs: 800 };
  world.sandbox.datadog.history(logs);
  const before = world.sandbox.requests().length;
  await world.play(sync, at + 10 * MINUTE, [app]);
  const sent = world.sandbox.requests().slice(before);
  const burst = [...Map.groupBy(sent, ({ atMs }) => atMs).values()].find((list) => list.length > 10) ?? [];
  expect(burst.length).toBeGreaterThanOrEqual(40);
  expect((burst[0]?.atMs ?? 0) - at).toBeLessThanOrEqual(25_000);
  // Before and after it one request in about 15 s, not one in 5 s.
  expect(before).toBeLessThan(35);
  expect(sent.length - burst.length).toBeLessThan(55);
  const [stored] = await world.query('select count(*)::integer as rows from logkeep.datadog_log');
  // A few come later than the settle delay: those are the overlap's.
  expect(stored?.rows).toBe(world.sandbox.datadog.truth({ visibleAt: burst[0]?.atMs ?? 0 }).length);
  expect(stored?.rows).toBeGreaterThan(780);
  expect(seen(HOUR, at + 10 * MINUTE).longestMs).toBeLessThanOrEqual(25_000);
  expectNoneRefused();
});

test('the first tick after a start reads, and so does a sync by hand at any time', async () => {
  await begin(300, 3_600);
  const first = await world.process();
  await world.play(sync, ONE + 5 * MINUTE, [first]);
  const count = () => world.sandbox.requests().length;
  const byHand = async () => {
    world.clock.advance(1_000);
    const before = count();
    await syncStream(first, first.streams[0] as OpenStream, askOf());
    return count() - before;
  };
  expect([await byHand(), await byHand()]).toEqual([1, 1]);
  const tick = async (app: typeof first) => {
    world.clock.advance(1_000);
    const before = count();
    await world.tick(sync, app);
    return count() - before;
  };
  expect(await tick(first)).toBe(0);
  const second = await world.process();
  expect([await tick(second), await tick(second)]).toEqual([1, 0]);
});

test('a quota of short windows, as of QStash, is waited for and never spread: each tick reads', async () => {
  const qstash = { quota: { limit: 4, windowMs: 5_000 } };
  world = await createPacedWorld('qstash', { qstash }, { 'qstash.main': { schedule: '* * * * * *' } });
  const ticks = await world.play(sync, START + MINUTE, [await world.process()]);
  expect(ticks).toBeGreaterThan(20);
  expect(world.sandbox.requests()).toHaveLength(ticks);
  expectNoneRefused();
});
