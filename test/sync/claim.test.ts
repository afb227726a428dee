import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type ChainState, claimOf } from '../../src/sync/claim.ts';

const SECOND = 1_000;
const chain: ChainState = {
  window: { from: 10 * SECOND, to: 100 * SECOND },
  doneTo: null,
  readTo: null,
  chainAt: 1_000 * SECOND,
  settleMs: 30 * SECOND,
  ended: false,
};

test('a chain in no order claims nothing before its end, then its window', () => {
  expect(claimOf(chain)).toBeNull();
  expect(claimOf({ ...chain, ended: true })).toEqual(chain.window);
});

test('an ascending chain claims from what is committed to what was given', () => {
  expect(claimOf({ ...chain, readTo: 50_123 })).toEqual({ from: 10_000, to: 50_123 });
  expect(claimOf({ ...chain, doneTo: 50_123, readTo: 60_007 })).toEqual({ from: 50_123, to: 60_007 });
  expect(claimOf({ ...chain, doneTo: 50_123, readTo: 50_123 })).toBeNull();
  expect(claimOf({ ...chain, doneTo: 50_123, ended: true })).toEqual({ from: 50_123, to: 100_000 });
});

test('a claim ends at the API clock at the start of the chain less the settle delay, on a whole second', () => {
  expect(claimOf({ ...chain, ended: true, chainAt: 90_999 })).toEqual({ from: 10_000, to: 60_000 });
  expect(claimOf({ ...chain, ended: true, chainAt: 60_999, settleMs: 1_500 })).toEqual({
    from: 10_000,
    to: 59_000,
  });
  expect(claimOf({ ...chain, ended: true, chainAt: 40_999 })).toBeNull();
});

test('no claim leaves its window, goes beyond what was given, or beyond the settle delay', () => {
  const ms = fc.integer({ min: 0, max: 200_000 });
  fc.assert(
    fc.property(
      ms,
      ms,
      fc.option(ms),
      fc.option(ms),
      ms,
      ms,
      fc.boolean(),
      (from, size, doneTo, readTo, chainAt, settleMs, ended) => {
        const window = { from, to: from + size + 1 };
        const claim = claimOf({ window, doneTo, readTo, chainAt, settleMs, ended });
        if (claim === null) return;
        expect(claim.from).toBeLessThan(claim.to);
        expect(claim.from).toBeGreaterThanOrEqual(Math.max(from, doneTo ?? from));
        expect(claim.to).toBeLessThanOrEqual(window.to);
        expect(claim.to).toBeLessThanOrEqual(chainAt - settleMs);
        if (!ended) expect(claim.to).toBeLessThanOrEqual(readTo ?? Number.NEGATIVE_INFINITY);
      },
    ),
  );
});
