import { afterEach, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { auditStream, isSound } from '../../src/operations/audit.ts';
import { backfillStream, requestBackfill } from '../../src/operations/backfill.ts';
import { openLedger } from '../../src/store/progress.ts';
import { spansOf, sweep } from '../sync/sweeping.ts';
import { askOf, createWorld, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;
afterEach(() => world.close());

async function made(options: WorldOptions = {}): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    ...options,
    settings: {
      retentionMs: 3 * DAY,
      sweepAfterMs: 6 * HOUR,
      since: { agoMs: 3 * DAY },
      ...options.settings,
    },
    sandbox: { qstash: prompt, datadog: prompt, ...options.sandbox },
  });
}

const shifted = (byMs: number): Clock => ({
  now: () => world.clock.now() + byMs,
  sleep: (ms, signal) => world.clock.sleep(ms, signal),
});

const gaps = () => world.query('select kind, from_time, to_time from logkeep.gap');

/** The app's first stream and its ledger for `job`, as one process has it. */
async function ledgerOf(job: 'sync' | 'sweep', holder: string) {
  const app = await world.open();
  const open = app.streams[0] as (typeof app.streams)[number];
  const ledger = await openLedger({
    store: app.store,
    partitions: app.partitions,
    stream: open.stream,
    askedFrom: START - HOUR,
    retentionMs: 3 * DAY,
    nowMs: START,
    overlapMs: 15 * MINUTE,
    job,
    holder,
  });
  return { app, open, ledger };
}

describe('a clock that is wrong for a while', () => {
  test.each([-20 * DAY, -2 * DAY, 2 * DAY])(
    'by %i ms leaves no gap, nothing lost and no alarm',
    async (byMs) => {
      await made();
      world.sandbox.qstash.history({ from: START - DAY, to: START - HOUR, messages: 20 });
      await world.sync();
      world.clock.advance(MINUTE);
      await world.sync({}, { clock: shifted(byMs) });
      world.clock.advance(MINUTE);
      await world.sync();
      expect(await gaps()).toEqual([]);
    },
  );

  test('and was that of another machine does not make a backfill give up what can be read', async () => {
    await made({ settings: { since: { agoMs: HOUR } } });
    world.sandbox.qstash.history({ from: START - 2.8 * DAY, to: START - 2.2 * DAY, messages: 20 });
    await world.sync();
    await world.query(`update logkeep.stream set api_skew = interval '2 days'`);
    const app = await world.open();
    const open = app.streams[0] as (typeof app.streams)[number];
    const span = { from: START - 2.9 * DAY, to: START - 2 * DAY };
    await requestBackfill(app, open, span);
    const result = await backfillStream(app, open, askOf());
    await app.close();
    expect(result).toMatchObject({ outcome: 'done', error: null });
    expect(result.left?.missing).toEqual([]);
    expect(await spansOf(world, 'expired', 'qstash.main')).toEqual([]);
    const [row] = await world.query('select count(*)::integer as n from logkeep.qstash_log');
    expect(row?.n).toBeGreaterThan(40);
  });
});

test('time in which a sweep found an entry that no row can hold is not settled by that sweep', async () => {
  await made();
  world.sandbox.qstash.history({ from: START - DAY, to: START - HOUR, messages: 20 });
  await world.sync();
  const at = START - 12 * HOUR;
  world.sandbox.qstash.add([
    {
      entry: { time: at, messageId: '', state: 'CREATED', url: 'https://example.com/' },
      visibleAtMs: world.clock.now(),
    },
  ]);
  const first = await sweep(world);
  expect(first.totals).toMatchObject({ fresh: 0, quarantined: 1 });
  const holds = (spans: readonly { from: number; to: number }[]) =>
    spans.some(({ from, to }) => from <= at && at < to);
  expect(holds(await spansOf(world, 'settled', 'qstash.main'))).toBe(false);
  const second = await sweep(world);
  expect(second.totals).toMatchObject({ fresh: 0, quarantined: 1 });
  expect(holds(await spansOf(world, 'settled', 'qstash.main'))).toBe(true);
});

test('an audit of a stream of which nothing is covered proves nothing', async () => {
  await made();
  world.sandbox.qstash.history({ from: START - DAY, to: START - HOUR, messages: 20 });
  await world.sync({ mayRequest: () => false });
  const app = await world.open();
  const audit = await auditStream(app, app.streams[0] as never, {
    fromMs: null,
    toMs: null,
    by: 'keys',
    signal: new AbortController().signal,
    onWait: () => {},
    onWindow: () => {},
  });
  await app.close();
  expect(audit === null || isSound(audit)).toBe(false);
});

test('a lease that one job of a process lost says nothing of its other jobs', async () => {
  await made();
  const [a, b, c] = [
    await ledgerOf('sync', 'one'),
    await ledgerOf('sweep', 'one'),
    await ledgerOf('sweep', 'two'),
  ];
  const plan = () => [{ from: START - DAY, to: START - DAY + HOUR }];
  expect((await b.ledger.next(plan)).status).toBe('leased');
  await world.endLeases();
  expect((await c.ledger.next(() => [])).status).toBe('leased');
  expect(await world.query(`select holder, job, outcome from logkeep.run order by id`)).toEqual([
    { holder: 'one', job: 'sync', outcome: 'running' },
    { holder: 'one', job: 'sweep', outcome: 'crashed' },
    { holder: 'two', job: 'sweep', outcome: 'running' },
  ]);
  for (const { app } of [a, b, c]) await app.close();
});

test('a sweep that comes back while a sync plans over its window cannot go on: windows never overlap', async () => {
  await made();
  const [sweeping, syncing] = [await ledgerOf('sweep', 'one'), await ledgerOf('sync', 'two')];
  const span = { from: START - DAY, to: START - DAY + HOUR };
  const swept = await sweeping.ledger.next(() => [span]);
  if (swept.status !== 'leased') throw new Error(swept.status);
  await world.endLeases();
  // The stream's lock keeps planners apart, not those who renew: let it happen in between.
  const { pool } = syncing.app.store;
  const connect = pool.connect.bind(pool) as () => Promise<import('pg').PoolClient>;
  pool.connect = (async () => {
    const client = await connect();
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = (async (...args: unknown[]) => {
      if (String(args[0]).includes('delete from logkeep.sync_window'))
        await sweeping.ledger.renew(swept.lease);
      return query(...args);
    }) as never;
    return client;
  }) as never;
  const synced = await syncing.ledger.next(() => [span]);
  expect(synced.status).toBe('leased');
  expect(
    await world.query(
      `select a.id from logkeep.sync_window a join logkeep.sync_window b on a.id <> b.id and a.from_time < b.to_time and b.from_time < a.to_time`,
    ),
  ).toEqual([]);
  expect(await sweeping.ledger.renew(swept.lease)).toBe(false);
  for (const { app } of [sweeping, syncing]) await app.close();
});
