import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span } from '../../src/model.ts';
import { splitToOutrun, type TimedWalk } from '../../src/sync/outrun.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const NOW = Date.UTC(2026, 4, 20, 12, 0, 0);

/** A day's window, ten minutes from expiry, of which an hour took ten minutes: the rest would take almost four hours. */
const SLOW: TimedWalk = {
  window: { from: NOW - 24 * HOUR, to: NOW },
  timedFromMs: NOW,
  reachedMs: NOW - HOUR,
  elapsedMs: 10 * MINUTE,
  apiNowMs: NOW,
  retentionMs: 24 * HOUR + 10 * MINUTE,
};

test('a walk that outlasts the margin to expiry is split into pieces of about half a minute, 64 at most', () => {
  expect(splitToOutrun(SLOW)).toHaveLength(64);
  const quick = { ...SLOW, elapsedMs: 45 * SECOND };
  // 24 hours at 45 s an hour.
  expect(splitToOutrun(quick)).toHaveLength(36);
});

test('a walk that gets there in time is left alone', () => {
  const left = 23 * 10 * MINUTE;
  const until = (marginMs: number) => splitToOutrun({ ...SLOW, retentionMs: 24 * HOUR + marginMs });
  expect(until(left)).toBeNull();
  expect(until(left - 1)).not.toBeNull();
});

test('nothing is split for a minute or less of walking that is left, nor by a pace of less than five seconds', () => {
  const edge = { ...SLOW, retentionMs: 24 * HOUR };
  const reached = { reachedMs: NOW - 23 * HOUR, elapsedMs: 23 * MINUTE };
  expect(splitToOutrun({ ...edge, ...reached })).toBeNull();
  expect(splitToOutrun({ ...edge, ...reached, elapsedMs: 23 * MINUTE + 23 })).not.toBeNull();
  expect(splitToOutrun({ ...SLOW, reachedMs: NOW - MINUTE, elapsedMs: 4_999 })).toBeNull();
  expect(splitToOutrun({ ...SLOW, reachedMs: NOW - MINUTE, elapsedMs: 5_000 })).not.toBeNull();
});

test('pages that get no older say nothing of the pace', () => {
  expect(splitToOutrun({ ...SLOW, reachedMs: NOW })).toBeNull();
  expect(splitToOutrun({ ...SLOW, reachedMs: NOW + 5 })).toBeNull();
});

test('what lies beyond the retention is no reason to split, however much of it is left', () => {
  // Three days are owed of a window of fourteen, and the walk has done with them but for half a minute.
  const lead = {
    window: { from: NOW - 14 * 24 * HOUR, to: NOW },
    timedFromMs: NOW,
    apiNowMs: NOW,
    retentionMs: 72 * HOUR,
    elapsedMs: 72 * MINUTE,
  };
  expect(splitToOutrun({ ...lead, reachedMs: NOW - 72 * HOUR + HOUR / 2 })).toBeNull();
  expect(splitToOutrun({ ...lead, reachedMs: NOW - 80 * HOUR })).toBeNull();
  // Where more is owed, all pieces but the oldest, which takes the gift along, are of the owed time.
  const pieces = splitToOutrun({ ...lead, reachedMs: NOW - 36 * HOUR }) ?? [];
  expect(pieces[0]?.from).toBe(lead.window.from);
  expect(pieces[0]?.to).toBeGreaterThan(NOW - 72 * HOUR);
});

test('whatever the walk, the pieces cover its window exactly, oldest first, with edges on whole seconds', () => {
  const walks = fc.record({
    lengthS: fc.integer({ min: 1, max: 14 * 86_400 }),
    ageS: fc.integer({ min: 0, max: 86_400 }),
    readShare: fc.integer({ min: 0, max: 500 }),
    elapsedMs: fc.integer({ min: 0, max: 10 * HOUR }),
    marginS: fc.integer({ min: -86_400, max: 3_600 }),
  });
  let split = 0;
  fc.assert(
    fc.property(walks, ({ lengthS, ageS, readShare, elapsedMs, marginS }) => {
      const to = NOW - ageS * SECOND;
      const window: Span = { from: to - lengthS * SECOND, to };
      const pieces = splitToOutrun({
        window,
        timedFromMs: to,
        reachedMs: to - readShare * lengthS,
        elapsedMs,
        apiNowMs: NOW,
        retentionMs: Math.max(1, ageS + lengthS + marginS) * SECOND,
      });
      if (pieces === null) return;
      split++;
      expect(pieces.length).toBeGreaterThan(1);
      expect(pieces.length).toBeLessThanOrEqual(64);
      expect(pieces[0]?.from).toBe(window.from);
      expect(pieces.at(-1)?.to).toBe(window.to);
      for (const [n, { from, to: end }] of pieces.entries()) {
        expect(from % SECOND).toBe(0);
        expect(end).toBeGreaterThan(from);
        if (n > 0) expect(from).toBe(pieces[n - 1]?.to);
      }
    }),
    { numRuns: 2_000 },
  );
  expect(split).toBeGreaterThan(200);
});
