import { afterEach, describe, expect, test } from 'vitest';
import type { Ms } from '../../src/model.ts';
import type { DatadogBehaviour } from '../../src/sandbox/datadog/behaviour.ts';
import { createWorld, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NOW = Math.floor(START / 1000) * 1000;
const CAP = 20_000;
const BIG = 'a'.repeat(40_000);
let world: World;
afterEach(() => world.close());

const STREAMS = ['qstash', 'v1', 'v2'] as const;
type Which = (typeof STREAMS)[number];

async function made(
  which: Which,
  settings: WorldOptions['settings'] = {},
  datadog: Partial<DatadogBehaviour> = {},
): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: [which === 'qstash' ? 'qstash.main' : 'datadog.main'],
    settings: {
      since: { agoMs: 2 * HOUR },
      maxBodyBytes: CAP,
      ...settings,
      own: which === 'qstash' ? {} : { api: which },
    },
    sandbox: { qstash: { ...prompt, disorderMs: 0, ties: 'written' }, datadog: { ...prompt, ...datadog } },
  });
}

interface One {
  readonly at: Ms;
  readonly name: string;
  readonly big?: boolean;
  readonly state?: string;
  readonly visibleAtMs?: Ms;
}

/** Entries of the stream's source; of one ms, in this order. */
function add(which: Which, all: readonly One[], size: number = BIG.length): void {
  const body = 'a'.repeat(size);
  if (which === 'qstash') {
    world.sandbox.qstash.add(
      all.map(({ at, name, big, state, visibleAtMs = at }) => ({
        visibleAtMs,
        entry: {
          time: at,
          messageId: `msg_${name}`,
          state: state ?? 'CREATED',
          url: 'https://a.example/',
          ...(big ? { body } : {}),
        },
      })),
    );
    return;
  }
  world.sandbox.datadog.add(
    all.map(({ at, name, big, visibleAtMs = at }, tie) => ({
      visibleAtMs,
      content: {
        timestamp: new Date(at).toISOString(),
        message: name,
        ...(big ? { attributes: { body } } : {}),
      },
      atMs: at,
      intakeMs: at,
      tie,
    })),
  );
}

async function names(which: Which): Promise<string[]> {
  const rows = await world.query<{ name: string }>(
    which === 'qstash'
      ? `select substr(message_id, 5) as name from logkeep.qstash_log order by 1`
      : `select message as name from logkeep.datadog_log order by 1`,
  );
  return rows.map(({ name }) => name);
}

/** Each gap as kind, beginning and length in ms. */
async function gaps(): Promise<(readonly [string, Ms, number])[]> {
  const rows = await world.query<{ kind: string; from_time: Date; to_time: Date }>(
    'select kind, from_time, to_time from logkeep.gap order by from_time',
  );
  return rows.map(({ kind, from_time, to_time }) => [kind, +from_time, +to_time - +from_time] as const);
}

const sorted = (all: readonly One[]) => all.map(({ name }) => name).sort();
const many = (count: number, from: Ms, apartMs: number): One[] =>
  Array.from({ length: count }, (_, n) => ({ at: from + n * apartMs, name: `m${n}` }));

for (const which of STREAMS) {
  describe(which, () => {
    test('I8: an entry beyond the body cap costs its millisecond, which is shown, and comes when the cap is raised', async () => {
      await made(which);
      const at = START - HOUR;
      const all: One[] = [
        { at: at - MINUTE, name: 'before' },
        { at, name: 'big', big: true },
        { at: at + MINUTE, name: 'behind' },
      ];
      add(which, all);
      const [result] = await world.sync();
      expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 2 } });
      expect(await gaps()).toEqual([['oversize', at, 1]]);
      const again = { from: NOW - 2 * HOUR, to: NOW };
      const raised = { since: { agoMs: 2 * HOUR }, own: which === 'qstash' ? {} : { api: which } };
      await world.sync({ again }, { settings: raised });
      expect(await names(which)).toEqual(sorted(all));
      expect(await gaps()).toEqual([]);
    });

    test('I8: an entry beyond the body cap that comes into covered time is missing there, and costs nothing but that', async () => {
      await made(which);
      const at = NOW - 5 * MINUTE;
      const late = { at, name: 'late', big: true, visibleAtMs: START + 1_000 };
      add(which, [{ at: at - 1, name: 'before' }, late, { at: at + 1, name: 'behind' }]);
      await world.sync();
      expect(await gaps()).toEqual([]);
      world.clock.advance(MINUTE);
      await world.sync();
      expect(await gaps()).toEqual([['oversize', at, 1]]);
      const [state] = await world.query(
        `select covered * oversize as covered, young * oversize as young, settled * oversize as settled from logkeep.stream`,
      );
      expect(state).toEqual({ covered: '{}', young: '{}', settled: '{}' });
      world.clock.advance(MINUTE);
      const [tick] = await world.sync();
      expect(tick?.meter.requests).toBe(which === 'v2' ? 2 : 1);
      expect(await names(which)).toEqual(['before', 'behind']);
      // All that was read young but for the ms itself is read again when it is old enough.
      add(which, [{ at: at - 2, name: 'again', visibleAtMs: START + 3 * MINUTE }]);
      world.clock.advance(HOUR);
      const [later] = await world.sync();
      expect(await names(which)).toEqual(['again', 'before', 'behind']);
      // The tail, and what lies on each side of the ms: where a window holds its end, one request more tells.
      expect(later?.meter.requests).toBeLessThanOrEqual({ qstash: 3, v1: 4, v2: 7 }[which]);
    });

    // More than a run may plan anew in vain: that is one rule for all of them.
    const row = which === 'v1' ? 70 : 20;
    test(`I8: ${row} entries beyond the body cap in a row do not end the run, and hide nothing`, async () => {
      await made(which);
      add(which, [
        { at: START - 90 * MINUTE, name: 'old' },
        ...Array.from({ length: row }, (_, n) => ({ at: START - HOUR + n, name: `big${n}`, big: true })),
        { at: START - 30 * MINUTE, name: 'new' },
      ]);
      const [result] = await world.sync();
      expect(result?.error?.message).toBeUndefined();
      expect(result?.outcome).toBe('done');
      expect(await names(which)).toEqual(['new', 'old']);
      expect(await gaps()).toEqual([['oversize', START - HOUR, row]]);
    });

    test('I8: answers that are beyond the body cap whatever is asked are an error, no gaps', async () => {
      await made(which, { maxBodyBytes: 20 });
      add(which, many(3, START - HOUR, 1000));
      const [result] = await world.sync();
      expect(result).toMatchObject({ outcome: 'failed', error: { kind: 'protocol' } });
      expect(await gaps()).toEqual([]);
    });

    test('I8: a run that ends anywhere near an entry beyond the body cap claims nothing of it, and the next one stores the rest', async () => {
      for (let budget = 1; budget < 60; budget += 9) {
        await made(which, { pageSize: 10 });
        const at = START - HOUR;
        const all = many(30, at, 0).map((one, n) => ({ ...one, big: n === (budget % 2 === 1 ? 0 : 15) }));
        add(which, all);
        let requests = budget;
        await world.sync({ mayRequest: () => requests-- > 0 });
        await world.endLeases();
        const [result] = await world.sync();
        expect(result).toMatchObject({ outcome: 'done' });
        // QStash: those of the same state that were written before it are out of reach.
        const reached = all.filter(
          ({ big }, n) => !big && (which !== 'qstash' || all.slice(0, n).some((one) => one.big)),
        );
        expect(await names(which)).toEqual(sorted(reached));
        expect(await gaps()).toEqual([['oversize', at, 1]]);
        if (budget + 9 < 60) await world.close();
      }
    });

    test('one entry beyond the body cap among 5000 costs few requests more', async () => {
      await made(which, { since: { agoMs: 20 * HOUR }, maxBodyBytes: 3_000_000 });
      const all = many(5000, START - 19 * HOUR, 12_000);
      const big = { at: START - 10 * HOUR + 137, name: 'big', big: true };
      add(which, all);
      add(which, [big], 4_000_000);
      const [result] = await world.sync();
      expect(result).toMatchObject({ outcome: 'done', totals: { fresh: 5000 } });
      expect(await gaps()).toEqual([['oversize', big.at, 1]]);
      // Without it 51, 6 and 7 requests. QStash reads what is newer than the entry twice: 23 pages of these.
      expect(result?.meter.requests).toBeLessThanOrEqual({ qstash: 109, v1: 17, v2: 31 }[which]);
    });
  });
}

for (const which of ['v1', 'v2'] as const) {
  for (const toInclusive of [true, false]) {
    describe(`${which}, \`to\` ${toInclusive ? 'inclusive' : 'exclusive'}`, () => {
      for (const where of [0, 100, 1999]) {
        test(`I8: the other 1999 logs of a ms whose log ${where} is beyond the body cap are stored`, async () => {
          await made(which, {}, { toInclusive });
          const at = START - HOUR;
          const all = many(2000, at, 0).map((one, n) => ({ ...one, big: n === where }));
          add(which, all);
          const [result] = await world.sync();
          expect(result).toMatchObject({ outcome: 'done' });
          expect(await names(which)).toEqual(sorted(all.filter(({ big }) => !big)));
          expect(await gaps()).toEqual([['oversize', at, 1]]);
        });
      }

      test('I8: between two logs beyond the body cap of one ms, and there alone, others are missing with them', async () => {
        await made(which, {}, { toInclusive });
        const at = START - HOUR;
        const all: One[] = [
          { at: at - 1, name: 'a' },
          ...many(60, at, 0).map((one, n) => ({ ...one, big: n === 20 || n === 30 })),
          { at: at + 1, name: 'z', big: true },
          { at: at + 2, name: 'zz' },
        ];
        add(which, all);
        await world.sync();
        const reached = all.filter(({ big, name }) => !big && !/^m2[1-9]$/.test(name));
        expect(await names(which)).toEqual(sorted(reached));
        expect(await gaps()).toEqual([['oversize', at, 2]]);
      });

      test('I8: a log beyond the body cap at the end of a window is on record, and all before it is stored', async () => {
        await made(which, {}, { toInclusive });
        const to = NOW - 120_000;
        add(which, [
          { at: to - MINUTE, name: 'a' },
          { at: to - 1, name: 'b' },
          { at: to, name: 'big', big: true },
          { at: to + 1, name: 'c' },
        ]);
        const [first] = await world.sync();
        expect(first).toMatchObject({ outcome: 'done', totals: { fresh: 2 } });
        expect(await gaps()).toEqual([]);
        world.clock.advance(5 * MINUTE);
        const [second] = await world.sync();
        expect(second).toMatchObject({ outcome: 'done' });
        expect(await names(which)).toEqual(['a', 'b', 'c']);
        expect(await gaps()).toEqual([['oversize', to, 1]]);
      });
    });
  }
}

describe('qstash', () => {
  test('I8: an entry beyond the body cap hides only older ones of its ms and state', async () => {
    await made('qstash');
    const at = START - HOUR;
    const all: One[] = [
      { at: at - 1, name: 'a' },
      { at, name: 'hidden', state: 'RETRY' },
      { at, name: 'b', state: 'CREATED' },
      { at, name: 'c', state: 'ERROR' },
      { at, name: 'd', state: 'FAILED' },
      { at, name: 'big', state: 'RETRY', big: true },
      { at, name: 'e', state: 'RETRY' },
    ];
    add('qstash', all);
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done' });
    expect(await names('qstash')).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(await gaps()).toEqual([['oversize', at, 1]]);
  });

  test('I8: entries written out of order near one that is beyond the body cap are stored, and no other ms is given up', async () => {
    await made('qstash');
    const at = START - HOUR;
    const one = (time: Ms, writtenMs: Ms, messageId: string, body = 'aaaa') => ({
      entry: { time, messageId, state: 'CREATED', url: 'https://a.example/', body },
      writtenMs,
    });
    world.sandbox.qstash.add([
      one(at - 10, at - 10, 'msg_older'),
      one(at + 3, at + 3, 'msg_big', BIG),
      one(at, at + 4, 'msg_a0'),
      one(at, at + 2, 'msg_a1'),
      one(at, at + 1, 'msg_a2'),
    ]);
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done' });
    expect(await names('qstash')).toEqual(['a0', 'a1', 'a2', 'older']);
    expect(await gaps()).toEqual([['oversize', at + 3, 1]]);
  });
});
