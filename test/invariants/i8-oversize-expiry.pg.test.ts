import { afterEach, expect, test } from 'vitest';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const EDGE = START - DAY;
let world: World;
afterEach(() => world.close());

function log(atMs: number, message: string, body = '') {
  return {
    visibleAtMs: atMs,
    atMs,
    intakeMs: atMs,
    tie: 0,
    content: { timestamp: new Date(atMs).toISOString(), message, attributes: { body } },
  };
}

const WHERE = { inside: START - 10 * HOUR, 'at the end of': Math.floor(START / 1000) * 1000 - 2 * MINUTE };
const CASES = (['v1', 'v2'] as const).flatMap((api) =>
  (['inside', 'at the end of'] as const).flatMap((place) =>
    [9, 12, 14].map((after) => [api, place, after] as const),
  ),
);

test.each(CASES)(
  'I8: %s: logs that expire while a log too long for the cap, %s the window, is looked for are not claimed (wait after %i)',
  async (api, place, after) => {
    world = await createWorld({
      streams: ['datadog.main'],
      settings: {
        since: { agoMs: DAY - 5 * MINUTE },
        retentionMs: DAY,
        maxBodyBytes: 20_000,
        own: { api },
      },
      sandbox: {
        datadog: { lateness: { minMs: 0, maxMs: 0 }, retentionMs: DAY, toInclusive: true },
      },
    });
    const long = 'a'.repeat(40_000);
    const few = Array.from({ length: 10 }, (_, n) => log(EDGE + (7 + n) * MINUTE, `s${n}`));
    world.sandbox.datadog.add([
      log(EDGE + 6 * MINUTE, 'first', long),
      ...few,
      log(WHERE[place], 'last', long),
    ]);
    world.sandbox.faults.add({
      api: 'datadog',
      after,
      fault: { kind: 'rate_limit', resetS: 1_200, retryAfterS: 1_200 },
    });
    const [result] = await world.sync();
    expect(result?.outcome).toBe('done');
    expect(world.clock.now()).toBeGreaterThan(START + 20 * MINUTE);
    const stored = (await world.query<{ message: string }>('select message from logkeep.datadog_log')).map(
      ({ message }) => message,
    );
    const claimed = await world.query<{ name: string }>(
      `select name from logkeep.stream, unnest($1::text[], $2::timestamptz[]) log(name, time) where covered @> time`,
      [few.map(({ content }) => content.message), few.map(({ content }) => content.timestamp)],
    );
    expect(claimed.map(({ name }) => name).filter((name) => !stored.includes(name))).toEqual([]);
  },
);
