import { afterEach, expect, test } from 'vitest';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Stream } from '../../src/sources/source.ts';
import { difference, NO_DIFFERENCE, onceEach, storedQstash } from '../stored.ts';
import { askOf, createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const ENTRIES = 600;
/** How long before they expire the oldest entries are asked for. */
const MARGIN = 20 * MINUTE;
let world: World;

afterEach(() => world.close());

test('the oldest entries are stored although a walk from the newest would have reached them only after they expired', async () => {
  // A minute an answer and sixty pages: the walk takes an hour, the oldest entry has 20 minutes left.
  const slow = (stream: Stream): Stream => ({
    ...stream,
    async *read(options) {
      for await (const page of stream.read(options)) {
        world.clock.advance(MINUTE);
        yield page;
      }
    },
  });
  world = await createWorld({
    settings: { retentionMs: DAY, since: { agoMs: DAY - MARGIN }, pageSize: 10 },
    sandbox: { qstash: { retentionMs: DAY, lateness: { minMs: 0, maxMs: 0 } } },
    wrap: slow,
  });
  const from = START - DAY + MARGIN + 2_000;
  world.sandbox.qstash.add(
    Array.from({ length: ENTRIES }, (_, n) => ({
      entry: {
        time: from + Math.floor((n * (DAY - MARGIN - MINUTE)) / ENTRIES),
        messageId: `msg_${n}`,
        state: 'CREATED',
        url: 'https://a.example/',
      },
    })),
  );
  const app = await world.open();
  const windows: number[] = [];
  const [result] = await syncStreams(
    app,
    askOf({
      watch: (_, event) => {
        if (event.kind === 'window') windows.push(event.window.from);
      },
    }),
  );
  await app.close();
  expect(result).toMatchObject({ outcome: 'done', error: null });
  expect(windows.length).toBeGreaterThan(10);
  const pieces = windows.slice(1);
  expect(pieces).toEqual([...pieces].sort((a, b) => a - b));
  // By now the oldest have expired.
  const { truth } = world.sandbox.qstash;
  expect(truth({ visibleAt: world.clock.now() }).length).toBeLessThan(ENTRIES);
  expect(difference(await storedQstash(world), onceEach(truth()))).toEqual(NO_DIFFERENCE);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
});
