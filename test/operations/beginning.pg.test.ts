import { afterEach, expect, test } from 'vitest';
import type { Log } from '../../src/log.ts';
import { readStatus, type StreamStatus } from '../../src/store/status.ts';
import { createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const S = 1_000;
const MINUTE = 60 * S;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;

afterEach(() => world.close());

/** Two days and more of QStash's log, at a retention of a day. */
async function made(options: WorldOptions = {}): Promise<void> {
  world = await createWorld({
    ...options,
    settings: { pageSize: 20, retentionMs: DAY, since: { agoMs: DAY }, ...options.settings },
    sandbox: { qstash: { retentionMs: DAY, lateness: { minMs: 0, maxMs: 0 } } },
  });
  world.sandbox.qstash.history({ from: START - 2 * DAY, to: START - MINUTE, messages: 100 });
}

const refused = () => world.sandbox.faults.next('qstash', { kind: 'refuse' });
const gaps = () => world.query('select kind from logkeep.gap');
async function begins(): Promise<number> {
  const [row] = await world.query<{ asked_from: Date }>('select asked_from from logkeep.stream');
  return +(row as { asked_from: Date }).asked_from;
}
async function status(): Promise<StreamStatus> {
  const app = await world.open();
  const [only] = await readStatus(app.store.db).finally(() => app.close());
  return only as StreamStatus;
}
const floor = (ms: number) => Math.floor(ms / S) * S;

test('a first run that failed before anything was stored fixes no beginning: the next one begins later, and nothing is lost', async () => {
  await made();
  refused();
  expect((await world.sync())[0]?.error?.kind).toBe('auth');
  const first = await begins();
  expect(await status()).toMatchObject({ untouched: true });
  world.clock.advance(101 * S);
  expect((await world.sync())[0]?.outcome).toBe('done');
  expect(await begins()).toBe(first + 101 * S);
  expect(await gaps()).toEqual([]);
  expect(await status()).toMatchObject({ untouched: false, firstRead: false });
});

test('so does one that was stopped at once, whatever was asked for by length of time', async () => {
  await made();
  await world.sync({ mayRequest: () => false });
  world.clock.advance(MINUTE);
  await world.sync({ since: { agoMs: 3 * HOUR } });
  expect(await begins()).toBe(floor(START + MINUTE - 3 * HOUR));
  expect(await gaps()).toEqual([]);
});

test('so does one by a clock that is behind: what it asked for too much of is not listed as expired, then or later', async () => {
  await made();
  const behind = { ...world.clock, now: () => world.clock.now() - DAY };
  for (let run = 0; run < 2; run++) {
    expect((await world.sync({}, { clock: behind }))[0]).toMatchObject({ outcome: 'done' });
    expect(await gaps()).toEqual([]);
  }
  world.clock.advance(101 * S);
  await world.sync();
  expect(await gaps()).toEqual([]);
  expect(await begins()).toBe(floor(START - DAY + MINUTE));
});

test.each([
  [HOUR, 3 * HOUR],
  [20 * HOUR, 3 * HOUR],
])(
  'a clock that is ahead makes nobody lose the oldest of what was asked for (%i ms, ahead by %i ms)',
  async (agoMs, aheadMs) => {
    await made({ settings: { since: { agoMs }, retentionMs: 3 * DAY } });
    world.sandbox.qstash.history({ from: START, to: START + HOUR, messages: 50 });
    const clock = { ...world.clock, now: () => world.clock.now() + aheadMs };
    for (let tick = 0; tick < 3; tick += 1) {
      expect((await world.sync({}, { clock }))[0]?.outcome).toBe('done');
      expect(await begins()).toBe(floor(START) - agoMs);
      world.clock.advance(10 * MINUTE);
    }
    await world.sync();
    const settledMs = world.clock.now() - MINUTE;
    const owed = ({ time }: { readonly time: number }) => time >= floor(START) - agoMs && time < settledMs;
    const wanted = world.sandbox.qstash
      .truth()
      .map(({ text }) => JSON.parse(text) as { readonly time: number })
      .filter(owed);
    const stored = await world.query<{ time: number }>(
      'select (extract(epoch from time) * 1000)::float8 as time from logkeep.qstash_log',
    );
    expect(wanted.length).toBeGreaterThan(5);
    expect(stored.filter(owed)).toHaveLength(wanted.length);
    expect(await gaps()).toEqual([]);
  },
);

test('a batch of a window keeps the beginning where it is', async () => {
  await made({ wrap: pageIsBatch });
  let allowance = 1;
  await world.sync({ mayRequest: () => allowance-- > 0 });
  expect(
    await world.query('select isempty(covered) as nothing, pages from logkeep.stream, logkeep.sync_window'),
  ).toEqual([{ nothing: true, pages: 1 }]);
  const first = await begins();
  expect(await status()).toMatchObject({ untouched: false, firstRead: true });
  world.clock.advance(101 * S);
  await world.sync();
  expect(await begins()).toBe(first);
  expect(await gaps()).toEqual([{ kind: 'expired' }]);
});

test('coverage of any size keeps the beginning where it is', async () => {
  await made();
  refused();
  await world.sync();
  const first = await begins();
  await world.query('update logkeep.stream set covered = tstzmultirange(tstzrange($1, $2))', [
    new Date(START - HOUR),
    new Date(START - HOUR + S),
  ]);
  world.clock.advance(101 * S);
  await world.sync();
  expect(await begins()).toBe(first);
});

test('a time that was fixed is owed from the first run on, also one of which nothing was stored', async () => {
  await made();
  refused();
  const since = { atMs: floor(START - DAY + MINUTE) };
  await world.sync({ since });
  world.clock.advance(101 * S);
  await world.sync({ since });
  expect(await begins()).toBe(since.atMs);
  expect(await gaps()).toEqual([{ kind: 'expired' }]);
});

test('more than the API shows is asked for not without a warning before the reading; the settings are warned of once', async () => {
  const said: string[] = [];
  const note = (_: object, message: string) => void said.push(message);
  const log: Log = { debug() {}, info() {}, warn: note, error: note };
  await made({ log });
  let warned = 0;
  await world.sync({
    since: { agoMs: 3 * DAY },
    watch: (_, event) => {
      if (event.kind === 'window' && warned === 0) warned = said.length;
    },
  });
  expect([warned, said]).toEqual([
    1,
    [
      '--since: 3d: reaches 2 d beyond the retention of 1 d: what the API no longer holds will be listed as expired by `logkeep gaps` permanently; set `retention` if your plan or index keeps entries longer, or ask for a shorter --since',
    ],
  ]);
  said.length = 0;
  await world.sync();
  await world.sync({ since: { agoMs: DAY } });
  expect(said).toEqual([]);
  const longer = { settings: { retentionMs: DAY, since: { agoMs: 9 * DAY } } };
  await world.sync({}, longer);
  expect(said).toEqual([expect.stringMatching(/^since: 9d: reaches 5 d 23 h beyond the retention of 1 d: /)]);
  world.clock.advance(HOUR);
  await world.sync({}, longer);
  expect(said).toHaveLength(1);
});

test.each(['qstash.main', 'datadog.main'] as const)(
  '%s: one answer whose Date is two days behind moves nothing of a stream that has read before',
  async (stream) => {
    await made({ streams: [stream], settings: { since: { agoMs: HOUR }, retentionMs: DAY } });
    world.sandbox.datadog.history({ from: START - HOUR, to: START, logs: 50 });
    await world.sync();
    const before = await begins();
    world.sandbox.faults.next(stream === 'qstash.main' ? 'qstash' : 'datadog', {
      kind: 'wrong_date',
      byMs: -2 * DAY,
    });
    for (let tick = 0; tick < 3; tick += 1) {
      world.clock.advance(MINUTE);
      await world.sync();
      expect(await begins()).toBe(before);
    }
    expect(await gaps()).toEqual([]);
  },
);
