import { afterEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const PAGE = 25;
let world: World;

afterEach(() => world.close());

/** A Datadog with `logs` logs, evenly between two ages. */
async function made(api: 'v1' | 'v2', logs: number, fromAge: number, toAge: number): Promise<void> {
  world = await createWorld({
    streams: ['datadog.main'],
    settings: { since: { agoMs: 180 * MINUTE }, pageSize: PAGE, own: { api } },
    sandbox: { datadog: { lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.datadog.add(
    Array.from({ length: logs }, (_, n) => {
      const atMs = START - fromAge + Math.floor((n * (fromAge - toAge)) / logs);
      return { content: { timestamp: new Date(atMs).toISOString(), message: `log ${n}` }, atMs };
    }),
  );
}

async function expectComplete(api: 'v1' | 'v2'): Promise<void> {
  const truth = world.sandbox.datadog.truth();
  const wanted = onceEach(api === 'v1' ? truth : truth.map(({ textV2 }) => ({ text: textV2 })));
  expect(difference(await storedDatadog(world, api), wanted)).toEqual(NO_DIFFERENCE);
}

for (const api of ['v1', 'v2'] as const) {
  for (const logs of [0, 25, 500, 2_510]) {
    test(`datadog ${api}: a first read of ${logs} logs takes at most 2 % + 2 requests more than it has pages`, async () => {
      await made(api, logs, 120 * MINUTE, 10 * MINUTE);
      const [first] = await world.sync();
      expect(first).toMatchObject({ outcome: 'done', totals: { fresh: logs } });
      expect(world.sandbox.requests()).toHaveLength(first?.meter.requests ?? -1);
      expect(first?.meter.requests).toBeLessThanOrEqual(Math.ceil(logs / PAGE) * 1.02 + 2);
      await expectComplete(api);
    });
  }

  const least = api === 'v1' ? 1 : 2;
  test(`datadog ${api}: a caught-up run whose overlap fits a page takes ${least}`, async () => {
    await made(api, PAGE - 5, 14 * MINUTE, 5 * MINUTE);
    await world.sync();
    for (let minute = 0; minute < 3; minute++) {
      world.clock.advance(MINUTE);
      const [again] = await world.sync();
      expect(again).toMatchObject({ outcome: 'done', totals: { fresh: 0 }, meter: { requests: least } });
      expect(again?.totals.known).toBeGreaterThan(10);
    }
    await expectComplete(api);
  });
}
