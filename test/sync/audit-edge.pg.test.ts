import { afterEach, expect, test } from 'vitest';
import { isSound } from '../../src/operations/audit.ts';
import { createWorld, START, type World } from '../world.ts';
import { auditFirst } from './auditing.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
let world: World;
afterEach(() => world.close());

test('what expires within ten minutes is not counted anew, so that what goes meanwhile does not look foreign', async () => {
  world = await createWorld({
    settings: { retentionMs: DAY },
    sandbox: { qstash: { retentionMs: DAY, lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.qstash.add(
    [2, 20, 600].map((minutes) => ({
      entry: {
        time: START - DAY + minutes * MINUTE,
        messageId: `msg_${minutes}`,
        state: 'CREATED',
        url: 'https://a.example/',
      },
    })),
  );
  expect(await world.sync()).toMatchObject([{ outcome: 'done', totals: { fresh: 3 } }]);
  // The audit takes five minutes, in which the oldest entry goes.
  const app = await world.open({
    wrap: (stream) => ({
      ...stream,
      async *read(options) {
        world.clock.advance(5 * MINUTE);
        yield* stream.read(options);
      },
    }),
  });
  try {
    const found = await auditFirst(app);
    expect(found).toMatchObject({ outcome: 'done', differences: [] });
    expect(found !== null && isSound(found)).toBe(true);
    const begin = (found?.recounted[0]?.from ?? 0) - (START - DAY);
    expect(begin).toBeGreaterThanOrEqual(10 * MINUTE);
    expect(begin).toBeLessThan(11 * MINUTE);
    expect(world.sandbox.qstash.truth({ visibleAt: world.clock.now() })).toHaveLength(2);
  } finally {
    await app.close();
  }
});
