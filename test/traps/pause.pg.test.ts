import { afterEach, expect, test } from 'vitest';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;
afterEach(() => world.close());

test('a busy stream that paused for longer than the retention catches up with few requests', async () => {
  world = await createWorld({
    settings: { since: { agoMs: HOUR }, retentionMs: DAY, pageSize: 10 },
    sandbox: { qstash: { retentionMs: DAY, lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.qstash.history({ from: START - 30 * MINUTE, to: START + 30 * MINUTE, messages: 120 });
  for (let tick = 0; tick < 4; tick++) {
    await world.sync();
    world.clock.advance(5 * MINUTE);
  }
  world.clock.advance(2 * DAY);
  let left = 50;
  const [result] = await world.sync({ mayRequest: () => left-- > 0 });
  expect({ outcome: result?.outcome, requests: result?.meter.requests }).toEqual({
    outcome: 'done',
    requests: expect.any(Number),
  });
  expect(result?.meter.requests).toBeLessThan(10);
});
