import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Progress } from '../../src/sync/ledger.ts';
import type { Ask } from '../../src/sync/plan.ts';
import { isEarly, keptFor, paceFor } from '../../src/sync/spread.ts';

const S = 1_000;
const HOUR = 3_600 * S;
const every = (everyMs: number, cost = 1) => ({ everyMs, cost });

test('one stream that asks for more than there is, is read so that all but a twentieth lasts to the end', () => {
  expect(paceFor(270, HOUR, [every(5 * S)])).toBeCloseTo(HOUR / 270 / 0.95);
  expect(paceFor(270, HOUR, [every(5 * S, 2)])).toBeCloseTo((2 * HOUR) / 270 / 0.95);
  expect(paceFor(90, HOUR / 2, [every(5 * S)])).toBeCloseTo((20 * S) / 0.95);
});

test('nobody is slowed where the quota carries all schedules, where it is used up, or in its last moments', () => {
  expect(paceFor(270, HOUR, [every(15 * S)])).toBe(0);
  expect(paceFor(60, HOUR, [every(60 * S)])).toBe(0);
  expect(paceFor(0, HOUR, [every(5 * S)])).toBe(0);
  expect(paceFor(-30, HOUR, [every(5 * S)])).toBe(0);
  expect(paceFor(1, 5 * S, [every(1 * S)])).toBe(0);
});

test('whatever the streams of a quota, the slowed ones are slowed alike and all together use nineteen twentieths', () => {
  const reader = fc.record({
    everyMs: fc.integer({ min: S, max: HOUR }),
    cost: fc.integer({ min: 1, max: 2 }),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 10_000 }),
      fc.integer({ min: 6 * S, max: HOUR }),
      fc.array(reader, { minLength: 1, maxLength: 12 }),
      (requests, restMs, readers) => {
        const pace = paceFor(requests, restMs, readers);
        const used = readers.reduce(
          (sum, { everyMs, cost }) => sum + (cost * restMs) / Math.max(everyMs, pace),
          0,
        );
        if (pace === 0) expect(used).toBeLessThanOrEqual(requests * (1 + 1e-9));
        else {
          expect(pace).toBeGreaterThan(Math.min(...readers.map(({ everyMs }) => everyMs)) * (1 - 1e-9));
          expect(used / requests).toBeCloseTo(0.95, 6);
        }
      },
    ),
  );
});

test('what is left for others is rounded up, but one request of a window is ours', () => {
  expect([keptFor(0.1, 300), keptFor(0.1, 15), keptFor(0, 300), keptFor(1, 300), keptFor(0.5, 1)]).toEqual([
    30, 2, 0, 299, 0,
  ]);
});

const NOW = 10_000 * S;
const caughtUp: Progress = {
  askedFrom: 0,
  covered: [{ from: 0, to: NOW - 10 * S }],
  expired: [],
  oversize: [],
  young: [],
  settled: [],
  open: [],
  overlapEntries: 0,
};
const ask: Ask = { targetMs: NOW, overlapMs: 900 * S, pageSize: 100, again: [], leadMs: 0 };
const pace = { everyMs: 5 * S, paceMs: 13_333 };
const upTo = (...ends: number[]) =>
  ends.map((to) => ({ ...caughtUp, covered: [{ from: 0, to: NOW - to * S }] }));

test('a tail is left until the tick that comes nearest to the pace', () => {
  expect(upTo(5, 10, 11, 15, 600).map((progress) => isEarly(progress, ask, pace))).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
  // At a pace that is hardly slower than the schedule every tick reads, until one is to be left out.
  const hardly = { everyMs: 60 * S, paceMs: 66 * S };
  expect(isEarly(upTo(60)[0] as Progress, ask, hardly)).toBe(false);
  expect(isEarly(upTo(60)[0] as Progress, ask, { ...hardly, paceMs: 91 * S })).toBe(true);
});

test('nothing is left where anything else is owed: a hole, a first read, a re-read that is due or asked for', () => {
  expect(isEarly(caughtUp, ask, pace)).toBe(true);
  const hole = [
    { from: 0, to: 50 * S },
    { from: 51 * S, to: NOW - 10 * S },
  ];
  expect(isEarly({ ...caughtUp, covered: hole }, ask, pace)).toBe(false);
  expect(isEarly({ ...caughtUp, covered: [] }, ask, pace)).toBe(false);
  expect(isEarly({ ...caughtUp, young: [{ from: 5_000 * S, to: 6_000 * S }] }, ask, pace)).toBe(false);
  expect(isEarly(caughtUp, { ...ask, again: [{ from: 0, to: 1 * S }] }, pace)).toBe(false);
  expect(
    isEarly({ ...caughtUp, expired: [{ from: 0, to: 50 * S }], covered: hole.slice(1) }, ask, pace),
  ).toBe(false);
});

test('nothing is left where the tail holds more than about a page, as the overlap before it does', () => {
  const dense = { ...caughtUp, overlapEntries: 101 };
  expect(isEarly(dense, { ...ask, overlapMs: 5 * S }, pace)).toBe(false);
  expect(isEarly(dense, { ...ask, overlapMs: 20 * S }, pace)).toBe(true);
  expect(isEarly(caughtUp, { ...ask, overlapMs: 0 }, pace)).toBe(true);
});
