import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { withClient } from '../postgres.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
/** The first batch waits for its turn, the second is copied, the third is in hand, and one page more is on its way. */
const AHEAD = 4;
let world: World;

afterEach(() => world.close());

test.each(['qstash.main', 'datadog.main'] as const)(
  '%s: while a batch is held up the next pages are fetched, as many as may be under way and no more',
  async (stream) => {
    const prompt = { lateness: { minMs: 0, maxMs: 0 } };
    world = await createWorld({
      streams: [stream],
      settings: { pageSize: 10, since: { agoMs: 2 * HOUR } },
      sandbox: { qstash: prompt, datadog: prompt },
      wrap: pageIsBatch,
    });
    world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
    world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 120 });
    const requests = () => world.sandbox.requests().length;
    const syncing = await withClient(world.url, async (client) => {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`logkeep:load:${stream}`]);
      const running = world.sync();
      try {
        await expect.poll(requests, { timeout: 20_000 }).toBe(AHEAD);
        await delay(500);
        expect(requests()).toBe(AHEAD);
        expect(await world.query('select batches from logkeep.run')).toEqual([{ batches: 0 }]);
        await expect.poll(waiting, { timeout: 20_000 }).toBe(1);
      } finally {
        await client.query('commit');
        await running;
      }
      return running;
    });
    expect(syncing).toMatchObject([{ outcome: 'done', error: null }]);
    expect(requests()).toBeGreaterThan(2 * AHEAD);
    const { qstash, datadog } = world.sandbox;
    const [rows, truth] =
      stream === 'qstash.main'
        ? [await storedQstash(world), qstash.truth()]
        : [await storedDatadog(world), datadog.truth()];
    expect(difference(rows, onceEach(truth))).toEqual(NO_DIFFERENCE);
  },
);

/** Loads that wait for their turn. */
async function waiting(): Promise<number | undefined> {
  const [row] = await world.query<{ n: number }>(
    `select count(*)::integer as n from pg_locks l join pg_database d on d.oid = l.database
      where d.datname = current_database() and l.locktype = 'advisory' and not l.granted`,
  );
  return row?.n;
}
