import { afterEach, expect, test } from 'vitest';
import { readLateness, upToMs } from '../../src/store/lateness.ts';
import { readStatus } from '../../src/store/status.ts';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
let world: World;

afterEach(() => world.close());

const counts = () =>
  world.query<{ bucket: number; count: string }>(
    'select bucket, count from logkeep.lateness order by stream, bucket',
  );

test('how late Datadog logs came is counted for each new row, by the time that their ids tell', async () => {
  world = await createWorld({ streams: ['datadog.main'] });
  const lateness = [0, 900, 1_000, 1_500, 3 * MINUTE, 18 * HOUR, -2 * HOUR];
  world.sandbox.datadog.add(
    lateness.map((lateMs, n) => {
      const atMs = START - 20 * HOUR + n * MINUTE;
      const content = { timestamp: new Date(atMs).toISOString(), message: `log ${n}` };
      return { content, atMs, intakeMs: atMs + lateMs, visibleAtMs: atMs };
    }),
  );
  await world.sync();
  // 1.5 s is within 2 ^ (2 / 2), 3 min within 2 ^ (15 / 2), 18 h within 2 ^ (32 / 2) seconds.
  expect(await counts()).toEqual([
    { bucket: 0, count: '4' },
    { bucket: 2, count: '1' },
    { bucket: 15, count: '1' },
    { bucket: 32, count: '1' },
  ]);
  await world.sync({ again: { from: START - 21 * HOUR, to: START - HOUR } });
  expect((await counts()).map(({ count }) => count)).toEqual(['4', '1', '1', '1']);
  const app = await world.open();
  expect(await readLateness(app.store.db, 'datadog.main')).toEqual([
    { upToMs: 1_000, count: 4 },
    { upToMs: 2_000, count: 1 },
    { upToMs: upToMs(15), count: 1 },
    { upToMs: 65_536_000, count: 1 },
  ]);
  const [status] = await readStatus(app.store.db);
  expect(status?.lateness).toEqual(await readLateness(app.store.db, 'datadog.main'));
  await app.close();
  expect(upToMs(15)).toBeGreaterThan(3 * MINUTE);
  expect(upToMs(14)).toBeLessThan(3 * MINUTE);
});

test('of QStash only what a re-read brings in counts as late, by its age; the rest is taken for on time', async () => {
  world = await createWorld({ streams: ['qstash.main'] });
  const entry = (n: number, time: number, visibleAtMs: number) => ({
    entry: { time, messageId: `msg_${n}`, state: 'CREATED', url: 'https://example.com/' },
    visibleAtMs,
    writtenMs: time,
  });
  const now = Date.now();
  // The age is by the database's clock, which a test cannot set.
  world.clock.advance(now - START);
  world.sandbox.qstash.add([0, 1, 2].map((n) => entry(n, now - HOUR + n, now - HOUR)));
  await world.sync();
  expect(await counts()).toEqual([{ bucket: -1, count: '3' }]);
  world.clock.advance(MINUTE);
  world.sandbox.qstash.add([entry(3, now - 10 * MINUTE, now + MINUTE), entry(4, now + 1, now + 1)]);
  await world.sync();
  const [first, second] = await counts();
  expect(first).toEqual({ bucket: -1, count: '4' });
  expect(second?.count).toBe('1');
  expect(upToMs(second?.bucket ?? 0)).toBeGreaterThanOrEqual(10 * MINUTE);
  expect(upToMs((second?.bucket ?? 0) - 1)).toBeLessThan(15 * MINUTE);
});

test('with overlap: auto the overlap follows from how late entries came', async () => {
  world = await createWorld({
    streams: ['datadog.main'],
    settings: { overlapAuto: true, overlapMs: 15 * MINUTE },
  });
  const log = (n: number, atMs: number, intakeMs: number) => ({
    content: { timestamp: new Date(atMs).toISOString(), message: `log ${n}` },
    atMs,
    intakeMs,
    visibleAtMs: intakeMs,
  });
  world.sandbox.datadog.add(
    Array.from({ length: 1_100 }, (_, n) => {
      const atMs = START - 20 * HOUR + n * MINUTE;
      return log(n, atMs, atMs + (n % 200 === 0 ? HOUR : 500));
    }),
  );
  await world.sync();
  // Late by fifty minutes: beyond the overlap of the settings, within the one that is due.
  world.clock.advance(2 * MINUTE);
  const at = world.clock.now() - 50 * MINUTE;
  world.sandbox.datadog.add([log(9_999, at, world.clock.now() - 1)]);
  world.clock.advance(MINUTE);
  const found = () =>
    world.query(`select count(*)::integer as n from logkeep.datadog_log where message = 'log 9999'`);
  await world.sync({}, { settings: { overlapAuto: false, overlapMs: 15 * MINUTE } });
  expect(await found()).toEqual([{ n: 0 }]);
  world.clock.advance(MINUTE);
  await world.sync();
  expect(await found()).toEqual([{ n: 1 }]);
});
