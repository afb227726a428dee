import { afterEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, storedQstash } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const AT = START - 600_000;
let world: World;

afterEach(() => world.close());

/** So many entries of one ms, more than a page, and `older` before them. */
function fill(ties: number, older: number): void {
  world.sandbox.qstash.add(
    Array.from({ length: ties + older }, (_, n) => {
      const time = n < ties ? AT : AT - 1_000 * n;
      const entry = { time, messageId: `msg_${n}`, state: 'CREATED', url: 'https://example.com/' };
      return { entry, writtenMs: time };
    }),
  );
}

test('I3: an API that gives an empty page at the end is believed, though the oldest ms holds more than a page', async () => {
  world = await createWorld({
    sandbox: { qstash: { emptyLastPage: true } },
    settings: { pageSize: 5 },
  });
  fill(15, 0);
  const [result] = await world.sync();
  expect({ outcome: result?.outcome, error: result?.error?.message ?? null }).toEqual({
    outcome: 'done',
    error: null,
  });
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
});

test('I3: an API that forgets a cursor within a ms that holds more than a page, and says that nothing follows, is not believed', async () => {
  world = await createWorld({
    sandbox: { qstash: { badCursor: 'empty', cursorMaxAgeMs: 30_000 } },
    settings: { pageSize: 5 },
  });
  fill(10, 3);
  let pages = 0;
  await world.sync(
    {},
    {
      wrap: (stream) => ({
        ...stream,
        async *read(options) {
          for await (const page of stream.read(options)) {
            pages += 1;
            if (pages === 1) world.clock.advance(60_000);
            yield page;
          }
        },
      }),
    },
  );
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
});
