import { afterEach, expect, test } from 'vitest';
import type { Fault } from '../../src/sandbox/faults.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const HOUR = 3_600_000;
const PROMPT = { lateness: { minMs: 0, maxMs: 0 } };
let world: World;

afterEach(() => world.close());

async function made(options: WorldOptions = {}): Promise<World> {
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    settings: { pageSize: 30, since: { agoMs: 2 * HOUR }, ...options.settings },
    sandbox: {
      qstash: { ...PROMPT, ...options.sandbox?.qstash },
      datadog: { ...PROMPT, ...options.sandbox?.datadog },
    },
    wrap: pageIsBatch,
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 150 });
  return world;
}

async function expectComplete(): Promise<void> {
  expect(
    difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
  expect(
    difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
  expect(await world.query('select id from logkeep.sync_window')).toEqual([]);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
}

const FAULTS: readonly Fault[] = [{ kind: 'bad_cursor' }, { kind: 'start_over' }];

for (const fault of FAULTS) {
  test(`I3: a cursor lost by ${fault.kind} costs a re-read, never an entry`, async () => {
    await made();
    for (const api of ['qstash', 'datadog'] as const) world.sandbox.faults.next(api, fault, fault);
    // QStash that starts over cannot be told from QStash that goes in a circle: that run claims nothing and ends.
    for (let run = 1; (await world.sync()).some(({ outcome }) => outcome !== 'done'); run++)
      expect(run).toBeLessThan(3);
    expect(world.sandbox.faults.counts()[fault.kind]).toBe(4);
    await expectComplete();
  });
}

test('I3: a page that repeats ends the run without a claim, and the next run completes it', async () => {
  await made();
  for (const api of ['qstash', 'datadog'] as const) world.sandbox.faults.next(api, { kind: 'repeat_page' });
  await world.sync();
  await world.endLeases();
  expect((await world.sync()).map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  await expectComplete();
});

test('I3: an API that forgets each cursor after a while, and answers it with an empty end, takes nothing away', async () => {
  await made({ sandbox: { qstash: { cursorMaxAgeMs: 60_000, badCursor: 'empty' } } });
  let pages = 3;
  const [first] = await world.sync({ mayRequest: () => pages-- > 0 }, { streams: ['qstash.main'] });
  expect(first).toMatchObject({ outcome: 'stopped', totals: { windows: 0 } });
  world.clock.advance(3 * HOUR);
  expect((await world.sync()).map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  expect(
    difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth({ visibleAt: START }))).missing,
  ).toEqual([]);
});

test('I3: an interrupted run goes on at its cursor: no page is read twice', async () => {
  await made();
  let pages = 4;
  const stopped = await world.sync({ mayRequest: () => pages-- > 0 });
  expect(stopped.map(({ outcome }) => outcome)).toEqual(['stopped', 'stopped']);
  const rest = await world.sync();
  await expectComplete();
  const cursors = world.sandbox.requests().map(({ api, cursor }) => `${api} ${cursor}`);
  expect(new Set(cursors).size).toBe(cursors.length);
  expect(rest.map(({ totals }) => totals.known)).toEqual([0, 0]);
});

test('I3: a Datadog cursor that has grown old is not used: the rest is planned from what is committed', async () => {
  await made();
  let pages = 3;
  await world.sync({ mayRequest: () => pages-- > 0 }, { streams: ['datadog.main'] });
  await world.query(`update logkeep.sync_window set cursor_at = cursor_at - interval '11 min'`);
  const before = world.sandbox.requests().length;
  await world.sync();
  const first = world.sandbox
    .requests()
    .slice(before)
    .find(({ api }) => api === 'datadog');
  expect(first?.cursor).toBeNull();
  await expectComplete();
});

test('I3: storage that is compacted in mid-chain changes raw ids and nothing else', async () => {
  await made();
  world.sandbox.faults.every(2, { kind: 'compact' }, 'datadog');
  await world.sync();
  expect(world.sandbox.faults.counts().compact).toBeGreaterThan(1);
  const [rows] = await world.query<{ n: number }>('select count(*)::integer as n from logkeep.datadog_log');
  expect(rows?.n).toBe(world.sandbox.datadog.truth({ visibleAt: START }).length);
});

test('I3: a span asked for again is read again even when a window of before still lies open', async () => {
  await made();
  let pages = 3;
  await world.sync({ mayRequest: () => pages-- > 0 }, { streams: ['datadog.main'] });
  const [state] = await world.query<{ to: Date }>(
    `select upper(covered) as to from logkeep.stream where source = 'datadog'`,
  );
  const again = { from: START - HOUR, to: +(state as { to: Date }).to - 1_000 };
  const inside = world.sandbox.datadog.truth({ ...again, visibleAt: START }).length;
  expect(inside).toBeGreaterThan(20);
  const [result] = await world.sync({ again }, { streams: ['datadog.main'] });
  expect(result?.totals.known).toBeGreaterThanOrEqual(inside);
});
