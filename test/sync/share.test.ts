import { expect, it } from 'vitest';
import { shareOf } from '../../src/sync/share.ts';

const window = { from: 1_000, to: 11_000 };

it('an ascending window is read up to where everything was given', () => {
  expect(shareOf('ascending', window, { lastEntryAt: 9_000, readTo: 3_500, done: false })).toBe(0.25);
  expect(shareOf('ascending', window, { lastEntryAt: 9_000, readTo: null, done: false })).toBeNull();
});

it('a descending window is read down to its oldest entry so far', () => {
  expect(shareOf('descending', window, { lastEntryAt: 8_500, readTo: null, done: false })).toBe(0.25);
  expect(shareOf('descending', window, { lastEntryAt: null, readTo: null, done: false })).toBeNull();
});

it('never says less than nothing or more than all, and all at the end', () => {
  expect(shareOf('descending', window, { lastEntryAt: 12_000, readTo: null, done: false })).toBe(0);
  expect(shareOf('ascending', window, { lastEntryAt: null, readTo: 20_000, done: false })).toBe(1);
  expect(shareOf('descending', window, { lastEntryAt: null, readTo: null, done: true })).toBe(1);
});
