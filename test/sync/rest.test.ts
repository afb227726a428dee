import fc from 'fast-check';
import { expect, test } from 'vitest';
import { restOf } from '../../src/sync/rest.ts';
import { subtract, union } from '../../src/sync/spans.ts';

const window = { from: 0, to: 100_000 };

test('a lost cursor of an ascending chain costs only what is not committed', () => {
  expect(restOf('ascending', window, 40_321, 'cursor', null)).toEqual({
    windows: [{ from: 40_321, to: 100_000 }],
    oversize: null,
  });
});

test('a lost cursor of a descending chain costs the window, read again in halves of whole seconds', () => {
  expect(restOf('descending', window, null, 'cursor', null)?.windows).toEqual([
    { from: 0, to: 50_000 },
    { from: 50_000, to: 100_000 },
  ]);
  expect(restOf('descending', { from: 0, to: 1_000 }, null, 'cursor', null)?.windows).toEqual([
    { from: 0, to: 1_000 },
  ]);
});

test('after a query time-out windows shrink until a second cannot be halved, then it is a failure', () => {
  expect(restOf('ascending', window, 60_000, 'timeout', null)?.windows).toEqual([
    { from: 60_000, to: 80_000 },
    { from: 80_000, to: 100_000 },
  ]);
  expect(restOf('ascending', { from: 0, to: 1_000 }, null, 'timeout', null)).toBeNull();
});

test('an entry beyond the cap costs its own millisecond, wherever in the window it stands', () => {
  for (const at of [0, 1, 50_000, 99_999]) {
    const rest = restOf('descending', window, null, 'oversize', at);
    expect(rest?.oversize).toEqual({ from: at, to: at + 1 });
    expect(union(rest?.windows ?? [])).toEqual(subtract([window], [{ from: at, to: at + 1 }]));
  }
  expect(restOf('descending', window, null, 'oversize', null)).toBeNull();
  expect(restOf('descending', window, null, 'oversize', 100_000)).toBeNull();
});

test('a window that is committed to its end leaves no rest', () => {
  expect(restOf('ascending', window, 100_000, 'timeout', null)).toEqual({ windows: [], oversize: null });
});

test('the rest is all that is not committed, but for the millisecond of an entry beyond the cap', () => {
  const ms = fc.integer({ min: 0, max: 20_000 });
  const reasons = fc.constantFrom('cursor', 'timeout', 'oversize');
  fc.assert(
    fc.property(
      ms,
      ms,
      fc.option(ms),
      reasons,
      ms,
      fc.boolean(),
      (from, size, done, reason, at, ascending) => {
        const span = { from, to: from + size + 1 };
        const doneTo = ascending && done !== null ? from + done : null;
        const rest = restOf(ascending ? 'ascending' : 'descending', span, doneTo, reason, from + at);
        if (rest === null) return;
        const owed = subtract([span], [{ from, to: doneTo ?? from }]);
        expect(union(rest.windows)).toEqual(subtract(owed, rest.oversize === null ? [] : [rest.oversize]));
      },
    ),
  );
});
