import { expect, test } from 'vitest';
import type { Lateness } from '../../src/sync/ledger.ts';
import { overlapFor, quantile } from '../../src/sync/overlap.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const settings = { overlapMs: 15 * MINUTE, retentionMs: 72 * HOUR };

function late(...counts: readonly (readonly [upToMs: number, count: number])[]): Lateness {
  return counts.map(([upToMs, count]) => ({ upToMs, count }));
}

test('the overlap brings all but one entry in a thousand', () => {
  const seen = late([1_000, 9_000], [20 * MINUTE, 989], [HOUR, 1], [5 * HOUR, 10]);
  expect(overlapFor(seen, settings)).toBe(61 * MINUTE);
  expect(overlapFor(late([1_000, 9_000], [20 * MINUTE, 990], [5 * HOUR, 10]), settings)).toBe(21 * MINUTE);
});

test('while too little is known the overlap is the one of the settings', () => {
  expect(overlapFor([], settings)).toBe(15 * MINUTE);
  expect(overlapFor(late([HOUR, 999]), settings)).toBe(15 * MINUTE);
  expect(overlapFor(late([HOUR, 1_000]), settings)).toBe(61 * MINUTE);
});

test('the overlap is at least five minutes and at most six hours, or a quarter of the retention', () => {
  expect(overlapFor(late([1_000, 5_000]), settings)).toBe(5 * MINUTE);
  expect(overlapFor(late([18 * HOUR, 5_000]), settings)).toBe(6 * HOUR);
  expect(overlapFor(late([18 * HOUR, 5_000]), { ...settings, retentionMs: 10 * HOUR })).toBe(2.5 * HOUR);
});

test('a share of the entries is not later than its quantile', () => {
  const seen = late([1_000, 50], [2_000, 40], [4_000, 10]);
  expect([0, 0.5, 0.51, 0.9, 0.91, 1].map((share) => quantile(seen, share))).toEqual([
    1_000, 1_000, 2_000, 2_000, 4_000, 4_000,
  ]);
  expect(quantile([], 0.5)).toBe(null);
});
