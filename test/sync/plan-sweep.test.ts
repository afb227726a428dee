import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span, Spans } from '../../src/model.ts';
import type { Progress } from '../../src/sync/ledger.ts';
import { planSweep, type SweepAsk } from '../../src/sync/plan-sweep.ts';
import { intersect, length, subtract, union } from '../../src/sync/spans.ts';

const S = 1_000;
const MINUTE = 60 * S;
const HOUR = 60 * MINUTE;
const NOW = 100 * HOUR;
const progress: Progress = {
  askedFrom: 0,
  covered: [{ from: 0, to: NOW }],
  expired: [],
  oversize: [],
  young: [],
  settled: [],
  open: [],
  overlapEntries: 0,
};
const ask: SweepAsk = { nowMs: NOW, round: 0, sweepAfterMs: 20 * HOUR, retentionMs: 72 * HOUR };

test('what is covered and not settled is swept from near the edge of the retention up to the horizon', () => {
  const windows = planSweep(progress, ask);
  expect(union(windows)).toEqual([{ from: 28 * HOUR + 10 * MINUTE + S, to: 80 * HOUR }]);
});

test('a sweep reads in windows of about six hours, the one that expires first at the front', () => {
  const windows = planSweep({ ...progress, settled: [{ from: 0, to: 62 * HOUR }] }, ask);
  expect(windows).toEqual([
    { from: 62 * HOUR, to: 68 * HOUR },
    { from: 68 * HOUR, to: 74 * HOUR },
    { from: 74 * HOUR, to: 80 * HOUR },
  ]);
});

test('a sweep that comes some seconds later than six hours after the last one is still one window', () => {
  const settled = [{ from: 0, to: 74 * HOUR - 20 * S }];
  expect(planSweep({ ...progress, settled }, ask)).toEqual([{ from: 74 * HOUR - 20 * S, to: 80 * HOUR }]);
});

test('what was never read, what is settled and what is in hand is not swept', () => {
  const state: Progress = {
    ...progress,
    covered: [{ from: 0, to: 60 * HOUR }],
    settled: [{ from: 0, to: 50 * HOUR }],
    open: [{ from: 52 * HOUR, to: 53 * HOUR }],
  };
  expect(planSweep(state, ask)).toEqual([
    { from: 50 * HOUR, to: 52 * HOUR },
    { from: 53 * HOUR, to: 60 * HOUR },
  ]);
});

test('an entry beyond the body cap is not swept, nor met by the windows beside it', () => {
  const at = { from: 60 * HOUR + 866, to: 60 * HOUR + 867 };
  const covered = subtract(progress.covered, [at]);
  for (const state of [{ covered }, { oversize: [at] }]) {
    const windows = planSweep({ ...progress, ...state }, ask);
    expect(intersect(windows, [at])).toEqual([]);
    expect(windows.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(length(windows));
    expect(windows.some(({ from }) => from === at.to)).toBe(true);
  }
});

test('a run plans once, so that what goes on bringing new entries does not keep it for ever', () => {
  expect(planSweep(progress, { ...ask, round: 1 })).toEqual([]);
});

test('nothing is swept of a log that is shorter-lived than its horizon', () => {
  expect(planSweep(progress, { ...ask, retentionMs: 20 * HOUR })).toEqual([]);
});

const spans: fc.Arbitrary<Spans> = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 100 * 3_600 }), fc.integer({ min: 1, max: 60_000 })), {
    maxLength: 6,
  })
  .map((list) => union(list.map(([from, long]): Span => ({ from: from * S, to: (from + long) * S }))));

test('whatever the progress, a sweep reads exactly what is due, in whole seconds, nothing twice', () => {
  fc.assert(
    fc.property(spans, spans, spans, fc.integer({ min: 0, max: 999 }), (covered, settled, open, ms) => {
      const at = { ...ask, nowMs: NOW + ms };
      const windows = planSweep({ ...progress, covered, settled, open }, at);
      const due = intersect(covered, [{ from: 28 * HOUR + 10 * MINUTE + S, to: 80 * HOUR }]);
      expect(union(windows)).toEqual(subtract(due, union(settled, open)));
      expect(windows.reduce((sum, { from, to }) => sum + to - from, 0)).toBe(length(windows));
      expect(windows.every(({ from, to }) => from % S === 0 && to % S === 0 && to > from)).toBe(true);
      expect(windows.every(({ from, to }) => to - from <= 9 * HOUR)).toBe(true);
    }),
  );
});
