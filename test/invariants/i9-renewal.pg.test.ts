import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Stream } from '../../src/sources/source.ts';
import { LEASE_MS } from '../../src/store/windows.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import { difference, NO_DIFFERENCE, onceEach, storedQstash } from '../stored.ts';
import { askOf, createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeEach(async () => {
  world = await createWorld({
    settings: { pageSize: 20, since: { agoMs: 2 * HOUR } },
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
});
afterEach(() => world.close());

test('I9: an answer that takes longer than a lease does not cost the lease: the other process waits, alive, and takes nothing', async () => {
  const asking = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const slow = (stream: Stream): Stream => ({
    ...stream,
    async *read(options) {
      for await (const page of stream.read(options)) {
        asking.resolve();
        await answer.promise;
        yield page;
      }
    },
  });
  const [reader, waiter] = [await world.open({ wrap: slow }), await world.open()];
  const reading = syncStreams(reader, askOf());
  await asking.promise;
  const leased = performance.now();
  const events: (RunEvent & { readonly afterMs: number })[] = [];
  const waiting = syncStreams(
    waiter,
    askOf({ watch: (_, event) => events.push({ ...event, afterMs: performance.now() - leased }) }),
  );
  const runs = (holder: string) =>
    world.query<{ alive: boolean }>(
      "select alive_until > clock_timestamp() + interval '15 s' as alive from logkeep.run where holder = $1",
      [holder],
    );
  await expect.poll(() => events.length, { timeout: 10_000 }).toBeGreaterThan(0);
  // As if both had begun half a minute ago: from here on only saying so keeps them alive.
  const aged = await world.query(
    `update logkeep.run set alive_until = clock_timestamp() + interval '1 s' where outcome = 'running' returning id`,
  );
  expect(aged).toHaveLength(2);
  await delay(LEASE_MS + 2_000 - (performance.now() - leased));
  const windows = await world.query(
    'select holder, fence, lease_until > clock_timestamp() as leased from logkeep.sync_window',
  );
  expect(windows).toEqual([{ holder: reader.holder, fence: '1', leased: true }]);
  expect(new Set(events.map(({ kind }) => kind))).toEqual(new Set(['held']));
  expect(events.at(-1)).toMatchObject({ by: reader.holder });
  expect(events.at(-1)?.afterMs).toBeGreaterThan(LEASE_MS);
  expect(await runs(reader.holder)).toEqual([{ alive: true }]);
  expect(await runs(waiter.holder)).toEqual([{ alive: true }]);
  answer.resolve();
  expect([...(await reading), ...(await waiting)].map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  await reader.close();
  await waiter.close();
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
});
