import { afterEach, expect, test } from 'vitest';
import { length, subtract } from '../../src/sync/spans.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';
import { spansOf, sweep } from './sweeping.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;

afterEach(() => world.close());

type StreamName = 'qstash.main' | 'datadog.main';
const STREAMS = ['qstash.main', 'datadog.main'] as const;

/** A stream with a day of entries, read once. */
async function made(stream: StreamName, pageSize = 100): Promise<void> {
  world = await createWorld({
    streams: [stream],
    settings: { pageSize, retentionMs: 3 * DAY, sweepAfterMs: 6 * HOUR, since: { agoMs: DAY } },
  });
  world.sandbox.qstash.history({ from: START - DAY, to: START, messages: 60 });
  world.sandbox.datadog.history({ from: START - DAY, to: START, logs: 240 });
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
}

/** An entry of the time `at` that shows only now. */
function comesLate(stream: StreamName, at: number, name = 'late'): void {
  const visibleAtMs = world.clock.now();
  if (stream === 'qstash.main') {
    const entry = { time: at, messageId: `msg_${name}`, state: 'CREATED', url: 'https://example.com/' };
    world.sandbox.qstash.add([{ entry, visibleAtMs }]);
  } else {
    const content = { timestamp: new Date(at).toISOString(), message: name };
    world.sandbox.datadog.add([{ content, atMs: at, visibleAtMs, intakeMs: visibleAtMs }]);
  }
}

const stored = async (name = 'late') => {
  const [row] = await world.query<{ n: number }>(
    `select ((select count(*) from logkeep.qstash_log where message_id = $1) +
      (select count(*) from logkeep.datadog_log where message = $2))::integer as n`,
    [`msg_${name}`, name],
  );
  return row?.n;
};

for (const stream of STREAMS) {
  test(`${stream}: a sweep settles what it finds unchanged, up to the horizon, and the next one has nothing to do`, async () => {
    await made(stream);
    expect(await spansOf(world, 'settled', stream)).toEqual([]);
    const covered = await spansOf(world, 'covered', stream);
    const first = await sweep(world);
    expect(first).toMatchObject({ outcome: 'done', error: null, totals: { fresh: 0, windows: 3 } });
    expect(first.totals.known).toBeGreaterThan(100);
    const settled = await spansOf(world, 'settled', stream);
    expect(settled).toEqual([
      { from: covered[0]?.from, to: Math.floor((world.clock.now() - 6 * HOUR) / 1000) * 1000 },
    ]);
    const { meter } = await sweep(world);
    expect(meter.requests).toBe(0);
    expect(await spansOf(world, 'settled', stream)).toEqual(settled);
    expect(await world.query(`select job, outcome from logkeep.run order by id`)).toEqual([
      { job: 'sync', outcome: 'done' },
      { job: 'sweep', outcome: 'done' },
      { job: 'sweep', outcome: 'done' },
    ]);
  });

  test(`${stream}: what a sweep finds new is stored, and its window settles only when the next sweep finds nothing`, async () => {
    await made(stream);
    const at = START - 10 * HOUR;
    comesLate(stream, at);
    await world.sync();
    expect(await stored()).toBe(0);
    expect((await sweep(world)).totals.fresh).toBe(1);
    expect(await stored()).toBe(1);
    const holds = (spans: readonly { from: number; to: number }[]) =>
      spans.some(({ from, to }) => from <= at && at < to);
    const settled = await spansOf(world, 'settled', stream);
    expect(length(settled)).toBeGreaterThan(11 * HOUR);
    expect(holds(settled)).toBe(false);
    expect((await sweep(world)).totals).toMatchObject({ fresh: 0, windows: 1 });
    expect(holds(await spansOf(world, 'settled', stream))).toBe(true);
    expect(await spansOf(world, 'settled', stream)).toHaveLength(1);
  });

  test(`${stream}: a settled window in which another read finds something leaves what is settled`, async () => {
    await made(stream);
    await sweep(world);
    comesLate(stream, START - 10 * HOUR);
    const again = { from: START - 11 * HOUR - 789, to: START - 9 * HOUR - 789 };
    expect((await world.sync({ again }))[0]?.totals.fresh).toBe(1);
    const settled = await spansOf(world, 'settled', stream);
    expect(settled).toHaveLength(2);
    expect(settled[0]?.to).toBe(again.from);
    expect(settled[1]?.from).toBe(again.to + 1000);
  });

  test(`${stream}: what expires before it is swept stays covered and is never settled`, async () => {
    await made(stream);
    world.clock.advance(2 * DAY + 6 * HOUR);
    const covered = await spansOf(world, 'covered', stream);
    const now = world.clock.now();
    expect(await sweep(world)).toMatchObject({ outcome: 'done', totals: { fresh: 0 } });
    const settled = await spansOf(world, 'settled', stream);
    expect(settled).toHaveLength(1);
    expect(settled[0]?.from).toBeGreaterThan(now - 3 * DAY);
    expect(settled[0]?.from).toBeLessThan(now - 3 * DAY + 11 * MINUTE);
    expect(await spansOf(world, 'covered', stream)).toEqual(covered);
    expect(await spansOf(world, 'expired', stream)).toEqual([]);
  });

  test(`${stream}: a window that lay open until its time had expired settles none of it`, async () => {
    await made(stream, 10);
    let left = 3;
    await sweep(world, { mayRequest: () => left-- > 0 }, { wrap: pageIsBatch });
    const before = await spansOf(world, 'settled', stream);
    world.clock.advance(2 * DAY + 8 * HOUR);
    const edge = world.clock.now() - 3 * DAY;
    expect((await sweep(world)).outcome).toBe('done');
    const settled = subtract(await spansOf(world, 'settled', stream), before);
    expect(settled[0]?.from).toBeGreaterThan(edge);
    expect(length(settled)).toBeGreaterThan(12 * HOUR);
    expect(await world.query('select from logkeep.sync_window')).toEqual([]);
  });

  test(`${stream}: a sweep that was cut short settles what it has read, and the next one goes on from there`, async () => {
    await made(stream, 10);
    let left = 7;
    const cut = await sweep(world, { mayRequest: () => left-- > 0 }, { wrap: pageIsBatch });
    expect(cut.outcome).toBe('stopped');
    const halfway = length(await spansOf(world, 'settled', stream));
    expect(halfway).toBeLessThan(18 * HOUR);
    if (stream === 'datadog.main') expect(halfway).toBeGreaterThan(0);
    expect(await world.query('select distinct job from logkeep.sync_window')).toEqual([{ job: 'sweep' }]);
    const rest = await sweep(world, {}, { wrap: pageIsBatch });
    expect(rest).toMatchObject({ outcome: 'done', totals: { fresh: 0 } });
    expect(length(await spansOf(world, 'settled', stream))).toBeGreaterThan(17.9 * HOUR);
    expect(await world.query('select from logkeep.sync_window')).toEqual([]);
  });

  test(`${stream}: a window that was planned anew after something new was found in it is not settled`, async () => {
    await made(stream, 10);
    // On the first page of the first window, whose second one is then asked for in vain.
    comesLate(stream, START - (stream === 'qstash.main' ? 18 * HOUR + 10 * MINUTE : 23 * HOUR + 50 * MINUTE));
    world.sandbox.faults.next(stream === 'qstash.main' ? 'qstash' : 'datadog', { kind: 'bad_cursor' });
    const first = await sweep(world, {}, { wrap: pageIsBatch });
    expect(first).toMatchObject({ outcome: 'done', totals: { fresh: 1 } });
    const settled = await spansOf(world, 'settled', stream);
    expect(settled).toHaveLength(1);
    expect(settled[0]?.from).toBeGreaterThan(START - 18 * HOUR - MINUTE);
  });
}

test('a sync never waits for the windows of a sweep, and takes those that nobody reads when it is to read their time', async () => {
  await made('qstash.main', 10);
  let left = 5;
  await sweep(world, { mayRequest: () => left-- > 0 });
  const open = () =>
    world.query<{ from_time: Date }>('select id, from_time from logkeep.sync_window order by from_time');
  const before = await open();
  expect(before.length).toBeGreaterThan(1);
  world.clock.advance(MINUTE);
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
  expect(await open()).toEqual(before);
  const from = Number(before[0]?.from_time) + HOUR;
  const again = { from, to: from + HOUR };
  const [result] = await world.sync({ again });
  expect(result).toMatchObject({ outcome: 'done' });
  expect((await open()).length).toBe(before.length - 1);
  expect((await sweep(world)).outcome).toBe('done');
  expect(length(await spansOf(world, 'settled', 'qstash.main'))).toBeGreaterThan(17.9 * HOUR);
});

test('an entry that comes in the middle of a sweep, in a part already read, is found by the next one', async () => {
  await made('datadog.main', 10);
  const at = START - 23 * HOUR;
  let pages = 0;
  const watch = () => {
    if (++pages === 12) comesLate('datadog.main', at);
  };
  await sweep(world, { watch }, { wrap: pageIsBatch });
  expect(await stored()).toBe(0);
  comesLate('datadog.main', START - 23 * HOUR + 1, 'beside');
  await world.query(`update logkeep.stream set settled = '{}'`);
  expect((await sweep(world)).totals.fresh).toBe(2);
});
