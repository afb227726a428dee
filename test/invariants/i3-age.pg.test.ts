import { afterEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const PAGE = 20;
let world: World;

afterEach(() => world.close());

async function made(api: 'v1' | 'v2', limit: number): Promise<void> {
  world = await createWorld({
    streams: ['datadog.main'],
    settings: { pageSize: PAGE, since: { agoMs: 2 * HOUR }, reserve: 0, own: { api } },
    sandbox: { datadog: { lateness: { minMs: 0, maxMs: 0 }, quota: { limit, periodS: 3600 } } },
  });
}

/** The ages in ms of the cursors that were sent: each came with the answer before. */
function agesOf(): readonly number[] {
  const requests = world.sandbox.requests();
  return requests.flatMap(({ cursor, atMs }, n) => {
    const before = requests[n - 1];
    return cursor === null || before === undefined ? [] : [atMs - before.atMs];
  });
}

async function expectComplete(api: 'v1' | 'v2'): Promise<void> {
  const truth = world.sandbox.datadog.truth();
  const wanted = onceEach(api === 'v1' ? truth : truth.map(({ textV2 }) => ({ text: textV2 })));
  expect(difference(await storedDatadog(world, api), wanted)).toEqual(NO_DIFFERENCE);
  expect(await world.query('select from logkeep.sync_window')).toEqual([]);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
}

for (const api of ['v1', 'v2'] as const) {
  test(`I3: ${api}: a cursor that waited for quota beyond ten minutes is not sent, and each wait still brings new logs`, async () => {
    await made(api, 3);
    world.sandbox.datadog.history({ from: START - HOUR, to: START - 5 * MINUTE, logs: 250 });
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done', error: null });
    expect(Math.max(...agesOf())).toBeLessThan(10 * MINUTE);
    expect(agesOf().length).toBeGreaterThan(5);
    // 13 pages, one more for each cursor given up, and v2's last one, which is empty.
    expect(result?.meter.requests).toBeLessThanOrEqual(20);
    expect(world.sandbox.requests()).toHaveLength(result?.meter.requests ?? -1);
    await expectComplete(api);
  });

  test(`I3: ${api}: where even a millisecond takes longer, the old cursor is used rather than none`, async () => {
    await made(api, 3);
    const atMs = START - HOUR;
    world.sandbox.datadog.add(
      Array.from({ length: 6 * PAGE }, (_, n) => ({
        content: { timestamp: new Date(atMs).toISOString(), message: `log ${n}` },
        atMs,
        intakeMs: atMs,
      })),
    );
    world.sandbox.datadog.history({ from: START - HOUR + MINUTE, to: START - 5 * MINUTE, logs: 2 * PAGE });
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done', error: null });
    expect(Math.max(...agesOf())).toBeGreaterThan(10 * MINUTE);
    await expectComplete(api);
  });

  test(`I3: ${api}: a quota of one request an hour comes to an end too`, async () => {
    await made(api, 1);
    world.sandbox.datadog.history({ from: START - HOUR, to: START - 5 * MINUTE, logs: 3 * PAGE + 1 });
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done', error: null });
    expect(result?.meter.requests).toBeLessThanOrEqual(12);
    await expectComplete(api);
  });
}

test('I3: known logs are read again over as many waits as it takes', async () => {
  await made('v1', 1);
  const from = START - HOUR;
  world.sandbox.datadog.add(
    Array.from({ length: 350 }, (_, n) => ({
      content: { timestamp: new Date(from + n * 9_000).toISOString(), message: `log ${n}` },
      atMs: from + n * 9_000,
      intakeMs: from + n * 9_000,
    })),
  );
  await world.sync({}, { settings: { pageSize: 1000 } });
  const [result] = await world.sync(
    { again: { from, to: START - 5 * MINUTE } },
    { settings: { pageSize: 5, since: { agoMs: 2 * HOUR }, reserve: 0 } },
  );
  expect(result).toMatchObject({ outcome: 'done', error: null, totals: { fresh: 0 } });
  expect(result?.meter.requests).toBeGreaterThan(70);
  await expectComplete('v1');
});

test('I3: a resumed cursor that grows too old while it waits for quota is not sent', async () => {
  await made('v2', 3);
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 5 * MINUTE, logs: 100 });
  let pages = 3;
  expect((await world.sync({ mayRequest: () => pages-- > 0 }))[0]?.outcome).toBe('stopped');
  const [result] = await world.sync();
  expect(result).toMatchObject({ outcome: 'done', error: null });
  expect(Math.max(...agesOf())).toBeLessThan(10 * MINUTE);
  await expectComplete('v2');
});
