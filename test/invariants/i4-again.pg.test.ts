import { afterEach, expect, test } from 'vitest';
import { type PrivateServer, startPrivateServer } from '../postgres.ts';
import { footprint } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const AGAIN = { from: START - 2 * HOUR, to: START - 120_000 };
let world: World;
let server: PrivateServer | null = null;

afterEach(async () => {
  await world.close();
  await server?.stop();
  server = null;
});

async function made(server?: PrivateServer): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    ...(server === undefined ? {} : { server: server.url }),
    streams: ['qstash.main', 'datadog.main'],
    settings: { since: { agoMs: 2 * HOUR }, pageSize: 100 },
    sandbox: { qstash: prompt, datadog: prompt },
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 150_000, messages: 150 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 150_000, logs: 500 });
  world.sandbox.qstash.add([{ entry: '{"messageId":"msg_timeless","state":"CREATED"}', atMs: START - HOUR }]);
}

async function walPosition(): Promise<number> {
  const [row] = await world.query<{ bytes: string }>(
    `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0') as bytes`,
  );
  return Number(row?.bytes);
}

test('I4: reading a span again writes no row, moves none and leaves next to no WAL', async () => {
  // Other tests' WAL would count on a shared server.
  server = await startPrivateServer();
  await made(server);
  const start = await walPosition();
  await world.sync();
  const firstWal = (await walPosition()) - start;
  const before = await footprint(world);
  expect(before.length).toBeGreaterThan(900);
  const between = await walPosition();
  const results = await world.sync({ again: AGAIN });
  const againWal = (await walPosition()) - between;
  expect(results.map(({ totals }) => ({ fresh: totals.fresh, some: totals.known > 300 }))).toEqual([
    { fresh: 0, some: true },
    { fresh: 0, some: true },
  ]);
  expect(await footprint(world)).toEqual(before);
  expect(againWal).toBeLessThan(firstWal / 10);
});

test('I4: rows that v1 brought gain their severity from v2, and nothing else changes; then v1 takes nothing back', async () => {
  await made();
  world.sandbox.datadog.add([
    {
      content: { timestamp: new Date(START - HOUR).toISOString(), message: 'grave' },
      atMs: START - HOUR,
      status: 'error',
    },
  ]);
  const streams = ['datadog.main'] as const;
  await world.sync({}, { streams });
  const columns =
    'timestamp, event_id, id, host, service, source, message, tags, attributes, intake_time, ingested_at, extra, escaped';
  const all = `select ${columns} from logkeep.datadog_log order by timestamp, event_id`;
  const before = await world.query(all);
  expect(await world.query('select distinct status from logkeep.datadog_log')).toEqual([{ status: null }]);
  const [second] = await world.sync(
    { again: AGAIN },
    { streams, settings: { pageSize: 100, own: { api: 'v2' } } },
  );
  expect(second?.totals).toMatchObject({ fresh: 0 });
  expect(await world.query(all)).toEqual(before);
  expect(await world.query(`select status from logkeep.datadog_log where message = 'grave'`)).toEqual([
    { status: 'error' },
  ]);
  expect(await world.query('select 1 from logkeep.datadog_log where status is null')).toEqual([]);
  const filled = await footprint(world);
  await world.sync({ again: AGAIN }, { streams });
  await world.sync({ again: AGAIN }, { streams, settings: { pageSize: 100, own: { api: 'v2' } } });
  expect(await footprint(world)).toEqual(filled);
});

test('I4: a log whose raw id changed with storage is the same row', async () => {
  await made();
  await world.sync();
  const before = await footprint(world);
  world.sandbox.datadog.compact();
  await world.sync({ again: AGAIN });
  expect(await footprint(world)).toEqual(before);
});
