import { afterEach, describe, expect, test } from 'vitest';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
let world: World;
afterEach(() => world.close());

const odd = (text: string, atMs: number) => ({ log: text, atMs, visibleAtMs: atMs });

/** Logs a second apart, of which those at `places` have no time that can be read. */
async function synced(
  api: 'v1' | 'v2',
  logs: number,
  places: readonly number[],
  pageSize: number,
  idOf: (n: number) => string = (n) => `"id":"odd ${n}",`,
) {
  world = await createWorld({
    streams: ['datadog.main'],
    settings: { pageSize, since: { agoMs: 2 * HOUR }, own: { api } },
    sandbox: { datadog: { lateness: { minMs: 0, maxMs: 0 } } },
  });
  const from = START - HOUR;
  world.sandbox.datadog.add(
    Array.from({ length: logs }, (_, n) => {
      const atMs = from + n * 1000;
      return places.includes(n)
        ? odd(`{${idOf(n)}"content":{"message":"odd ${n}"}}`, atMs)
        : { content: { timestamp: new Date(atMs).toISOString(), message: `m${n}` }, atMs, intakeMs: atMs };
    }),
  );
  const [result] = await world.sync();
  const [{ rows, waiting } = { rows: 0, waiting: 0 }] = await world.query<{ rows: number; waiting: number }>(
    `select (select count(*)::integer from logkeep.datadog_log) as rows,
      (select count(*)::integer from logkeep.quarantine) as waiting`,
  );
  return { outcome: result?.outcome, requests: result?.meter.requests, rows, waiting };
}

describe.each(['v1', 'v2'] as const)('%s', (api) => {
  test.each([
    { what: 'the last log of all', logs: 2, places: [1], pageSize: 100 },
    { what: 'the only log', logs: 1, places: [0], pageSize: 100 },
    { what: 'the last ones of a full page at the end', logs: 20, places: [18, 19], pageSize: 20 },
    {
      what: 'a full page of them',
      logs: 30,
      places: Array.from({ length: 10 }, (_, n) => n + 10),
      pageSize: 10,
    },
    { what: 'the first and last of each page', logs: 60, places: [0, 19, 20, 39, 40, 59], pageSize: 20 },
  ])('logs without a readable time stop nothing: $what', async ({ logs, places, pageSize }) => {
    const { outcome, requests, rows, waiting } = await synced(api, logs, places, pageSize);
    expect({ outcome, rows, waiting }).toEqual({
      outcome: 'done',
      rows: logs - places.length,
      waiting: places.length,
    });
    // Each page, the empty one behind them, and what asks whether it is the end.
    expect(requests).toBeLessThanOrEqual(Math.ceil(logs / pageSize) + 3);
  });
});

test('nor do logs that have no id either', async () => {
  expect(await synced('v2', 60, [0, 19, 20, 39, 40, 59], 20, () => '')).toMatchObject({
    outcome: 'done',
    rows: 54,
    waiting: 6,
  });
});
