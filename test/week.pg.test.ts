import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { App, OpenStream } from '../src/app.ts';
import type { Clock } from '../src/clock.ts';
import type { Ms, Span } from '../src/model.ts';
import { backfillStream, requestBackfill } from '../src/operations/backfill.ts';
import type { ReadResult } from '../src/operations/read.ts';
import { sweepStream } from '../src/operations/sweep.ts';
import { syncStream } from '../src/operations/sync.ts';
import { trimHistory } from '../src/store/history.ts';
import { onceEach, storedDatadog, storedQstash } from './stored.ts';
import { askOf, createWorld, START, type World } from './world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const at = (hours: number): Ms => START + hours * HOUR;

const RETENTION = 72 * HOUR;
const END = 168;
/** The API answers nothing but 503. */
const OUTAGE = { from: 30, to: 36 };
/** Every request is refused: others use the whole quota. */
const DROUGHT = { from: 50, to: 56 };
/** Nothing of logkeep runs, for longer than the API keeps what comes meanwhile. */
const OFF = { from: 80, to: 158 };
/** What is asked for when ten hours have passed; its first four hours have expired by then. */
const CHOSEN = { from: -66, to: -12, asked: 10 };
const QUOTA = { limit: 60, periodS: 3600 };
const RESERVE = 0.1;
const PAGE = { qstash: 50, datadog: 20 };
const SYNC_MS = 30 * MINUTE;

/**
 * A clock of discrete events: time stands still while anything works, and goes on to the next end of a sleep when
 * all that runs sleeps. What it takes for asleep is silence of a few ms: on a slow machine time passes while it works.
 */
interface EventClock extends Clock {
  /** Lets time pass up to `to`; with null until `busy` is false. */
  pass(to: Ms | null, busy: () => boolean, signs: () => number): Promise<void>;
}

function createEventClock(world: World): EventClock {
  const sleepers = new Set<{ readonly due: Ms; readonly wake: () => void }>();
  let slept = 0;
  const quiet = async (busy: () => boolean, signs: () => number) => {
    let seen = -1;
    for (let still = 0; busy() && (still < 3 || sleepers.size === 0); still += 1) {
      await delay(4);
      const now = signs() + slept;
      if (now !== seen) still = 0;
      seen = now;
    }
  };
  return {
    now: () => world.clock.now(),
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        slept += 1;
        const one = { due: world.clock.now() + Math.max(0, ms), wake: () => done(resolve) };
        const stop = () => done(() => reject(signal?.reason));
        const done = (then: () => void) => {
          sleepers.delete(one);
          signal?.removeEventListener('abort', stop);
          then();
        };
        sleepers.add(one);
        if (signal?.aborted) stop();
        else signal?.addEventListener('abort', stop, { once: true });
      }),
    async pass(to, busy, signs) {
      for (;;) {
        await quiet(busy, signs);
        if (to === null && !busy()) return;
        const next = [...sleepers].sort((a, b) => a.due - b.due)[0];
        const until = Math.min(next?.due ?? Number.POSITIVE_INFINITY, to ?? Number.POSITIVE_INFINITY);
        if (until > world.clock.now()) world.clock.advance(until - world.clock.now());
        if (next === undefined || next.due > until) return;
        next.wake();
      }
    },
  };
}

let world: World;
let app: App;
let clock: EventClock;
const results: { readonly job: string; readonly hour: number; readonly result: ReadResult }[] = [];
let ticks = 0;

beforeAll(async () => {
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    settings: {
      since: { agoMs: 12 * HOUR },
      retentionMs: RETENTION,
      concurrency: 3,
      reserve: RESERVE,
      retryMs: 20,
    },
    sandbox: {
      qstash: { quota: { limit: 100, windowMs: 1_000 }, maxCount: PAGE.qstash, retentionMs: RETENTION },
      datadog: { quota: QUOTA, maxLimit: PAGE.datadog, overMax: 'clamp', retentionMs: RETENTION },
    },
  });
  for (let hour = CHOSEN.from - 2; hour < END; hour++) {
    const span = { from: at(hour), to: at(hour + 1) };
    world.sandbox.qstash.history({ ...span, messages: 6 });
    world.sandbox.datadog.history({ ...span, logs: 30 });
  }
  addLate();
  clock = createEventClock(world);
  app = await world.open({ clock });
  await live();
}, 180_000);

afterAll(async () => {
  await app?.close();
  await world?.close();
});

/** An entry an hour that becomes visible long after its time: 20 minutes to 5 hours, Datadog's up to 18. */
function addLate(): void {
  for (let hour = CHOSEN.from; hour < END - 1; hour++) {
    const timeMs = at(hour) + 17 * MINUTE + 123;
    const late = (20 + (((hour + 100) * 37) % 280)) * MINUTE;
    const entry = {
      time: timeMs,
      messageId: `msg_late_${hour + 100}`,
      state: 'CREATED',
      url: 'https://example.com/',
    };
    world.sandbox.qstash.add([{ entry, writtenMs: timeMs, visibleAtMs: timeMs + late }]);
    const log = { timestamp: new Date(timeMs).toISOString(), message: `late ${hour}` };
    const intakeMs = timeMs + (((hour + 100) * 53) % 18) * HOUR;
    world.sandbox.datadog.add([{ content: log, atMs: timeMs, intakeMs }]);
  }
}

const within = (hour: number, span: { readonly from: number; readonly to: number }) =>
  hour >= span.from && hour < span.to;
const hourNow = () => (world.clock.now() - START) / HOUR;

/** The week: what the timetable starts, each job of a stream once at a time, as the queue has it. */
async function live(): Promise<void> {
  const running = new Map<string, Promise<void>>();
  let finished = 0;
  const start = (job: string, run: (app: App, open: OpenStream) => Promise<ReadResult>) => {
    for (const open of app.streams) {
      const key = `${job} ${open.stream.id}`;
      if (running.has(key)) continue;
      const hour = hourNow();
      const work = run(app, open).then((result) => {
        results.push({ job, hour, result });
        running.delete(key);
        finished += 1;
      });
      running.set(key, work);
    }
  };
  const busy = () => running.size > 0;
  const signs = () => finished + world.sandbox.requests().length;
  let weather = '';
  for (let now = START; now <= at(END); now += SYNC_MS) {
    await clock.pass(now, busy, signs);
    const hour = (now - START) / HOUR;
    if (within(hour, OFF)) {
      await clock.pass(null, busy, signs);
      continue;
    }
    const next = within(hour, OUTAGE) ? 'outage' : within(hour, DROUGHT) ? 'drought' : '';
    if (next !== weather) {
      weather = next;
      world.sandbox.faults.clear();
      if (next === 'outage') world.sandbox.faults.every(1, { kind: 'unavailable' });
      if (next === 'drought') world.sandbox.faults.every(1, { kind: 'rate_limit', resetS: 1_800 });
    }
    ticks += 1;
    const ask = askOf();
    if (hour === CHOSEN.asked) {
      const span = { from: at(CHOSEN.from), to: at(CHOSEN.to) };
      for (const open of app.streams) await requestBackfill(app, open, span);
    }
    start('sync', (a, open) => syncStream(a, open, ask));
    start('backfill', (a, open) => backfillStream(a, open, ask));
    if (hour % 6 === 2 || hour === END)
      start('sweep', (a, open) => sweepStream(a, open, { ...ask, watch: () => {} }));
    if (hour % 24 === 12) await trimHistory(app.store, 0);
  }
  await clock.pass(null, busy, signs);
  await Promise.all(running.values());
}

interface Truth {
  readonly timeMs: Ms;
  readonly visibleAtMs: Ms;
  readonly text: string;
}

const STREAMS = [
  {
    id: 'qstash.main',
    truth: () => world.sandbox.qstash.truth(),
    stored: () => storedQstash(world),
    sweepAfter: 6,
    settleMs: 30_000,
  },
  {
    id: 'datadog.main',
    truth: () => world.sandbox.datadog.truth(),
    stored: () => storedDatadog(world),
    sweepAfter: 20,
    settleMs: 120_000,
  },
];

async function spansOf(stream: string, column: 'covered' | 'expired'): Promise<readonly Span[]> {
  const rows = await world.query<{ from: Date; to: Date }>(
    `select lower(span) as from, upper(span) as to from logkeep.stream, unnest(${column}) span where stream = $1 order by 1`,
    [stream],
  );
  return rows.map(({ from, to }) => ({ from: +from, to: +to }));
}

/** Whether an entry that came after its first read was there for a sweep, or a first read, to find. */
function wasThereLongEnough({ timeMs, visibleAtMs }: Truth, sweepAfter: number): boolean {
  const time = (timeMs - START) / HOUR;
  const visible = (visibleAtMs - START) / HOUR;
  const [from, to] = [Math.max(time + sweepAfter, visible), time + RETENTION / HOUR - 1];
  const runs = [
    { from: 0, to: OFF.from },
    { from: OFF.to, to: END },
  ];
  // A sweep comes every six hours, and cannot read in an outage or a drought.
  return runs.some((run) => Math.min(to, run.to) - Math.max(from, run.from) >= (run.from === 0 ? 20 : 7));
}

for (const { id, truth, stored, sweepAfter, settleMs } of STREAMS) {
  test(`${id}: after a week with an outage, a drought and three days off every entry that was visible long enough is there, once`, async () => {
    const [covered, expired] = [await spansOf(id, 'covered'), await spansOf(id, 'expired')];
    const among = (spans: readonly Span[], ms: Ms) => spans.some(({ from, to }) => ms >= from && ms < to);
    const all = truth();
    const have = new Set(await stored());
    expect((await stored()).length).toBe(have.size);
    const known = new Set(onceEach(all));
    expect([...have].filter((text) => !known.has(text))).toEqual([]);

    const asked = all.filter(
      ({ timeMs }) => timeMs >= at(CHOSEN.from) && timeMs < at(END) - settleMs - MINUTE,
    );
    const owed = asked.filter(
      (entry) =>
        !among(expired, entry.timeMs) &&
        (entry.visibleAtMs - entry.timeMs <= settleMs || wasThereLongEnough(entry, sweepAfter)),
    );
    const missing = owed.filter((entry) => !have.has(onceEach([entry])[0] as string));
    expect(
      missing.map(({ timeMs, visibleAtMs }) => ({
        hour: (timeMs - START) / HOUR,
        lateH: (visibleAtMs - timeMs) / HOUR,
      })),
    ).toEqual([]);
    const late = owed.filter((entry) => entry.visibleAtMs - entry.timeMs > HOUR);
    expect(late.length).toBeGreaterThan(60);

    // What is not covered is known to be lost, and what is known to be lost was not there to be read.
    for (const entry of asked) expect(among(covered, entry.timeMs)).toBe(!among(expired, entry.timeMs));
  });

  test(`${id}: gaps tells the truth: what expired before the backfill was asked for, and while nothing ran`, async () => {
    const gaps = await world.query<{ kind: string; from_time: Date; to_time: Date }>(
      'select kind, from_time, to_time from logkeep.gap where stream = $1 order by from_time',
      [id],
    );
    expect(gaps.map(({ kind }) => kind)).toEqual(['expired', 'expired']);
    const [old, off] = gaps.map(({ from_time, to_time }) =>
      [+from_time, +to_time].map((ms) => (ms - START) / HOUR),
    );
    expect(old?.[0]).toBeCloseTo(CHOSEN.from, 2);
    expect(old?.[1]).toBeGreaterThanOrEqual(CHOSEN.asked - 72);
    expect(old?.[1]).toBeLessThan(CHOSEN.asked - 72 + 1);
    // Read until shortly before it ended; lost until what the API still showed at the return.
    expect(off?.[0]).toBeGreaterThan(OFF.from - 1);
    expect(off?.[0]).toBeLessThanOrEqual(OFF.from);
    expect(off?.[1]).toBeGreaterThanOrEqual(OFF.to - 72);
    expect(off?.[1]).toBeLessThan(OFF.to - 72 + 1);
  });
}

test('the trouble is in the results of its time alone, and nothing is left running, open or uncounted', async () => {
  const failed = results.filter(({ result }) => result.outcome !== 'done');
  expect(failed.filter(({ hour }) => !within(hour, { from: OUTAGE.from - 1, to: OUTAGE.to }))).toEqual([]);
  expect(failed.filter(({ result }) => result.error?.kind !== 'unavailable')).toEqual([]);
  expect(failed.length).toBeGreaterThan(12);
  expect(await world.query('select id, job from logkeep.sync_window where lease_until is not null')).toEqual(
    [],
  );
  expect(await world.query(`select id from logkeep.run where outcome in ('running', 'crashed')`)).toEqual([]);
  const [counts] = await world.query(
    `select (select sum(new) from logkeep.run) + (select sum(trimmed_rows) from logkeep.stream) as counted,
      (select count(*) from logkeep.qstash_log) + (select count(*) from logkeep.datadog_log) as rows`,
  );
  expect(counts?.counted).toBe(counts?.rows);
  const [backfills] = await world.query(
    'select count(*)::integer as asked, count(finished_at)::integer as finished from logkeep.backfill',
  );
  expect(backfills).toEqual({ asked: 2, finished: 2 });
});

test('requests stay within the plan: no more than the reserve leaves in any hour, and few beyond the least', () => {
  const requests = world.sandbox.requests().filter(({ fault }) => fault === null);
  expect(requests.filter(({ status }) => status !== 200)).toEqual([]);
  const datadog = requests.filter(({ api }) => api === 'datadog');
  const hours = Map.groupBy(datadog, ({ atMs }) => Math.floor(atMs / HOUR));
  const most = Math.max(...[...hours.values()].map((list) => list.length));
  expect(most).toBeLessThanOrEqual(QUOTA.limit * (1 - RESERVE));
  // Each tick asks once, each page is read once and swept once; the rest is overlap and the ends of windows.
  for (const [api, page] of Object.entries(PAGE)) {
    const mine = requests.filter((one) => one.api === api);
    const entries = (api === 'qstash' ? world.sandbox.qstash : world.sandbox.datadog).truth().length;
    expect(mine.length, api).toBeLessThan(ticks + (2 * entries) / page + 150);
  }
  // Sandbox keeps the last 10,000: all of them.
  expect(world.sandbox.requests().length).toBeLessThan(10_000);
});
