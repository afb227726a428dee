import { expect, test } from 'vitest';
import { createWhole } from '../../src/sync/whole.ts';

const HOUR = 3_600_000;
const span = (from: number, to: number) => ({ from: from * HOUR, to: to * HOUR });

test('windows of one plan add up to one whole, which goes from 0 to 1 and never back', () => {
  const whole = createWhole('ascending', 0);
  expect(whole.share()).toBeNull();
  whole.wants([span(0, 4), span(6, 10)]);
  const seen: (number | null)[] = [whole.share()];
  for (const [window, share] of [
    [span(0, 4), 0.5],
    [span(0, 4), null],
    [span(0, 4), 1],
    [span(6, 10), 0],
    [span(6, 10), 0.25],
    [span(6, 10), 1],
  ] as const) {
    whole.reads(window, share);
    seen.push(whole.share());
  }
  expect(seen).toEqual([0, 0.25, 0.25, 0.5, 0.5, 0.625, 1]);
});

test('a descending window is read from its newest end, also where it lies across others', () => {
  const whole = createWhole('descending', 0);
  whole.wants([span(0, 2)]);
  whole.reads(span(0, 4), 0.5);
  expect(whole.share()).toBe(0);
  whole.reads(span(0, 4), 0.75);
  expect(whole.share()).toBe(0.5);
});

test('what lies before the retention counts for nothing, what others have read counts', () => {
  const whole = createWhole('ascending', 10 * HOUR);
  whole.wants([span(0, 10), span(10, 14)]);
  whole.reads(span(0, 10), 1);
  expect(whole.share()).toBe(0);
  whole.lacks([span(11, 14)]);
  expect(whole.share()).toBe(0.25);
  whole.wants([span(14, 18)]);
  expect(whole.share()).toBe(0.125);
});
