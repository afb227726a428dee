import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutAnew } from '../../src/sync/recount.ts';
import { union } from '../../src/sync/spans.ts';

const S = 1_000;
const HOUR = 3_600 * S;

test('every span is cut at least once, and not where others like to cut', () => {
  const [first, ...more] = cutAnew([{ from: 0, to: 6 * HOUR }], new Map());
  expect(more).not.toEqual([]);
  expect((first?.to ?? 0) % (60 * S)).not.toBe(0);
  expect(cutAnew([{ from: 0, to: 10 * S }], new Map())).toEqual([
    { from: 0, to: 5 * S },
    { from: 5 * S, to: 10 * S },
  ]);
  expect(cutAnew([{ from: 0, to: S }], new Map())).toEqual([{ from: 0, to: S }]);
});

test('a quiet log is read by the day, a busy one in windows that memory can hold', () => {
  expect(cutAnew([{ from: 0, to: 72 * HOUR }], new Map()).length).toBeLessThanOrEqual(5);
  const busy = new Map(Array.from({ length: 72 }, (_, n) => [n * HOUR, 300_000]));
  const windows = cutAnew([{ from: 0, to: 72 * HOUR }], busy);
  const longest = Math.max(...windows.map(({ from, to }) => to - from));
  expect(longest).toBeLessThanOrEqual(HOUR / 3);
});

test('whatever is stored, the windows are the span, in whole seconds, a day each at most, without an overlap', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 500_000 }),
      fc.integer({ min: 1, max: 900_000 }),
      fc.array(fc.integer({ min: 0, max: 1_000_000 }), { maxLength: 100 }),
      (begin, long, counts) => {
        const span = { from: begin * S, to: (begin + long) * S };
        const windows = cutAnew([span], new Map(counts.map((count, n) => [n * HOUR, count])));
        expect(union(windows)).toEqual([span]);
        expect(windows.every(({ from, to }) => to > from && from % S === 0 && to % S === 0)).toBe(true);
        expect(windows.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(span.to - span.from);
        expect(windows.every(({ from, to }) => to - from <= 24 * HOUR)).toBe(true);
      },
    ),
  );
});
