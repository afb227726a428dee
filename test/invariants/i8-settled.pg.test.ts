import { afterEach, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { length, subtract } from '../../src/sync/spans.ts';
import { spansOf, sweep } from '../sync/sweeping.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;

afterEach(() => world.close());

type StreamName = 'qstash.main' | 'datadog.main';
const STREAMS = ['qstash.main', 'datadog.main'] as const;

async function made(stream: StreamName, pageSize = 100): Promise<void> {
  world = await createWorld({
    streams: [stream],
    settings: { pageSize, retentionMs: 3 * DAY, sweepAfterMs: 6 * HOUR, since: { agoMs: DAY } },
  });
  world.sandbox.qstash.history({ from: START - DAY, to: START, messages: 60 });
  world.sandbox.datadog.history({ from: START - DAY, to: START, logs: 240 });
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
}

function shifted(byMs: number): Clock {
  return { now: () => world.clock.now() + byMs, sleep: (ms, signal) => world.clock.sleep(ms, signal) };
}

for (const stream of STREAMS) {
  test(`I8: ${stream}: nothing is settled that was read before the horizon by the API's clock, whatever the local one says`, async () => {
    await made(stream);
    const horizon = Math.floor((world.clock.now() - 6 * HOUR) / 1000) * 1000;
    for (let run = 0; run < 3; run++) {
      expect((await sweep(world, {}, { clock: shifted(3 * HOUR) })).outcome).toBe('done');
      const settled = await spansOf(world, 'settled', stream);
      expect(settled).toHaveLength(1);
      expect(settled[0]?.to).toBeLessThanOrEqual(horizon);
    }
  });

  test(`I8: ${stream}: what is settled is covered, and was read to its end without a new entry since the horizon passed`, async () => {
    await made(stream, 10);
    // Holes in the coverage, cut-off sweeps, lost cursors and late entries, in all rounds.
    await world.query(
      `update logkeep.stream set covered = covered - tstzmultirange(tstzrange('${new Date(START - 15 * HOUR - 789).toISOString()}', '${new Date(START - 14 * HOUR - 789).toISOString()}'))`,
    );
    const name = stream === 'qstash.main' ? 'qstash' : 'datadog';
    const due = async () =>
      subtract(
        (await spansOf(world, 'covered', stream)).map(({ from, to }) => ({
          from,
          to: Math.min(to, START - 6 * HOUR - 789),
        })),
        await spansOf(world, 'settled', stream),
      );
    for (let round = 0; round < 6; round++) {
      // Where nothing is settled yet: what comes later than that is beyond what settling means.
      const [open] = await due();
      const at =
        open === undefined ? START - HOUR : Math.floor((open.from * (6 - round) + open.to * round) / 6);
      const visibleAtMs = world.clock.now();
      if (name === 'qstash') {
        const entry = { time: at, messageId: `msg_${round}`, state: 'CREATED', url: 'https://example.com/' };
        world.sandbox.qstash.add([{ entry, visibleAtMs }]);
      } else {
        const content = { timestamp: new Date(at).toISOString(), message: `late ${round}` };
        world.sandbox.datadog.add([{ content, atMs: at, visibleAtMs }]);
      }
      if (round % 2 === 0) world.sandbox.faults.next(name, { kind: 'bad_cursor' });
      let left = 4 + 5 * round;
      await sweep(world, { mayRequest: () => left-- > 0 }, { wrap: pageIsBatch });
      const settled = await spansOf(world, 'settled', stream);
      expect(subtract(settled, await spansOf(world, 'covered', stream))).toEqual([]);
      const truth = world.sandbox[name].truth({ visibleAt: world.clock.now() });
      const times = new Set(
        (
          await world.query<{ at: number }>(
            name === 'qstash'
              ? 'select (extract(epoch from time) * 1000)::float8 as at from logkeep.qstash_log'
              : 'select (extract(epoch from timestamp) * 1000)::float8 as at from logkeep.datadog_log',
          )
        ).map((row) => row.at),
      );
      const unread = truth.filter(
        ({ timeMs }) => !times.has(timeMs) && settled.some(({ from, to }) => from <= timeMs && timeMs < to),
      );
      expect(unread.map(({ timeMs }) => timeMs)).toEqual([]);
    }
    await sweep(world);
    await sweep(world);
    expect(length(await due())).toBe(0);
  });
}
