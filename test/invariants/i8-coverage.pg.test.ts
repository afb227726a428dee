import { afterEach, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = Math.floor(START / 1000) * 1000;
let world: World;

afterEach(() => world.close());

async function made(options: WorldOptions = {}): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    ...options,
    sandbox: {
      qstash: { ...prompt, ...options.sandbox?.qstash },
      datadog: { ...prompt, ...options.sandbox?.datadog },
    },
  });
}

interface Covered extends Record<string, unknown> {
  readonly covered: readonly (readonly [number, number])[];
  readonly expired: readonly (readonly [number, number])[];
}

/** Ends of each span, in ms before the world began. */
async function coverage(): Promise<Covered> {
  const spans = (column: string) =>
    `(select coalesce(json_agg(json_build_array(extract(epoch from lower(r)) * 1000 - ${NOW}, extract(epoch from upper(r)) * 1000 - ${NOW}) order by r), '[]') from unnest(${column}) r) as ${column}`;
  const rows = await world.query<Covered>(
    `select ${spans('covered')}, ${spans('expired')} from logkeep.stream where active`,
  );
  return rows[0] as Covered;
}

const gaps = () => world.query<{ kind: string }>('select kind from logkeep.gap order by 1');

function shifted(byMs: number): Clock {
  return { now: () => world.clock.now() + byMs, sleep: (ms, signal) => world.clock.sleep(ms, signal) };
}

test('I8: a claim ends the settle delay before the API clock', async () => {
  await made();
  await world.sync();
  expect(await coverage()).toEqual({ covered: [[-DAY, -30_000]], expired: [] });
});

for (const hours of [-3, -1, 1, 3]) {
  test(`I8: a local clock that is ${hours} h off changes nothing about what may be claimed`, async () => {
    await made();
    const ask = { since: { atMs: NOW - DAY } };
    for (let run = 0; run < 2; run++) {
      const [result] = await world.sync(ask, { clock: shifted(hours * HOUR) });
      expect(result?.outcome).toBe('done');
    }
    const { covered, expired } = await coverage();
    expect(expired).toEqual([]);
    expect(covered).toHaveLength(1);
    expect(covered[0]?.[0]).toBe(-DAY);
    // Behind is worth a second look within the run; ahead must wait.
    expect(covered[0]?.[1]).toBeLessThanOrEqual(-30_000);
    expect(covered[0]?.[1]).toBeGreaterThanOrEqual(-32_000);
    expect(
      (
        await world.query<{ n: number }>(
          `select extract(epoch from api_skew)::integer as n from logkeep.stream`,
        )
      )[0]?.n,
    ).toBeCloseTo(-hours * 3600, -1);
  });
}

test('I8: answers without a Date claim nothing at the start of a chain; later ones go by the first', async () => {
  await made({ settings: { pageSize: 10 } });
  world.sandbox.qstash.history({ from: START - 2 * HOUR, to: START - HOUR, messages: 20 });
  world.sandbox.faults.next('qstash', { kind: 'no_date' });
  const [failed] = await world.sync();
  expect(failed).toMatchObject({
    outcome: 'failed',
    error: { kind: 'protocol', message: expect.stringContaining('Date') },
  });
  expect((await coverage()).covered).toEqual([]);
  let pages = 0;
  await world.sync({
    mayRequest: () => {
      if (++pages === 2) world.sandbox.faults.every(1, { kind: 'no_date' });
      return true;
    },
  });
  expect(world.sandbox.faults.counts().no_date).toBeGreaterThan(2);
  expect((await coverage()).covered).toEqual([[-DAY, -30_000]]);
});

for (const stream of ['qstash.main', 'datadog.main'] as const) {
  test(`I8: ${stream}: a first run that reaches back exactly as far as the retention leaves no gap`, async () => {
    const sandbox = { qstash: { retentionMs: DAY }, datadog: { retentionMs: DAY } };
    await made({
      streams: [stream],
      sandbox,
      settings: { retentionMs: DAY, since: { agoMs: DAY }, pageSize: 20 },
      wrap: pageIsBatch,
    });
    world.sandbox.qstash.history({ from: START - DAY, to: START, messages: 60 });
    world.sandbox.datadog.history({ from: START - DAY, to: START, logs: 200 });
    const [result] = await world.sync();
    expect(result?.outcome).toBe('done');
    expect(await gaps()).toEqual([]);
    // Also what is about to expire was read.
    const first = world.sandbox[stream === 'qstash.main' ? 'qstash' : 'datadog'].truth({
      visibleAt: START,
    })[0];
    const table = stream === 'qstash.main' ? 'qstash_log' : 'datadog_log';
    const time = stream === 'qstash.main' ? 'time' : 'timestamp';
    expect(await world.query(`select min(${time}) as first from logkeep.${table}`)).toEqual([
      { first: new Date(first?.timeMs ?? 0) },
    ]);
    world.clock.advance(HOUR);
    await world.sync();
    expect(await gaps()).toEqual([]);
  });
}

test('I8: what was asked for beyond the retention is expired: visible in one query, never covered', async () => {
  await made({
    settings: { retentionMs: DAY, since: { agoMs: 3 * DAY } },
    sandbox: { qstash: { retentionMs: DAY } },
  });
  await world.sync();
  const { covered, expired } = await coverage();
  expect(expired).toEqual([[-3 * DAY, expect.any(Number)]]);
  expect(Math.abs((expired[0]?.[1] ?? 0) + DAY)).toBeLessThanOrEqual(1_000);
  expect(covered).toEqual([[expired[0]?.[1], -30_000]]);
  expect(await gaps()).toEqual([{ kind: 'expired' }]);
  const requests = world.sandbox.requests().length;
  world.clock.advance(MINUTE);
  await world.sync();
  expect(world.sandbox.requests().length).toBe(requests + 1);
  expect(await gaps()).toEqual([{ kind: 'expired' }]);
});

test('I8: a pause longer than the retention leaves an expired span between what was covered and what is', async () => {
  await made({
    settings: { retentionMs: DAY, since: { agoMs: HOUR } },
    sandbox: { qstash: { retentionMs: DAY } },
  });
  await world.sync();
  world.clock.advance(3 * DAY);
  await world.sync();
  const { covered, expired } = await coverage();
  expect(covered).toHaveLength(2);
  expect(expired).toEqual([[covered[0]?.[1], covered[1]?.[0]]]);
  expect(Math.abs((covered[1]?.[0] ?? 0) - 2 * DAY)).toBeLessThan(2_000);
});

test('I8: reading stops at an earlier end when asked to, and what lies between later and earlier reads shows as a hole', async () => {
  await made({ settings: { since: { agoMs: HOUR } } });
  await world.sync();
  await world.sync({ since: { atMs: NOW - 10 * HOUR }, untilMs: NOW - 8 * HOUR });
  expect(await gaps()).toEqual([{ kind: 'hole' }]);
  expect((await coverage()).covered).toEqual([
    [-10 * HOUR, -8 * HOUR],
    [-HOUR, -30_000],
  ]);
  await world.sync();
  expect(await gaps()).toEqual([]);
  expect((await coverage()).covered).toEqual([[-10 * HOUR, -30_000]]);
});

test('I8: other filters begin with no coverage, and the old ones find theirs again', async () => {
  await made();
  await world.sync();
  const before = await coverage();
  const failed = { settings: { own: { state: 'FAILED' } } };
  await world.sync({ mayRequest: () => false }, failed);
  expect((await coverage()).covered).toEqual([]);
  await world.sync({ mayRequest: () => false });
  expect(await coverage()).toEqual(before);
  expect(await world.query('select count(*)::integer as n from logkeep.stream')).toEqual([{ n: 2 }]);
});

test('I8: rows may lie outside of coverage, coverage never outside of what was read: an allowance that ends claims no more', async () => {
  await made({
    streams: ['qstash.main', 'datadog.main'],
    settings: { pageSize: 10, since: { agoMs: 2 * HOUR } },
    wrap: pageIsBatch,
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - MINUTE, messages: 40 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 4 * MINUTE, logs: 100 });
  for (const stream of ['qstash.main', 'datadog.main'] as const) {
    let requests = 3;
    const [result] = await world.sync({ mayRequest: () => requests-- > 0 }, { streams: [stream] });
    expect(result).toMatchObject({ outcome: 'stopped', meter: { requests: 3 }, totals: { fetched: 30 } });
  }
  const [state] = await world.query<{ qstash: string; read: Date }>(
    `select (select covered::text from logkeep.stream where source = 'qstash') as qstash,
      (select upper(covered) from logkeep.stream where source = 'datadog') as read`,
  );
  expect(state?.qstash).toBe('{}');
  const thirtieth = world.sandbox.datadog.truth({ visibleAt: START })[29];
  expect(+(state as { read: Date }).read).toBe(thirtieth?.timeMs);
});
