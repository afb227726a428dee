import { afterEach, expect, test } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import { createWorld, type World } from '../world.ts';

let world: World;
afterEach(() => world.close());

test('a window whose every place in the chain is lost is planned anew 60 times in a row, not for ever, and nothing is claimed', async () => {
  let reads = 0;
  world = await createWorld({
    wrap: (stream) => ({
      ...stream,
      // biome-ignore lint/correctness/useYield: it ends before it has any page
      async *read() {
        if (++reads > 200) throw new Error('it goes on for ever');
        throw new LogkeepError('cursor', 'the place is lost');
      },
    }),
  });
  const [result] = await world.sync();
  expect(result).toMatchObject({
    outcome: 'failed',
    error: {
      kind: 'protocol',
      message: expect.stringContaining('planned anew or lost 61 times in a row without progress'),
    },
  });
  expect(reads).toBe(61);
  expect(await world.query('select covered::text, settled::text from logkeep.stream')).toEqual([
    { covered: '{}', settled: '{}' },
  ]);
});
