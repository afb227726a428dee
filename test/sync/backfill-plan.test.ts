import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span, Spans } from '../../src/model.ts';
import {
  type BackfillPlanAsk,
  neighboursOf,
  planBackfill,
  readableFrom,
  windowLength,
} from '../../src/sync/plan-backfill.ts';
import { intersect, length, subtract, union } from '../../src/sync/spans.ts';

const S = 1_000;
const HOUR = 3_600 * S;
const nothing = { covered: [], expired: [], oversize: [], open: [] };
const ask: BackfillPlanAsk = {
  wanted: [{ from: 0, to: 10 * HOUR }],
  targetMs: 100 * HOUR,
  edgeMs: -HOUR,
  windowMs: 3 * HOUR,
};

const whole = fc.integer({ min: 0, max: 400 }).map((n) => n * S);
const span = fc
  .tuple(whole, fc.integer({ min: 1, max: 120 }))
  .map(([from, size]): Span => ({ from, to: from + size * S }));
const spans = fc.array(span, { maxLength: 5 }).map((list) => union(list));
const scene = fc.record({
  progress: fc.record({ covered: spans, expired: spans, oversize: spans, open: spans }),
  ask: fc.record({
    wanted: spans,
    targetMs: fc.integer({ min: 0, max: 600_000 }),
    edgeMs: fc.integer({ min: -100, max: 600 }).map((n) => n * S),
    windowMs: fc.integer({ min: 1, max: 200_000 }),
  }),
});

/** Sorted, as they are: neither joined nor cleaned. */
function overlaps(list: Spans): boolean {
  const sorted = [...list].sort((a, b) => a.from - b.from);
  return sorted.some((one, i) => i > 0 && one.from < (sorted[i - 1] as Span).to);
}

test('what is missing is divided without rest: to read, expired, in hand, and too young', () => {
  fc.assert(
    fc.property(scene, ({ progress, ask: asked }) => {
      const plan = planBackfill(progress, asked);
      const parts = [plan.windows, plan.expired, plan.inHand, plan.later];
      const there = union(progress.covered, progress.expired, progress.oversize);
      expect(union(...parts)).toEqual(subtract(asked.wanted, there));
      expect(overlaps(parts.flat())).toBe(false);
    }),
  );
});

test('windows overlap neither each other nor an open window nor what is there', () => {
  fc.assert(
    fc.property(scene, ({ progress, ask: asked }) => {
      const { windows } = planBackfill(progress, asked);
      const taken = union(progress.open, progress.covered, progress.expired, progress.oversize);
      expect(intersect(windows, taken)).toEqual([]);
      expect(overlaps(windows)).toBe(false);
    }),
  );
});

test('windows come in the order in which their oldest entries expire, none longer than said, none beyond edge or target', () => {
  fc.assert(
    fc.property(scene, ({ progress, ask: asked }) => {
      const { windows } = planBackfill(progress, asked);
      expect([...windows].sort((a, b) => a.from - b.from)).toEqual(windows);
      for (const { from, to } of windows) {
        expect(to).toBeGreaterThan(from);
        // Edges are whole seconds: a window may be longer by less than one.
        expect(to - from).toBeLessThan(asked.windowMs + S);
        expect(to).toBeLessThanOrEqual(asked.targetMs);
        expect(from).toBeGreaterThanOrEqual(Math.min(asked.edgeMs, asked.targetMs - S));
      }
    }),
  );
});

test('reading a window and planning again never brings back what was planned apart from it', () => {
  fc.assert(
    fc.property(scene, ({ progress, ask: asked }) => {
      const { windows } = planBackfill(progress, asked);
      const first = windows[0];
      if (first === undefined) return;
      const next = planBackfill({ ...progress, covered: union(progress.covered, [first]) }, asked);
      expect(union(next.windows)).toEqual(subtract(windows, [first]));
    }),
  );
});

test('a span is cut into equal windows on whole seconds', () => {
  expect(planBackfill(nothing, { ...ask, windowMs: 4 * HOUR }).windows).toEqual([
    { from: 0, to: 12_000 * S },
    { from: 12_000 * S, to: 24_000 * S },
    { from: 24_000 * S, to: 10 * HOUR },
  ]);
});

test('a plan never has more windows than help', () => {
  const years = { ...ask, wanted: [{ from: 0, to: 3 * 365 * 24 * HOUR }], windowMs: S, targetMs: 9e12 };
  expect(planBackfill(nothing, years).windows.length).toBeLessThanOrEqual(10_001);
});

test('what an answer at this time could not claim any more is expired to the second', () => {
  const now = 100 * HOUR + 700;
  expect(readableFrom(now, 90 * HOUR)).toBe(10 * HOUR + 2 * S);
  const plan = planBackfill(nothing, {
    ...ask,
    wanted: [{ from: 0, to: 20 * HOUR }],
    edgeMs: readableFrom(now, 90 * HOUR),
  });
  expect(plan.expired).toEqual([{ from: 0, to: 10 * HOUR + 2 * S }]);
});

test('a window holds some fifty pages, and an unknown amount is read six hours at a time', () => {
  const perHour = (entries: number) => entries / HOUR;
  expect(windowLength(null, 100)).toBe(6 * HOUR);
  expect(windowLength(0, 100)).toBe(6 * HOUR);
  expect(windowLength(perHour(2_500), 100)).toBe(2 * HOUR);
  expect(windowLength(perHour(1), 1_000)).toBe(6 * HOUR);
  expect(windowLength(1_000, 100)).toBe(10 * S);
});

test('neighbours are the covered time nearest to what is missing, on each side and within', () => {
  const covered = [
    { from: 0, to: 10 * HOUR },
    { from: 14 * HOUR, to: 15 * HOUR },
    { from: 20 * HOUR, to: 40 * HOUR },
  ];
  const missing = [
    { from: 11 * HOUR, to: 14 * HOUR },
    { from: 15 * HOUR, to: 19 * HOUR },
  ];
  expect(neighboursOf(covered, missing, 2 * HOUR)).toEqual([
    { from: 8 * HOUR, to: 10 * HOUR },
    { from: 14 * HOUR, to: 15 * HOUR },
    { from: 20 * HOUR, to: 22 * HOUR },
  ]);
  expect(neighboursOf(covered, [], HOUR)).toEqual([]);
  expect(length(neighboursOf([], missing, HOUR))).toBe(0);
});
