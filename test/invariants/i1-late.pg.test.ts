import { afterAll, beforeAll, expect, test } from 'vitest';
import { difference, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeAll(async () => {
  world = await createWorld({ streams: ['qstash.main', 'datadog.main'], settings: { pageSize: 50 } });
  world.sandbox.qstash.history({ from: START - 20 * HOUR, to: START, messages: 200 });
  world.sandbox.datadog.history({ from: START - 20 * HOUR, to: START, logs: 700 });
});
afterAll(() => world.close());

test('I1: after a first run every entry that was visible is stored, exactly once', async () => {
  const results = await world.sync();
  expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual([
    { outcome: 'done', error: null },
    { outcome: 'done', error: null },
  ]);
  const visibleAt = world.clock.now();
  const settled = { from: START - 20 * HOUR, to: START - 150_000, visibleAt };
  const qstash = await storedQstash(world);
  expect(new Set(qstash).size).toBe(qstash.length);
  expect(difference(qstash, onceEach(world.sandbox.qstash.truth(settled))).missing).toEqual([]);
  const datadog = await storedDatadog(world);
  expect(new Set(datadog).size).toBe(datadog.length);
  expect(difference(datadog, onceEach(world.sandbox.datadog.truth(settled))).missing).toEqual([]);
  expect(qstash.length).toBeGreaterThan(500);
});

test('I1: a late entry inside the overlap is stored by the first re-read that begins after it is visible', async () => {
  const at = START - 10 * 60_000;
  world.sandbox.qstash.add([
    {
      entry: { time: at, messageId: 'msg_late', state: 'CREATED', url: 'https://example.com/' },
      visibleAtMs: START + 40_000,
    },
  ]);
  world.sandbox.datadog.add([
    {
      content: { timestamp: new Date(at).toISOString(), message: 'late' },
      atMs: at,
      visibleAtMs: START + 40_000,
    },
  ]);
  const found = () =>
    world.query(
      `select (select count(*)::integer from logkeep.qstash_log where message_id = 'msg_late') as qstash,
        (select count(*)::integer from logkeep.datadog_log where message = 'late') as datadog`,
    );
  world.clock.advance(39_000 - (world.clock.now() - START));
  await world.sync();
  expect(await found()).toEqual([{ qstash: 0, datadog: 0 }]);
  world.clock.advance(61_000);
  await world.sync();
  expect(await found()).toEqual([{ qstash: 1, datadog: 1 }]);
});

test('I1: a caught-up run whose overlap fits a page costs one request a stream', async () => {
  world.clock.advance(60_000);
  const results = await world.sync({}, { settings: { pageSize: 100 } });
  expect(results.map(({ meter }) => meter.requests)).toEqual([1, 1]);
});

test('I1: an overlap larger than a page is read again when it is old enough, late entries with it', async () => {
  const busy = world.clock.now();
  world.sandbox.qstash.history({ from: busy, to: busy + HOUR, messages: 400 });
  for (let minute = 0; minute < 20; minute += 4) {
    world.clock.advance(4 * 60_000);
    await world.sync({}, { settings: { pageSize: 10 } });
  }
  const at = busy + 8 * 60_000;
  world.sandbox.qstash.add([
    {
      entry: { time: at, messageId: 'msg_later', state: 'CREATED', url: 'https://example.com/' },
      visibleAtMs: world.clock.now(),
    },
  ]);
  let requests = 0;
  for (let minute = 20; minute < 60; minute += 4) {
    world.clock.advance(4 * 60_000);
    const results = await world.sync({}, { streams: ['qstash.main'], settings: { pageSize: 10 } });
    requests += results[0]?.meter.requests ?? 0;
  }
  expect(
    await world.query(`select count(*)::integer as n from logkeep.qstash_log where message_id = 'msg_later'`),
  ).toEqual([{ n: 1 }]);
  const entries = world.sandbox.qstash.truth({ from: busy + 16 * 60_000, to: busy + HOUR }).length;
  // Twice each, for the second read, and a page or two a tick more.
  expect(requests).toBeLessThan((2.4 * entries) / 10 + 20);
});
