import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span, Spans } from '../../src/model.ts';
import type { Progress } from '../../src/sync/ledger.ts';
import { type Ask, planWindows, tailAlone } from '../../src/sync/plan.ts';
import { intersect, length, subtract, union } from '../../src/sync/spans.ts';

const S = 1_000;
const MINUTE = 60 * S;
const progress: Progress = {
  askedFrom: 0,
  covered: [],
  expired: [],
  oversize: [],
  young: [],
  settled: [],
  open: [],
  overlapEntries: 0,
};
const ask: Ask = { targetMs: 1_000 * S, overlapMs: 100 * S, pageSize: 100, again: [], leadMs: 0 };

test('a first run reads all that is asked for in one window', () => {
  expect(planWindows(progress, ask)).toEqual([{ from: 0, to: 1_000 * S }]);
});

test('windows begin and end on whole seconds, and never later than the target', () => {
  const windows = planWindows({ ...progress, askedFrom: 1_234 }, { ...ask, targetMs: 999_999 });
  expect(windows).toEqual([{ from: 1_000, to: 999_000 }]);
});

test('nothing is planned where the target lies before what is asked for', () => {
  expect(planWindows({ ...progress, askedFrom: 5_000 * S }, ask)).toEqual([]);
});

test('a caught-up run whose overlap fits a page reads overlap and tail in one window', () => {
  const covered = [{ from: 0, to: 900 * S }];
  expect(planWindows({ ...progress, covered, overlapEntries: 99 }, ask)).toEqual([
    { from: 800 * S, to: 1_000 * S },
  ]);
});

test('an overlap larger than a page is not read with every tick', () => {
  const covered = [{ from: 0, to: 900 * S }];
  expect(planWindows({ ...progress, covered, overlapEntries: 100 }, ask)).toEqual([
    { from: 900 * S, to: 1_000 * S },
  ]);
});

test('what was read young is read again once an overlap of it is old enough', () => {
  const covered = [{ from: 0, to: 1_000 * S }];
  const state = { ...progress, covered, overlapEntries: 100 };
  const due = (youngTo: number) => planWindows({ ...state, young: [{ from: 700 * S, to: youngTo }] }, ask);
  expect(due(799 * S)).toEqual([]);
  expect(due(800 * S)).toEqual([{ from: 700 * S, to: 800 * S }]);
  expect(due(950 * S)).toEqual([{ from: 700 * S, to: 900 * S }]);
});

test('a run that has just caught up plans nothing', () => {
  expect(
    planWindows(
      { ...progress, covered: [{ from: 0, to: 1_000 * S }], young: [{ from: 905 * S, to: 1_000 * S }] },
      ask,
    ),
  ).toEqual([]);
});

test('an interrupted run, a hole and an earlier since are the same subtraction', () => {
  const covered = [
    { from: 200 * S, to: 400 * S },
    { from: 500 * S, to: 1_000 * S },
  ];
  expect(planWindows({ ...progress, covered }, ask)).toEqual([
    { from: 0, to: 200 * S },
    { from: 400 * S, to: 500 * S },
  ]);
});

test('what is known to be expired or beyond the cap is not asked for again', () => {
  const state = {
    ...progress,
    expired: [{ from: 0, to: 300 * S }],
    oversize: [{ from: 500 * S, to: 500 * S + 1 }],
  };
  expect(planWindows(state, ask)).toEqual([
    { from: 300 * S, to: 500 * S },
    { from: 500 * S + 1, to: 1_000 * S },
  ]);
});

test('of the overlap only what lies behind an entry beyond the cap is read with the tail, and the rest once it is ripe', () => {
  const [before, behind] = [
    { from: 0, to: 850 * S },
    { from: 850 * S + 1, to: 900 * S },
  ];
  const state = { ...progress, oversize: [{ from: 850 * S, to: 850 * S + 1 }], overlapEntries: 99 };
  const young = [{ from: 800 * S, to: 850 * S }, behind];
  const tail = { from: 850 * S + 1, to: 1_000 * S };
  expect(planWindows({ ...state, covered: [before, behind], young }, ask)).toEqual([tail]);
  const covered = [before, { ...behind, to: 1_200 * S }];
  expect(planWindows({ ...state, covered, young }, { ...ask, targetMs: 1_250 * S })).toEqual([
    { from: 800 * S, to: 850 * S },
    { from: 850 * S + 1, to: 900 * S },
    { from: 1_100 * S, to: 1_250 * S },
  ]);
});

test('an entry beyond the cap that came into time read young keeps no re-read due for ever', () => {
  const at = { from: 500 * S, to: 500 * S + 1 };
  const state = { ...progress, covered: [{ from: 0, to: 990 * S }], young: [at], overlapEntries: 100 };
  expect(tailAlone({ ...state, oversize: [at] }, ask)).toBe(10 * S);
  expect(planWindows({ ...state, oversize: [at] }, ask)).toEqual([{ from: 990 * S, to: 1_000 * S }]);
});

test('a span asked for again is read although it is covered, and an entry that was beyond the cap gets its chance', () => {
  const covered = [
    { from: 0, to: 500 * S },
    { from: 500 * S + 1, to: 1_000 * S },
  ];
  const oversize = [{ from: 500 * S, to: 500 * S + 1 }];
  const again = { from: 400 * S, to: 600 * S };
  expect(
    planWindows({ ...progress, covered, oversize, overlapEntries: 100 }, { ...ask, again: [again] }),
  ).toEqual([again]);
});

test('a read of the very beginning starts a little before what is owed', () => {
  expect(planWindows({ ...progress, askedFrom: 60 * S }, { ...ask, leadMs: MINUTE })).toEqual([
    { from: 0, to: 1_000 * S },
  ]);
  const covered = [{ from: 60 * S, to: 1_000 * S }];
  expect(planWindows({ ...progress, askedFrom: 60 * S, covered }, { ...ask, leadMs: MINUTE })).toEqual([]);
});

test('the lead is planned with the first second that is owed, and not again while that is in hand', () => {
  const state = { ...progress, askedFrom: 60 * S };
  for (const leadApart of [false, true]) {
    const wish: Ask = { ...ask, leadMs: MINUTE, leadApart };
    const owed = { from: 60 * S, to: 1_000 * S };
    expect(length(planWindows(state, wish))).toBe(1_000 * S);
    // Whoever has the window in hand, the lead was planned with it and may be read already.
    expect(planWindows({ ...state, open: [owed] }, wish)).toEqual([]);
    // Split, its newer part read and its oldest in hand.
    const open = [{ from: 60 * S, to: 500 * S }];
    expect(planWindows({ ...state, covered: [{ from: 500 * S, to: 1_000 * S }], open }, wish)).toEqual([]);
    // An earlier beginning than that of the window in hand.
    const later = [{ from: 500 * S, to: 1_000 * S }];
    expect(planWindows({ ...state, open: later }, wish)[0]?.from).toBe(0);
  }
});

test('the overlap waits with a tail that another has in hand', () => {
  const covered = [{ from: 0, to: 900 * S }];
  const open = [{ from: 900 * S, to: 1_000 * S }];
  expect(planWindows({ ...progress, covered, open, overlapEntries: 99 }, ask)).toEqual([]);
});

test('whatever the progress, windows meet neither each other nor open ones, and with these they hold every second that is missing', () => {
  const second = fc.integer({ min: 0, max: 60 }).map((n) => n * S);
  const list = fc
    .array(
      fc
        .tuple(second, fc.integer({ min: 1, max: 15 }))
        .map(([from, n]): Span => ({ from, to: from + n * S })),
      { maxLength: 4 },
    )
    .map((spans): Spans => union(spans));
  const states = fc.record({
    covered: list,
    expired: list,
    young: list,
    open: list,
    askedFrom: fc.integer({ min: 0, max: 20_000 }),
    overlapEntries: fc.constantFrom(0, 100, 101),
  });
  const asks = fc.record({
    targetMs: fc.integer({ min: 0, max: 80_000 }),
    overlapMs: second,
    again: list,
    leadMs: fc.constantFrom(0, 5 * S),
  });
  fc.assert(
    fc.property(states, asks, (state, wish) => {
      const now: Progress = { ...progress, ...state, young: intersect(state.young, state.covered) };
      const full: Ask = { ...ask, ...wish };
      const windows = planWindows(now, full);
      expect(length(windows)).toBe(windows.reduce((sum, { from, to }) => sum + to - from, 0));
      expect(intersect(windows, now.open)).toEqual([]);
      for (const { from, to } of windows) {
        expect(Number.isInteger(from / S)).toBe(true);
        expect(Number.isInteger(to / S)).toBe(true);
        expect(to).toBeLessThanOrEqual(full.targetMs);
      }
      const owed = subtract(
        [{ from: Math.floor(now.askedFrom / S) * S, to: Math.floor(full.targetMs / S) * S }],
        union(now.covered, now.expired),
      );
      expect(subtract(owed, union(windows, now.open))).toEqual([]);
    }),
    { numRuns: 1_000 },
  );
});
