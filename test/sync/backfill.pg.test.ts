import { afterEach, expect, test } from 'vitest';
import type { Span } from '../../src/model.ts';
import {
  type BackfillAsk,
  type BackfillResult,
  backfillStream,
  cancelBackfills,
  requestBackfill,
} from '../../src/operations/backfill.ts';
import { previewBackfill } from '../../src/operations/backfill-status.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import { readStatus } from '../../src/store/status.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { askOf, createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const S = 1_000;
let world: World;

afterEach(() => world.close());

const floor = (ms: number) => Math.floor(ms / S) * S;
const ago = (ms: number) => floor(START - ms);
const STREAMS = ['qstash.main', 'datadog.main'] as const;

/** Ten hours of both logs, of which sync is to read the last two. */
async function made(options: WorldOptions = {}): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: STREAMS,
    ...options,
    settings: { pageSize: 20, concurrency: 3, since: { agoMs: 2 * HOUR }, ...options.settings },
    sandbox: {
      qstash: { ...prompt, ...options.sandbox?.qstash },
      datadog: { ...prompt, ...options.sandbox?.datadog },
    },
  });
  world.sandbox.qstash.history({ from: START - 10 * HOUR, to: START - 5 * MINUTE, messages: 200 });
  world.sandbox.datadog.history({ from: START - 10 * HOUR, to: START - 5 * MINUTE, logs: 700 });
}

async function backfill(
  ask: Partial<BackfillAsk> & { readonly span?: Span; readonly drop?: boolean } = {},
  changes: Partial<WorldOptions> = {},
): Promise<readonly BackfillResult[]> {
  const app = await world.open(changes);
  const { span, drop, ...rest } = ask;
  try {
    if (drop === true) for (const open of app.streams) await cancelBackfills(app, open);
    if (span !== undefined) for (const open of app.streams) await requestBackfill(app, open, span);
    const given: BackfillAsk = { ...askOf(), ...rest };
    return await Promise.all(app.streams.map((open) => backfillStream(app, open, given)));
  } finally {
    await app.close();
  }
}

/** What is stored of both logs is what was there in the span, each entry once. */
async function expectStored(from: number, to: number): Promise<void> {
  const { qstash, datadog } = world.sandbox;
  const of = { from, to };
  expect(difference(await storedQstash(world), onceEach(qstash.truth(of)))).toEqual(NO_DIFFERENCE);
  const visible = datadog.truth({ ...of, visibleAt: world.clock.now() });
  expect(difference(await storedDatadog(world), onceEach(visible))).toEqual(NO_DIFFERENCE);
}

const outcomes = (results: readonly BackfillResult[]) =>
  results.map(({ outcome, error, left }) => ({
    outcome,
    error: error?.message ?? null,
    missing: left?.missing,
  }));
const DONE = { outcome: 'done', error: null, missing: [] };

test('a chosen span before all that sync reads is read to the second, and what sync owes stays as it was', async () => {
  await made();
  await world.sync();
  const before = await world.query('select stream, asked_from, covered from logkeep.stream order by 1');
  const span = { from: ago(8 * HOUR), to: ago(5 * HOUR) };
  const results = await backfill({ span });
  expect(outcomes(results)).toEqual([DONE, DONE]);
  const { qstash, datadog } = world.sandbox;
  const wanted = onceEach([
    ...qstash.truth({ from: span.from, to: span.to }),
    ...qstash.truth({ from: ago(2 * HOUR) }),
  ]);
  expect(difference(await storedQstash(world), wanted)).toEqual(NO_DIFFERENCE);
  const visible = { visibleAt: START };
  const logs = onceEach([
    ...datadog.truth({ from: span.from, to: span.to, ...visible }),
    ...datadog.truth({ from: ago(2 * HOUR), ...visible }),
  ]);
  expect(difference(await storedDatadog(world), logs)).toEqual(NO_DIFFERENCE);
  const after = await world.query<{ asked_from: Date; covered: string }>(
    `select stream, asked_from, (covered - tstzmultirange(tstzrange($1, $2)))::text as covered from logkeep.stream order by 1`,
    [new Date(span.from), new Date(span.to)],
  );
  expect(after).toEqual(before);
  expect(await world.query('select * from logkeep.gap')).toEqual([]);
  const rows = await world.query(
    'select finished_at is not null as finished, cancelled_at from logkeep.backfill',
  );
  expect(rows).toEqual([
    { finished: true, cancelled_at: null },
    { finished: true, cancelled_at: null },
  ]);
});

test('a backfill that was stopped is a hole until the next one goes on with it, and no page that was committed is read again', async () => {
  await made({ wrap: pageIsBatch, streams: ['datadog.main'] });
  await world.sync();
  let allowance = 4;
  const span = { from: ago(9 * HOUR), to: ago(3 * HOUR) };
  const [stopped] = await backfill({ span, mayRequest: () => allowance-- > 0 });
  expect(stopped?.outcome).toBe('stopped');
  const gaps = await world.query<{ kind: string }>('select kind from logkeep.gap');
  expect(gaps.length).toBeGreaterThan(0);
  expect(new Set(gaps.map(({ kind }) => kind))).toEqual(new Set(['hole']));
  const app = await world.open();
  const [status] = await readStatus(app.store.db).finally(() => app.close());
  const missing = await world.query<{ ms: number }>(
    `select extract(epoch from sum(to_time - from_time))::float8 * 1000 as ms from logkeep.gap`,
  );
  expect(status?.owedHoles.count).toBe(0);
  expect(status?.backfill).toMatchObject({ count: 1, missingMs: missing[0]?.ms });
  const [read] = await world.query<{ n: number }>(
    `select sum(fetched)::integer as n from logkeep.run where job = 'backfill'`,
  );
  const [goesOn] = await backfill();
  expect(outcomes([goesOn as BackfillResult])).toEqual([DONE]);
  const there = onceEach(
    world.sandbox.datadog.truth({ from: span.from, to: span.to, visibleAt: START }),
  ).length;
  expect((read?.n ?? 0) + (goesOn?.totals.fetched ?? 0)).toBeLessThanOrEqual(there + 20);
  expect(await world.query('select * from logkeep.gap')).toEqual([]);
  expect((await backfill())[0]?.meter.requests).toBe(0);
});

test('what has expired of it is recorded as expired, never as covered, and nothing is asked in vain', async () => {
  await made({
    settings: { retentionMs: 6 * HOUR },
    sandbox: { qstash: { retentionMs: 6 * HOUR }, datadog: { retentionMs: 6 * HOUR } },
  });
  await world.sync();
  const span = { from: ago(9 * HOUR), to: ago(3 * HOUR) };
  const results = await backfill({ span });
  expect(outcomes(results)).toEqual([DONE, DONE]);
  const edge = START - 6 * HOUR;
  for (const stream of STREAMS) {
    const gaps = await world.query<{ kind: string; from_time: Date; to_time: Date }>(
      'select kind, from_time, to_time from logkeep.gap where stream = $1',
      [stream],
    );
    expect(gaps).toEqual([{ kind: 'expired', from_time: new Date(span.from), to_time: expect.any(Date) }]);
    // Waiting for what is just about to expire takes seconds of this clock.
    expect(Math.abs(+(gaps[0]?.to_time ?? 0) - edge)).toBeLessThanOrEqual(6 * S);
    const [row] = await world.query<{ lost: boolean }>(
      `select isempty(covered * expired) as lost from logkeep.stream where stream = $1`,
      [stream],
    );
    expect(row?.lost).toBe(true);
  }
  for (const { params, body } of world.sandbox.requests()) {
    const from = params.fromDate ?? Date.parse(JSON.parse(body ?? '').time.from);
    expect(Number(from)).toBeGreaterThanOrEqual(floor(edge));
  }
  // Asked once more: the expired part is known.
  const asked = world.sandbox.requests().length;
  expect(outcomes(await backfill({ span }))).toEqual([DONE, DONE]);
  expect(world.sandbox.requests().length).toBe(asked);
});

test('all of it has expired on a stream that was never read: one request learns the time, and it is recorded', async () => {
  await made({ settings: { retentionMs: 3 * HOUR } });
  const results = await backfill({ span: { from: ago(9 * HOUR), to: ago(7 * HOUR) } });
  expect(outcomes(results)).toEqual([DONE, DONE]);
  expect(world.sandbox.requests().length).toBe(2);
  const gaps = await world.query(
    `select stream, kind, to_time - from_time = interval '2 h' as whole from logkeep.gap order by 1`,
  );
  expect(gaps).toEqual([
    { stream: 'datadog.main', kind: 'expired', whole: true },
    { stream: 'qstash.main', kind: 'expired', whole: true },
  ]);
});

test('a longer retention opens again what had expired', async () => {
  await made({ settings: { retentionMs: 3 * HOUR }, streams: ['qstash.main'] });
  await world.sync();
  await backfill({ span: { from: ago(9 * HOUR), to: ago(7 * HOUR) } });
  expect(await world.query('select kind from logkeep.gap')).toEqual([{ kind: 'expired' }]);
  const longer = { settings: { pageSize: 20, since: { agoMs: 2 * HOUR }, retentionMs: 24 * HOUR } };
  await world.sync({}, longer);
  expect(await world.query('select kind from logkeep.gap')).toEqual([{ kind: 'hole' }]);
  expect(outcomes(await backfill({}, longer))).toEqual([DONE]);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
});

test('a longer retention has a backfill read what was expired, without a sync before; the plan says so first', async () => {
  const short = { retentionMs: 3 * HOUR, since: { agoMs: 5 * HOUR } };
  await made({ settings: short, streams: ['qstash.main'] });
  await world.sync();
  expect(await world.query('select kind from logkeep.gap')).toEqual([{ kind: 'expired' }]);
  const longer = { settings: { ...short, pageSize: 20, retentionMs: 24 * HOUR } };
  const span = { from: ago(4.5 * HOUR), to: ago(4 * HOUR) };
  const app = await world.open(longer);
  const preview = await previewBackfill(app, app.streams[0] as (typeof app.streams)[number], span);
  await app.close();
  expect([preview.missing, preview.plan.windows.length > 0]).toEqual([[span], true]);
  const [result] = await backfill({ span }, longer);
  expect(outcomes([result as BackfillResult])).toEqual([DONE]);
  const there = onceEach(world.sandbox.qstash.truth({ from: span.from, to: span.to })).length;
  expect(result?.totals.fetched).toBe(there);
  await world.sync({}, longer);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
});

test('a backfill that came too early is read in all by the next one, seconds later, at a longer retention', async () => {
  await made({ settings: { retentionMs: 3 * HOUR }, streams: ['qstash.main'] });
  await world.sync();
  await backfill({ span: { from: ago(9 * HOUR), to: ago(7 * HOUR) } });
  expect((await backfill())[0]?.left?.missing).toEqual([]);
  const longer = { settings: { pageSize: 20, since: { agoMs: 2 * HOUR }, retentionMs: 24 * HOUR } };
  const later = { from: ago(9 * HOUR) + 3 * S, to: ago(7 * HOUR) + 3 * S };
  expect(outcomes(await backfill({ span: later }, longer))).toEqual([DONE]);
  expect(await world.query('select kind from logkeep.gap')).toEqual([]);
  const [row] = await world.query<{ all: boolean }>(
    'select covered @> tstzrange($1, $2) as all from logkeep.stream',
    [new Date(ago(9 * HOUR)), new Date(later.to)],
  );
  expect(row?.all).toBe(true);
});

test('what was lost before it was asked for is recorded once, however often it is asked for', async () => {
  await made({ settings: { retentionMs: 3 * HOUR }, streams: ['qstash.main'] });
  await world.sync();
  const span = { from: ago(9 * HOUR), to: ago(7 * HOUR) };
  await backfill({ span });
  await backfill({ span });
  expect(await world.query('select count(*)::integer as n from logkeep.backfill')).toEqual([{ n: 1 }]);
});

test('two backfills at once share the windows: every page is read once, and both end well', async () => {
  await made({ wrap: pageIsBatch });
  await world.sync();
  const asked = world.sandbox.requests().length;
  const span = { from: ago(10 * HOUR), to: ago(2 * HOUR) };
  const results = (await Promise.all([backfill({ span }), backfill({ span })])).flat();
  expect(results.map(({ outcome }) => outcome)).toEqual(['done', 'done', 'done', 'done']);
  await expectStored(ago(10 * HOUR), START);
  const places = world.sandbox
    .requests()
    .slice(asked)
    .map(({ api, cursor, params, body }) => `${api} ${cursor} ${params.fromDate} ${params.toDate} ${body}`);
  expect(new Set(places).size).toBe(places.length);
  expect(await world.query('select count(*)::integer as n from logkeep.backfill')).toEqual([{ n: 2 }]);
  expect(await world.query('select * from logkeep.sync_window')).toEqual([]);
});

test('it goes on beside the live sync, in several windows at once, oldest first', async () => {
  await made({ wrap: pageIsBatch });
  const app = await world.open();
  const windows: Span[] = [];
  for (const open of app.streams)
    await requestBackfill(app, open, { from: ago(10 * HOUR), to: ago(2 * HOUR) });
  const [live, ...old] = await Promise.all([
    syncStreams(app, askOf()),
    ...app.streams.map((open) =>
      backfillStream(app, open, {
        ...askOf(),
        watch: (stream, event) => {
          if (event.kind === 'window' && stream.id === 'qstash.main') windows.push(event.window);
        },
      }),
    ),
  ]);
  await app.close();
  expect(live?.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  expect(outcomes(old)).toEqual([DONE, DONE]);
  await expectStored(ago(10 * HOUR), START);
  expect(windows.length).toBeGreaterThan(1);
  expect(windows.map(({ from }) => from)).toEqual(windows.map(({ from }) => from).sort((a, b) => a - b));
  const runs = await world.query(
    `select stream, job, count(*)::integer as n from logkeep.run group by 1, 2 order by 1, 2`,
  );
  expect(runs).toEqual([
    { stream: 'datadog.main', job: 'backfill', n: 2 },
    { stream: 'datadog.main', job: 'sync', n: 1 },
    { stream: 'qstash.main', job: 'backfill', n: 2 },
    { stream: 'qstash.main', job: 'sync', n: 1 },
  ]);
});

test('a cancelled backfill leaves what it has read, no window, no hole, and nothing to go on with', async () => {
  await made({ wrap: pageIsBatch, streams: ['qstash.main'] });
  await world.sync();
  let allowance = 3;
  await backfill({ span: { from: ago(9 * HOUR), to: ago(3 * HOUR) }, mayRequest: () => allowance-- > 0 });
  expect(await world.query('select job from logkeep.sync_window')).not.toEqual([]);
  const [rows] = await world.query<{ n: number }>('select count(*)::integer as n from logkeep.qstash_log');
  const [result] = await backfill({ drop: true });
  expect(result?.meter.requests).toBe(0);
  expect(await world.query('select * from logkeep.sync_window')).toEqual([]);
  expect(await world.query('select * from logkeep.gap')).toEqual([]);
  expect(await world.query('select count(*)::integer as n from logkeep.qstash_log')).toEqual([rows]);
});

test('a backfill that is cancelled while another process reads it stops there, and leaves no window', async () => {
  await made({ wrap: pageIsBatch, streams: ['qstash.main'] });
  await world.sync();
  world.sandbox.faults.every(1, { kind: 'slow', ms: 250 });
  const running = backfill({ span: { from: ago(9 * HOUR), to: ago(2 * HOUR) } });
  await expect
    .poll(() => world.query(`select 1 from logkeep.sync_window where job = 'backfill' and pages > 1`), {
      timeout: 15_000,
    })
    .not.toEqual([]);
  const app = await world.open();
  for (const open of app.streams) expect(await cancelBackfills(app, open)).toBe(1);
  await app.close();
  const [result] = await running;
  expect(outcomes([result as BackfillResult])).toEqual([DONE]);
  expect(await world.query('select * from logkeep.sync_window')).toEqual([]);
  const [row] = await world.query<{ all: boolean }>(
    'select covered @> tstzrange($1, $2) as all from logkeep.stream',
    [new Date(ago(9 * HOUR)), new Date(ago(2 * HOUR))],
  );
  expect(row?.all).toBe(false);
}, 30_000);

test('a preview asks nothing, and tells what the covered time around it leads to expect', async () => {
  await made({ streams: ['qstash.main'] });
  await world.sync();
  const asked = world.sandbox.requests().length;
  const app = await world.open();
  const [open] = app.streams;
  if (open === undefined) throw new Error('expected a stream');
  const span = { from: ago(10 * HOUR), to: ago(HOUR) };
  const preview = await previewBackfill(app, open, span);
  await app.close();
  expect(world.sandbox.requests().length).toBe(asked);
  expect(await world.query('select * from logkeep.backfill')).toEqual([]);
  expect(preview.missing).toEqual([{ from: span.from, to: ago(2 * HOUR) }]);
  const there = onceEach(world.sandbox.qstash.truth({ from: span.from, to: ago(2 * HOUR) })).length;
  expect(preview.estimate.entries).toBeGreaterThan(there / 2);
  expect(preview.estimate.entries).toBeLessThan(there * 2);
  expect(preview.estimate.requests).toBeGreaterThanOrEqual(Math.ceil((preview.estimate.entries ?? 0) / 20));
  expect(preview.estimate.lateMs).toBe(0);
});

test('a backfill of what an idle window of sync holds says so, and leaves it to sync', async () => {
  await made({ wrap: pageIsBatch, streams: ['datadog.main'] });
  let allowance = 2;
  await world.sync({ mayRequest: () => allowance-- > 0 });
  const [result] = await backfill({ span: { from: ago(HOUR), to: ago(HOUR / 2) } });
  expect(result?.outcome).toBe('done');
  expect(result?.left?.held.map(({ job }) => job)).toEqual(['sync']);
  expect(result?.left?.missing).toEqual([{ from: ago(HOUR), to: ago(HOUR / 2) }]);
  await world.sync();
  expect(outcomes(await backfill())).toEqual([DONE]);
});

test('what a backfill left idle of the time that sync owes, sync reads: nothing waits for a backfill that nobody runs', async () => {
  await made({ wrap: pageIsBatch });
  let allowance = 4;
  const span = { from: ago(2 * HOUR), to: ago(HOUR) };
  const app = await world.open();
  for (const open of app.streams) await requestBackfill(app, open, span);
  await app.close();
  await backfill({ mayRequest: () => allowance-- > 0 });
  const idle = await world.query<{ job: string }>('select job from logkeep.sync_window');
  expect(new Set(idle.map(({ job }) => job))).toEqual(new Set(['backfill']));
  const live = await world.sync();
  expect(live.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
  expect(await world.query('select * from logkeep.sync_window')).toEqual([]);
  expect(await world.query('select * from logkeep.gap')).toEqual([]);
  await expectStored(ago(2 * HOUR), START);
});

test('a look at what is still wanted does not outlive the backfill: its app is closed after it', async () => {
  await made({ streams: ['datadog.main'], wrap: pageIsBatch });
  const app = await world.open();
  const [open] = app.streams as [(typeof app.streams)[number]];
  await requestBackfill(app, open, { from: ago(2 * HOUR), to: ago(HOUR) });
  const { pool } = app.store;
  const query = pool.query.bind(pool) as (...given: unknown[]) => Promise<unknown>;
  const { now } = performance;
  let looks = 0;
  let underWay = 0;
  const slowly = async (text: unknown, ...values: unknown[]) => {
    if (!String(text).includes(' as backfills')) return query(text, ...values);
    underWay += 1;
    // The second one is a reader's; the others are waited for anyway.
    if (++looks === 2) await new Promise((resolve) => setTimeout(resolve, 700));
    return query(text, ...values).finally(() => {
      underWay -= 1;
    });
  };
  Object.assign(pool, { query: slowly });
  try {
    await backfillStream(app, open, {
      ...askOf(),
      readers: 1,
      watch: () => {
        performance.now = () => now.call(performance) + 10_000;
      },
    });
    expect({ looks: looks > 2, underWay }).toEqual({ looks: true, underWay: 0 });
  } finally {
    performance.now = now;
    await app.close();
  }
});
