import { expect, it } from 'vitest';
import type { Row } from '../../src/sources/source.ts';
import { shareOf } from '../../src/sync/share.ts';

const window = { from: 1_000, to: 11_000 };
const at = (timeMs: number): Row => ({ timeMs, parts: [], rawText: () => '' });

it('an ascending window is read up to where everything was given', () => {
  expect(shareOf('ascending', window, { rows: [at(9_000)], readTo: 3_500, done: false })).toBe(0.25);
  expect(shareOf('ascending', window, { rows: [at(9_000)], readTo: null, done: false })).toBeNull();
});

it('a descending window is read down to its oldest entry so far', () => {
  expect(shareOf('descending', window, { rows: [at(10_000), at(8_500)], readTo: null, done: false })).toBe(
    0.25,
  );
  expect(shareOf('descending', window, { rows: [], readTo: null, done: false })).toBeNull();
});

it('never says less than nothing or more than all, and all at the end', () => {
  expect(shareOf('descending', window, { rows: [at(12_000)], readTo: null, done: false })).toBe(0);
  expect(shareOf('ascending', window, { rows: [], readTo: 20_000, done: false })).toBe(1);
  expect(shareOf('descending', window, { rows: [], readTo: null, done: true })).toBe(1);
});
