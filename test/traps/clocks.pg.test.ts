import { afterEach, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { createWorld, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = Math.floor(START / 1000) * 1000;
let world: World;
afterEach(() => world.close());
async function made(options: WorldOptions = {}) {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    ...options,
    sandbox: {
      ...options.sandbox,
      qstash: { ...prompt, ...options.sandbox?.qstash },
      datadog: { ...prompt, ...options.sandbox?.datadog },
    },
  });
}
const shifted = (byMs: number): Clock => ({
  now: () => world.clock.now() + byMs,
  sleep: (ms, s) => world.clock.sleep(ms, s),
});

test('a local clock three days behind puts no sound entry into quarantine', async () => {
  await made({ settings: {} });
  world.sandbox.qstash.history({ from: START - 3 * HOUR, to: START - HOUR, messages: 10 });
  await world.sync({ since: { atMs: NOW - 5 * DAY } }, { clock: shifted(-3 * DAY) });
  expect(await world.query('select reason, count(*)::int as n from logkeep.quarantine group by 1')).toEqual(
    [],
  );
});

for (const [byMs, requests] of [
  [30 * DAY, 1],
  [30 * DAY, 9],
  [HOUR, 9],
] as const) {
  test(`a first answer, of at most ${requests}, whose Date is ${byMs / HOUR} h ahead does not declare lost for good, nor never asked for, what can be read`, async () => {
    await made({ settings: { since: { agoMs: 2 * HOUR } } });
    world.sandbox.qstash.history({ from: START - 110 * MINUTE, to: START - 10 * MINUTE, messages: 10 });
    world.sandbox.faults.next('qstash', { kind: 'wrong_date', byMs });
    let n: number = requests;
    await world.sync({ mayRequest: () => n-- > 0 });
    await world.sync();
    world.clock.advance(MINUTE);
    await world.sync();
    expect(await world.query('select kind from logkeep.gap')).toEqual([]);
    const [row] = await world.query<{ asked_from: Date; n: number }>(
      'select asked_from, (select count(*)::int from logkeep.qstash_log) as n from logkeep.stream',
    );
    // By the first of the next answers.
    expect(Number(row?.asked_from)).toBeLessThanOrEqual(NOW - 2 * HOUR + MINUTE);
    expect(row?.n).toBe(world.sandbox.qstash.truth().length);
  });
}

test('v1 after v2 with a window open goes on without loss', async () => {
  await made({ streams: ['datadog.main'], settings: { since: { agoMs: 2 * HOUR }, pageSize: 10 } });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 10 * MINUTE, logs: 100 });
  for (const [api, k] of [
    ['v2', 3],
    ['v1', 3],
    ['v2', 3],
    ['v1', 1e9],
  ] as const) {
    let n = k as number;
    await world.sync(
      { mayRequest: () => n-- > 0 },
      { settings: { since: { agoMs: 2 * HOUR }, pageSize: 10, own: { api } } },
    );
  }
  expect(await world.query('select count(*)::int as n from logkeep.datadog_log')).toEqual([{ n: 100 }]);
});
