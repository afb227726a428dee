import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Stream } from '../../src/sources/source.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import { createWorld, START, type World } from '../world.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 1_440 * MINUTE;
const NOW = Math.floor(START / SECOND) * SECOND;
/** Ages of entries: within what is owed, within the lead at the retention's edge, and beyond the retention. */
const AGES = {
  owed: DAY - 90 * SECOND,
  lead: DAY - 30 * SECOND,
  beyond: DAY + 5 * MINUTE,
  far: 3 * DAY - MINUTE,
};
let world: World;

beforeEach(async () => {
  // The API keeps more than the settings promise.
  world = await createWorld({
    settings: { retentionMs: DAY, since: { agoMs: DAY }, reachMs: 3 * DAY },
    sandbox: { qstash: { retentionMs: 3 * DAY, lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.qstash.add(
    Object.entries(AGES).map(([name, age]) => ({
      entry: { time: START - age, messageId: name, state: 'CREATED', url: 'https://a.example/' },
    })),
  );
});
afterEach(() => world.close());

const names = async () =>
  (await world.query('select message_id from logkeep.qstash_log order by time')).map((row) => row.message_id);

/** How old the beginning of the coverage is, and what `gap` shows. */
async function state() {
  const [row] = await world.query<{ from: number; spans: number; to: number }>(
    `select ${NOW} - (extract(epoch from lower(covered)) * 1000)::float8 as from,
      ${NOW} - (extract(epoch from upper(covered)) * 1000)::float8 as to,
      (select count(*)::integer from unnest(covered)) as spans from logkeep.stream`,
  );
  return { ...row, gaps: await world.query('select * from logkeep.gap') };
}

test('I8: where no beginning was said, what the API holds beyond the retention is stored, claimed nowhere and no gap', async () => {
  const [result] = await world.sync();
  expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 4 } });
  expect(await names()).toEqual(['far', 'beyond', 'lead', 'owed']);
  const { from, ...rest } = await state();
  expect(rest).toEqual({ to: 30 * SECOND, spans: 1, gaps: [] });
  // Never older than the retention, never younger than what is owed.
  expect(from).toBeLessThanOrEqual(DAY);
  expect(from).toBeGreaterThanOrEqual(DAY - MINUTE - SECOND);
  // Nor does a later run find anything missing there.
  const asked = world.sandbox.requests().length;
  world.clock.advance(5 * MINUTE);
  await world.sync();
  expect(world.sandbox.requests().length).toBe(asked + 1);
  expect((await state()).gaps).toEqual([]);
});

test('I8: a beginning said to be as far back as the retention is read from its very edge, and no further', async () => {
  const [result] = await world.sync({ since: { agoMs: DAY } });
  expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 2 } });
  expect(await names()).toEqual(['lead', 'owed']);
  expect((await state()).gaps).toEqual([]);
});

test('I8: a longer beginning is owed to the letter: what comes of it is stored, and the rest of it is expired', async () => {
  await world.sync({ since: { agoMs: 2 * DAY } });
  expect(await names()).toEqual(['beyond', 'lead', 'owed']);
  expect((await state()).gaps).toMatchObject([{ kind: 'expired', from_time: new Date(NOW - 2 * DAY) }]);
});

test('I8: while another process has in hand what is owed, the lead is read once and nothing else', async () => {
  const reach = { retentionMs: DAY, since: { agoMs: DAY }, reachMs: 3 * DAY };
  world.sandbox.datadog.history({ from: START - 3 * DAY, to: START - 180_000, logs: 60 });
  const asking = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<void>();
  const slow = (stream: Stream): Stream => ({
    ...stream,
    async *read(options) {
      asking.resolve();
      await answer.promise;
      yield* stream.read(options);
    },
  });
  const reader = world.sync({}, { streams: ['datadog.main'], settings: reach, wrap: slow });
  await asking.promise;
  const stop = new AbortController();
  let held = 0;
  const watch = (_: Stream, { kind }: RunEvent) => {
    if (kind === 'held' && ++held === 3) stop.abort();
  };
  // Were it to plan the lead again and again it would not wait.
  let left = 20;
  const ask = { watch, signal: stop.signal, mayRequest: () => left-- > 0 };
  const [waiter] = await world.sync(ask, { streams: ['datadog.main'], settings: reach });
  expect({ held, windows: waiter?.totals.windows }).toEqual({ held: 3, windows: 1 });
  expect(world.sandbox.requests()).toHaveLength(1);
  answer.resolve();
  expect((await reader)[0]).toMatchObject({ outcome: 'done', error: null });
});
