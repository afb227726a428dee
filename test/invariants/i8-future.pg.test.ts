import { afterEach, expect, test } from 'vitest';
import type { Stream } from '../../src/sources/source.ts';
import { createWorld, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;

afterEach(() => world.close());

/** The stream, every Date of whose answers is off by what `byMs` says of a page: it is given the page's number in its chain. */
function misdated(byMs: (page: number) => number): (stream: Stream) => Stream {
  return (stream) => ({
    ...stream,
    async *read(options) {
      let number = 0;
      for await (const page of stream.read(options)) {
        const dateMs = page.dateMs === null ? null : page.dateMs + byMs(number);
        number += 1;
        yield { ...page, dateMs };
      }
    },
  });
}

async function made(stream: 'qstash.main' | 'datadog.main', pageSize = 100): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: [stream],
    settings: { pageSize },
    sandbox: { qstash: prompt, datadog: prompt },
  });
  add(START - HOUR, START);
}

function add(from: number, to: number): void {
  world.sandbox.qstash.history({ from, to, messages: 20 });
  world.sandbox.datadog.history({ from, to, logs: 60 });
}

const table = { 'qstash.main': 'qstash_log', 'datadog.main': 'datadog_log' } as const;

async function missing(stream: keyof typeof table): Promise<number> {
  const [{ rows } = { rows: 0 }] = await world.query<{ rows: number }>(
    `select count(*)::integer as rows from logkeep.${table[stream]}`,
  );
  const side = stream === 'qstash.main' ? world.sandbox.qstash : world.sandbox.datadog;
  const settledBy = world.clock.now() - 3 * MINUTE;
  return side.truth().filter(({ timeMs }) => timeMs < settledBy).length - rows;
}

for (const stream of ['qstash.main', 'datadog.main'] as const) {
  for (const aheadMs of [6 * HOUR, 100 * HOUR]) {
    test(`I8: ${stream}: Dates that are ${aheadMs / HOUR} h ahead for a run cost a re-read, never an entry`, async () => {
      await made(stream);
      await world.sync();
      world.clock.advance(5 * MINUTE);
      await world.sync({}, { wrap: misdated(() => aheadMs) });
      for (let hour = 0; hour < 3; hour += 1) {
        add(world.clock.now(), world.clock.now() + HOUR);
        world.clock.advance(HOUR + 4 * MINUTE);
        const [result] = await world.sync();
        expect(result?.outcome).toBe('done');
        expect(await missing(stream)).toBeLessThanOrEqual(0);
      }
      expect(await world.query('select * from logkeep.gap')).toEqual([]);
      const [{ ahead } = { ahead: true }] = await world.query<{ ahead: boolean }>(
        'select upper(covered) > $1 as ahead from logkeep.stream',
        [new Date(world.clock.now())],
      );
      expect(ahead).toBe(false);
    });
  }
}

test('I8: a Date that lags behind the first of its chain reads nothing over and over', async () => {
  await made('qstash.main', 10);
  await world.sync();
  // More than a page lies in what the first Date does not let be claimed.
  add(START + HOUR - 5 * MINUTE, START + HOUR);
  world.clock.advance(HOUR + 2 * MINUTE);
  let requests = 0;
  const count = () => {
    requests += 1;
    return requests < 300;
  };
  const [result] = await world.sync(
    { mayRequest: count },
    { wrap: misdated((page) => (page === 0 ? -10 * MINUTE : 0)) },
  );
  expect(result?.outcome).toBe('done');
  expect(requests).toBeLessThan(60);
});

test('I8: a last answer whose Date is days early claims nothing that is older than the retention', async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    settings: { pageSize: 10, since: { agoMs: 5 * DAY }, retentionMs: 3 * DAY },
    sandbox: { qstash: { ...prompt, retentionMs: 3 * DAY } },
  });
  world.sandbox.qstash.history({ from: START - 2 * HOUR, to: START, messages: 20 });
  await world.sync({}, { wrap: misdated((page) => (page === 0 ? 0 : -3 * DAY)) });
  const [{ early } = { early: true }] = await world.query<{ early: boolean }>(
    'select lower(covered) < $1 as early from logkeep.stream',
    [new Date(START - 3 * DAY)],
  );
  expect(early).toBe(false);
});

for (const stream of ['qstash.main', 'datadog.main'] as const) {
  test(`I8: ${stream}: the request that asks for the time is counted like any other, and stays within the allowance`, async () => {
    await made(stream);
    await world.sync();
    // Our clock goes some hours slow: the coverage seems to end in the future.
    const slow = { ...world.clock, now: () => world.clock.now() - 4 * HOUR };
    const before = world.sandbox.requests().length;
    for (const allowed of [0, 1, 100]) {
      world.clock.advance(HOUR);
      let left = allowed;
      const since = world.sandbox.requests().length;
      const [result] = await world.sync({ mayRequest: () => left-- > 0 }, { clock: slow });
      expect(result?.outcome).toBe(allowed < 100 ? 'stopped' : 'done');
      const sent = world.sandbox.requests().length - since;
      expect(result?.meter.requests).toBe(sent);
      if (allowed < 100) expect(sent).toBe(allowed);
      else expect(sent).toBeGreaterThan(1);
    }
    const [row] = await world.query('select sum(requests)::integer as sum from logkeep.run where id > 1');
    expect(row?.sum).toBe(world.sandbox.requests().length - before);
  });
}
