import { afterEach, beforeEach, expect, test } from 'vitest';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Stream } from '../../src/sources/source.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { askOf, createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeEach(async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    settings: { pageSize: 20, since: { agoMs: 2 * HOUR } },
    sandbox: { qstash: prompt, datadog: prompt },
    wrap: pageIsBatch,
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 150 });
});
afterEach(() => world.close());

async function expectComplete(): Promise<void> {
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
  expect(
    difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
  expect(await world.query('select id from logkeep.sync_window')).toEqual([]);
}

test('I9: two processes at once read every page once, and both end well', async () => {
  const apps = [await world.open(), await world.open()];
  const held: string[] = [];
  const watch = (_: Stream, event: { kind: string; by?: string }) => {
    if (event.kind === 'held') held.push(event.by ?? '');
  };
  const results = await Promise.all(apps.map((app) => syncStreams(app, askOf({ watch }))));
  expect(results.flat().map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done', 'done']);
  await expectComplete();
  const places = world.sandbox
    .requests()
    .map(({ api, cursor, params, body }) => `${api} ${cursor} ${params.fromDate} ${params.toDate} ${body}`);
  expect(new Set(places).size).toBe(places.length);
  // The one that waits can say for whom.
  expect(held.length).toBeGreaterThan(0);
  for (const by of held) expect(apps.map(({ holder }) => holder)).toContain(by);
  for (const app of apps) await app.close();
});

for (const name of ['qstash.main', 'datadog.main'] as const) {
  test(`I9: ${name}: a process that lost its lease cannot commit what it read: the other one does, and both end well`, async () => {
    const stalled = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const stall = (stream: Stream): Stream => ({
      ...stream,
      async *read(options) {
        let pages = 0;
        for await (const page of pageIsBatch(stream).read(options)) {
          yield page;
          if (++pages === 2) {
            stalled.resolve();
            await goOn.promise;
          }
        }
      },
    });
    const slow = world.sync({}, { streams: [name], wrap: stall });
    await stalled.promise;
    await expect
      .poll(() => world.query(`select 1 from logkeep.sync_window where pages > 1`), { timeout: 5_000 })
      .toHaveLength(1);
    await world.endLeases();
    const [quick] = await world.sync({}, { streams: [name] });
    expect(quick?.outcome).toBe('done');
    const rows = `select (select count(*)::integer from logkeep.qstash_log) + (select count(*)::integer from logkeep.datadog_log) as n, (select sum(new)::integer from logkeep.run) as counted`;
    const before = await world.query(rows);
    goOn.resolve();
    const [late] = await slow;
    expect(late).toMatchObject({ outcome: 'done', error: null });
    expect(await world.query(rows)).toEqual(before);
    expect(before[0]?.n).toBe(before[0]?.counted);
    // Forty of them were the slow one's.
    expect(late?.totals.fetched).toBe(40);
    for (const other of ['qstash.main', 'datadog.main'] as const) await world.sync({}, { streams: [other] });
    await expectComplete();
  });
}

test('I9: the checkpoint raises under another fence, and with it the whole batch goes', async () => {
  let pages = 2;
  await world.sync({ mayRequest: () => pages-- > 0 }, { streams: ['datadog.main'] });
  const [window] = await world.query<{ id: string; fence: string }>(
    'select id, fence from logkeep.sync_window',
  );
  const [run] = await world.query<{ id: string; batches: number }>('select id, batches from logkeep.run');
  const checkpoint = (fence: number, batch: number) =>
    world.query(
      `select logkeep.checkpoint($1, $2, $3, $4, 1, null, null, now(), now(), null, '{}', '15 min', false, null, 0, 0, 0)`,
      [window?.id, fence, batch, run?.id],
    );
  const fence = Number(window?.fence);
  const batch = Number(run?.batches) + 1;
  await expect(checkpoint(fence - 1, batch)).rejects.toMatchObject({ code: 'LK001' });
  await expect(checkpoint(fence + 1, batch)).rejects.toMatchObject({ code: 'LK001' });
  await expect(checkpoint(fence, batch + 1)).rejects.toMatchObject({ code: 'LK001' });
  expect(await checkpoint(fence, batch)).toHaveLength(1);
});

test('I9: a run of a process that died is closed as crashed by the next one, and its window goes on at its cursor', async () => {
  let pages = 2;
  await world.sync({ mayRequest: () => pages-- > 0 }, { streams: ['qstash.main'] });
  await world.query(
    `update logkeep.run set outcome = 'running', finished_at = null, alive_until = now() - interval '1 s'`,
  );
  await world.query(`update logkeep.sync_window set holder = 'gone', lease_until = now() - interval '1 s'`);
  await world.sync();
  expect(
    await world.query(
      'select outcome, finished_at is not null as ended from logkeep.run order by id limit 1',
    ),
  ).toEqual([{ outcome: 'crashed', ended: true }]);
  await expectComplete();
});
