import { afterEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog } from '../stored.ts';
import { createWorld, START, type World, type WorldOptions } from '../world.ts';

const HOUR = 3_600_000;
const MINUTE = 60_000;

let world: World;

afterEach(async () => {
  await world.close();
});

async function made(options: WorldOptions = {}): Promise<void> {
  world = await createWorld({ streams: ['datadog.main'], ...options });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 5 * MINUTE, logs: 200 });
}

/** What was visible at the end; what came too late for the read before is a sweep's to find. */
async function expectAll(from: number = 0): Promise<void> {
  const now = world.clock.now();
  const truth = world.sandbox.datadog.truth({
    from,
    to: now - 3 * MINUTE,
    visibleAt: from === 0 ? START : now,
  });
  const { missing } = difference(await storedDatadog(world), onceEach(truth));
  expect(missing).toEqual(NO_DIFFERENCE.missing);
}

test('a storm of refusals that say nothing of when to come again is waited out, ever more slowly', async () => {
  await made();
  world.sandbox.faults.add({
    api: 'datadog',
    fault: { kind: 'rate_limit', headers: false, body: 'text' },
    times: 40,
  });
  const [result] = await world.sync();
  expect(result).toMatchObject({ outcome: 'done', error: null });
  // Forty refusals, a minute apart in the end.
  expect(world.clock.now() - START).toBeGreaterThan(20 * MINUTE);
  expect(result?.meter.requests).toBeLessThan(50);
  await expectAll();
});

test('an hour without quota costs the hour and one request', async () => {
  await made({ settings: { pageSize: 50 } });
  world.sandbox.faults.add({ api: 'datadog', fault: { kind: 'rate_limit', resetS: 3_600 }, after: 1 });
  const [result] = await world.sync();
  expect(result).toMatchObject({ outcome: 'done', error: null });
  expect(world.clock.now() - START).toBeGreaterThanOrEqual(HOUR);
  expect(world.clock.now() - START).toBeLessThan(HOUR + MINUTE);
  expect(world.sandbox.requests().filter(({ status }) => status === 429)).toHaveLength(1);
  await expectAll();
});

test('a process that begins during the hour without quota sends nothing before its end', async () => {
  await made({ sandbox: { datadog: { quota: { limit: 3, periodS: 3_600 } } }, settings: { pageSize: 20 } });
  const stop = new AbortController();
  const first = await world.sync({
    signal: stop.signal,
    watch: (_, event) => {
      if (event.kind === 'waiting' && event.waitMs > MINUTE) stop.abort();
    },
  });
  expect(first[0]).toMatchObject({ outcome: 'stopped' });
  const sent = world.sandbox.requests().length;
  const hourEnds = Math.ceil(world.clock.now() / HOUR) * HOUR;
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
  const later = world.sandbox.requests().slice(sent);
  expect(later[0]?.atMs).toBeGreaterThanOrEqual(hourEnds);
  expect(world.sandbox.requests().every(({ status }) => status === 200)).toBe(true);
  await expectAll();
});

test('an API that is down for a night costs a few requests a tick, and the next tick catches up', async () => {
  await made({ settings: { since: { agoMs: 2 * HOUR } } });
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
  const before = world.sandbox.requests().length;
  world.sandbox.faults.every(1, { kind: 'unavailable' }, 'datadog');
  const ticks = 32;
  for (let tick = 0; tick < ticks; tick++) {
    const from = world.clock.now();
    world.clock.advance(15 * MINUTE);
    world.sandbox.datadog.history({ from, to: world.clock.now(), logs: 20 });
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'failed', error: { kind: 'unavailable' } });
  }
  const night = world.sandbox.requests().length - before;
  expect(night).toBeLessThan(ticks * 12);
  expect(await world.query('select id from logkeep.sync_window where lease_until is not null')).toEqual([]);
  world.sandbox.faults.clear();
  world.clock.advance(MINUTE);
  expect(await world.sync()).toMatchObject([{ outcome: 'done', error: null }]);
  expect(await world.query(`select kind from logkeep.gap where stream = 'datadog.main'`)).toEqual([]);
  await expectAll(START);
}, 120_000);
