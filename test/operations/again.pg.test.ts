import { afterEach, beforeEach, expect, test } from 'vitest';
import { reportSync } from '../../src/cli/sync-report.ts';
import type { Span } from '../../src/model.ts';
import { planAgain } from '../../src/operations/again.ts';
import { backfillStream, requestBackfill } from '../../src/operations/backfill.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Stream } from '../../src/sources/source.ts';
import { sweep } from '../sync/sweeping.ts';
import { startTamper } from '../tamper.ts';
import { askOf, createWorld, START, type World, type WorldOptions } from '../world.ts';

const HOUR = 3_600_000;
const NOW = Math.floor(START / 1000) * 1000;
const ago = (hours: number) => NOW - hours * HOUR;
const iso = (minutes: number) => new Date(NOW - minutes * 60_000).toISOString();
const SETTINGS = { since: { agoMs: 2 * HOUR } };
let world: World;

beforeEach(async () => {
  world = await createWorld({
    settings: SETTINGS,
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } } },
  });
});
afterEach(() => world.close());

const add = (...hours: number[]) =>
  world.sandbox.qstash.add(
    hours.map((hour) => ({
      entry: { time: ago(hour), messageId: `msg_${hour}`, state: 'CREATED', url: 'https://a.example/' },
    })),
  );
const stored = async () =>
  (await world.query('select message_id from logkeep.qstash_log order by time')).map((row) => row.message_id);
const asked = () => world.query('select asked_from, covered, expired from logkeep.stream');

async function backfill(span: Span, changes: Partial<WorldOptions> = {}): Promise<void> {
  const app = await world.open(changes);
  try {
    for (const open of app.streams) {
      await requestBackfill(app, open, span);
      expect(await backfillStream(app, open, askOf())).toMatchObject({ outcome: 'done' });
    }
  } finally {
    await app.close();
  }
}

test('a span, or the part of one, that was never asked for is refused with what is asked and the backfill to run', async () => {
  add(5);
  await world.sync();
  const before = await asked();
  const requests = world.sandbox.requests().length;
  const whole = { from: ago(6), to: ago(4) };
  await expect(world.sync({ again: whole })).rejects.toMatchObject({
    kind: 'config',
    message:
      '--again: 2026-05-20T06:34:56.000Z/2026-05-20T08:34:56.000Z: qstash.main is asked for since 2026-05-20T10:34:56.000Z, and was never asked for 2026-05-20T06:34:56.000Z/2026-05-20T08:34:56.000Z: expected a span after that, or run `logkeep backfill --stream qstash.main --from 2026-05-20T06:34:56.000Z --to 2026-05-20T08:34:56.000Z`',
  });
  await expect(world.sync({ again: { from: ago(6), to: ago(1) } })).rejects.toThrow(
    /--from 2026-05-20T06:34:56\.000Z --to 2026-05-20T10:34:56\.000Z`$/,
  );
  expect(await asked()).toEqual(before);
  expect(await world.query('select from logkeep.gap')).toEqual([]);
  expect([await stored(), world.sandbox.requests().length]).toEqual([[], requests]);
});

test('a span that begins up to two minutes before what is asked for is cut to it: `3d` said a little later', async () => {
  await world.sync();
  const before = await asked();
  add(1.5);
  const minutesBefore = (minutes: number) => ({ from: START - 2 * HOUR - minutes * 60_000, to: ago(1) });
  const [result] = await world.sync({ again: minutesBefore(1.9) });
  expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 1 } });
  expect((await asked())[0]?.asked_from).toEqual(before[0]?.asked_from);
  await expect(world.sync({ again: minutesBefore(2.1) })).rejects.toThrow(/logkeep backfill/);
});

test('a first read takes a span again that its settings ask for, and no older one', async () => {
  add(1, 5);
  await expect(world.sync({ again: { from: ago(6), to: ago(4) } })).rejects.toThrow(/logkeep backfill/);
  expect(await asked()).toEqual([]);
  await world.sync({ again: { from: START - 2 * HOUR, to: ago(1) } });
  expect(await stored()).toEqual(['msg_1']);
});

test('a span before all that is asked for, which a backfill has covered, is read again and moves nothing', async () => {
  await world.sync();
  await backfill({ from: ago(8), to: ago(4) });
  const before = await asked();
  add(6, 5);
  const [result] = await world.sync({ again: { from: ago(5.5), to: ago(4) } });
  expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 1 } });
  expect(await stored()).toEqual(['msg_5']);
  const [row] = await asked();
  expect(row).toMatchObject({ asked_from: before[0]?.asked_from, expired: before[0]?.expired });
  // Between the two lies what nobody asked for.
  await expect(world.sync({ again: { from: ago(5), to: ago(1) } })).rejects.toThrow(
    /--from 2026-05-20T08:34/,
  );
});

test('no two windows overlap, also where a first read reaches back beyond the asked time', () => {
  const progress = {
    askedFrom: ago(2),
    covered: [{ from: ago(8), to: ago(4) }],
    expired: [],
    oversize: [{ from: ago(10), to: ago(9) }],
    young: [],
    settled: [],
    open: [{ from: ago(7), to: ago(6) }],
    overlapEntries: 0,
  };
  const again = { from: ago(12), to: ago(1) };
  const ask = { targetMs: NOW, overlapMs: 0, pageSize: 100, again: [again], leadMs: 0, nowMs: NOW, round: 0 };
  expect(planAgain(progress, ask)).toEqual([
    { from: ago(10), to: ago(9) },
    { from: ago(8), to: ago(7) },
    { from: ago(6), to: ago(4) },
    { from: ago(2), to: NOW },
  ]);
  expect(planAgain(progress, { ...ask, leadMs: 3 * HOUR })).toEqual([
    { from: ago(10), to: ago(9) },
    { from: ago(8), to: ago(7) },
    { from: ago(6), to: ago(5) },
    { from: ago(5), to: NOW },
  ]);
  expect(planAgain(progress, { ...ask, again: [] })).toEqual([{ from: ago(2), to: NOW }]);
});

const MINUTE = 60_000;
/** The covered hour, from 50 to 10 minutes ago, to read once more. */
const WHOLE = { from: NOW - 50 * MINUTE, to: NOW - 10 * MINUTE };

/** Who reads a part of it, and keeps it in hand between the API's last answer and the tables until told to go on. */
const HOLDERS: readonly [string, (holding: Partial<WorldOptions>) => Promise<unknown>][] = [
  ['sync', (holding) => world.sync({ again: { from: NOW - 40 * MINUTE, to: NOW - 20 * MINUTE } }, holding)],
  [
    'sweep',
    (holding) => sweep(world, {}, { ...holding, settings: { ...SETTINGS, sweepAfterMs: 20 * MINUTE } }),
  ],
  [
    'backfill',
    async (holding) => {
      await world.query(
        `update logkeep.stream set covered = covered - tstzmultirange(tstzrange('${iso(40)}', '${iso(20)}'))`,
      );
      return backfill({ from: NOW - 40 * MINUTE, to: NOW - 20 * MINUTE }, holding);
    },
  ],
];

for (const [job, hold] of HOLDERS) {
  test(`what a ${job} had in hand before it was asked for again is read once more when that lets go`, async () => {
    add(0.5);
    await world.sync();
    const read = Promise.withResolvers<void>();
    const goOn = Promise.withResolvers<void>();
    const other = hold({ wrap: (stream) => heldUp(stream, read, goOn.promise) });
    await read.promise;
    add(0.55);
    const waitedFor: string[] = [];
    const ours = world.sync({
      again: WHOLE,
      watch: (_, event) => {
        if (event.kind !== 'held') return;
        waitedFor.push(event.by);
        goOn.resolve();
      },
    });
    const [[result]] = await Promise.all([ours.finally(() => goOn.resolve()), other]);
    expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 1 } });
    expect(waitedFor[0]).toMatch(/:\d+:/);
    expect(await stored()).toEqual(['msg_0.55', 'msg_0.5']);
    const [row] = await world.query('select covered::text from logkeep.stream');
    expect(row?.covered).not.toContain(',["');
  });
}

test('what a backfill has in hand and a sync owes is waited for, and left to a later one by a tick', async () => {
  add(0.5, 5);
  await world.sync();
  const read = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const other = backfill(
    { from: ago(6), to: ago(2) },
    { wrap: (stream) => heldUp(stream, read, goOn.promise) },
  );
  await read.promise;
  const since = { agoMs: 4 * HOUR };
  const [tick] = await world.sync({ since, paced: true });
  expect(tick).toMatchObject({ outcome: 'done' });
  expect(await world.query('select kind from logkeep.gap')).toEqual([{ kind: 'hole' }]);
  const waitedFor: string[] = [];
  const ours = world.sync({
    since,
    watch: (_, event) => {
      if (event.kind !== 'held') return;
      waitedFor.push(event.by);
      goOn.resolve();
    },
  });
  const [[result]] = await Promise.all([ours.finally(() => goOn.resolve()), other]);
  expect(result).toMatchObject({ outcome: 'done' });
  expect(waitedFor[0]).toMatch(/:\d+:/);
  expect(await world.query('select from logkeep.gap')).toEqual([]);
});

test('a plan that is rolled back has planned nothing: the span is read although another window comes free', async () => {
  add(0.5);
  await world.sync();
  add(0.55);
  let planning = false;
  let freed: Promise<unknown> | null = null;
  const tamper = await startTamper(world.url, async ({ text }) => {
    planning ||= text.includes('insert into logkeep.sync_window');
    if (!planning || freed !== null || !/^commit/i.test(text)) return 'pass';
    // Somebody lets go of what was not free before: it waits for the lock that the plan is made under.
    freed = world.query(
      `insert into logkeep.sync_window (stream, fingerprint, job, from_time, to_time)
      select stream, fingerprint, 'sync', '${iso(5)}', '${iso(4)}' from logkeep.stream`,
    );
    return 'cut';
  });
  try {
    const [result] = await world.sync({ again: WHOLE }, { route: () => tamper.url });
    await freed;
    expect(freed).not.toBeNull();
    expect(result).toMatchObject({ outcome: 'done', totals: { windows: 2, fresh: 1 } });
  } finally {
    await tamper.close();
  }
});

test('stopped before the span is planned, the run names it and how to read it; once planned, a plain sync goes on', async () => {
  await world.sync();
  await world.query(
    `insert into logkeep.sync_window (stream, fingerprint, job, from_time, to_time)
    select stream, fingerprint, 'sync', '${iso(5)}', '${iso(4)}' from logkeep.stream`,
  );
  const span = '2026-05-20T11:44:56.000Z/2026-05-20T12:24:56.000Z';
  const hints: string[] = [];
  const app = await world.open();
  const stopAfter = async (requests: number) => {
    let left = requests;
    const results = await syncStreams(app, askOf({ again: WHOLE, mayRequest: () => left-- > 0 }));
    const context = {
      stdout: { write: () => true },
      stderr: { write: (text: string) => hints.push(text) > 0 },
    };
    await reportSync(app, results, { context, json: false, shares: new Map(), untilMs: null });
  };
  try {
    await stopAfter(0);
    await stopAfter(1);
  } finally {
    await app.close();
  }
  expect(hints).toEqual([
    `qstash.main: run \`logkeep sync --stream qstash.main --again ${span}\` to go on from there\n`,
    'qstash.main: run sync again to go on from there\n',
  ]);
  add(0.5);
  expect((await world.sync())[0]).toMatchObject({ totals: { fresh: 1 } });
});

test('told to end before all that is asked for, it says that there is nothing to read, not that it has caught up', async () => {
  const said: string[] = [];
  const write = (text: string) => said.push(text) > 0;
  const app = await world.open();
  try {
    const untilMs = ago(48);
    const results = await syncStreams(app, askOf({ untilMs }));
    const context = { stdout: { write }, stderr: { write } };
    await reportSync(app, results, { context, json: false, shares: new Map(), untilMs });
  } finally {
    await app.close();
  }
  expect(said).toEqual([
    expect.stringMatching(/^qstash\.main: nothing to read: 0 new entries, .*; nothing covered yet\n$/),
    'qstash.main: --until: 2026-05-18T12:34:56.000Z: it is asked for since 2026-05-20T10:34:56.000Z: expected a later --until, or an earlier --since\n',
  ]);
});

/** `stream`, whose pages come in, which is told, and are kept back until then. */
function heldUp(stream: Stream, read: PromiseWithResolvers<void>, goOn: Promise<void>): Stream {
  return {
    ...stream,
    async *read(options) {
      for await (const page of stream.read(options)) {
        read.resolve();
        await goOn;
        yield page;
      }
    },
  };
}
