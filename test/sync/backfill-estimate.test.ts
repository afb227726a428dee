import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Span } from '../../src/model.ts';
import {
  estimateBackfill,
  type Speed,
  speedOf,
  type Terms,
  timeOf,
} from '../../src/sync/backfill-estimate.ts';

const S = 1_000;
const HOUR = 3_600 * S;
const NOW = 1_000 * HOUR;
const free: Speed = { requestMs: 200, parallel: 2, quota: null };
const hourly: Speed = {
  requestMs: 200,
  parallel: 1,
  quota: { now: 100, resetInMs: HOUR / 2, each: 250, periodMs: HOUR },
};
const terms: Terms = {
  density: 1_000 / HOUR,
  pageSize: 100,
  order: 'ascending',
  nowMs: NOW,
  retentionMs: 100 * HOUR,
  speed: free,
};
const hours = (from: number, to: number): Span => ({ from: NOW + from * HOUR, to: NOW + to * HOUR });

test('without a quota requests follow each other, as many at once as allowed', () => {
  expect(timeOf(0, free)).toBe(0);
  expect(timeOf(10, free)).toBe(1_000);
});

test('what a quota window does not allow waits for the next', () => {
  expect(timeOf(100, hourly)).toBe(100 * 200);
  expect(timeOf(101, hourly)).toBe(HOUR / 2 + 200);
  expect(timeOf(350, hourly)).toBe(HOUR / 2 + 250 * 200);
  expect(timeOf(351, hourly)).toBe(HOUR / 2 + HOUR + 200);
});

test('a quota that leaves one request in two windows takes two windows for each', () => {
  const speed = { ...hourly, quota: { now: 0, resetInMs: HOUR, each: 0.5, periodMs: HOUR } };
  expect(timeOf(3, speed)).toBe(HOUR + 2 * 2 * HOUR + 200);
  expect(timeOf(1, { ...speed, quota: { ...speed.quota, each: 0 } })).toBe(Number.POSITIVE_INFINITY);
});

const speeds = fc.record({
  requestMs: fc.integer({ min: 1, max: 5_000 }),
  parallel: fc.integer({ min: 1, max: 8 }),
  quota: fc.option(
    fc.record({
      now: fc.double({ min: 0, max: 50, noNaN: true }),
      resetInMs: fc.integer({ min: 1, max: HOUR }),
      each: fc.double({ min: 0, max: 60, noNaN: true }),
      periodMs: fc.integer({ min: S, max: HOUR }),
    }),
    { nil: null },
  ),
});

test('more requests never take less time, and a smaller quota or slower answers never less either', () => {
  fc.assert(
    fc.property(
      speeds,
      fc.nat(300),
      fc.nat(100),
      fc.integer({ min: 1, max: 9 }),
      (speed, requests, more, slower) => {
        expect(timeOf(requests + more, speed)).toBeGreaterThanOrEqual(timeOf(requests, speed));
        expect(timeOf(requests, { ...speed, requestMs: speed.requestMs * slower })).toBeGreaterThanOrEqual(
          timeOf(requests, speed) - 1e-6,
        );
        if (speed.quota === null) return;
        const quota = { ...speed.quota, now: speed.quota.now / slower, each: speed.quota.each / slower };
        expect(timeOf(requests, { ...speed, quota })).toBeGreaterThanOrEqual(timeOf(requests, speed) - 1e-6);
      },
    ),
    { numRuns: 500 },
  );
});

const plans = fc
  .array(fc.tuple(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 1, max: 20 })), {
    minLength: 1,
    maxLength: 12,
  })
  .map((steps) => {
    let at = NOW - 99 * HOUR;
    return steps.map(([gap, size]) => {
      const from = at + gap * 900 * S;
      at = from + size * 900 * S;
      return { from, to: at };
    });
  });
const order = fc.constantFrom('ascending' as const, 'descending' as const);

test('an estimate grows with what is to be read, and never promises to be in time for more with less', () => {
  fc.assert(
    fc.property(
      plans,
      speeds,
      order,
      fc.double({ min: 0, max: 20_000, noNaN: true }),
      (windows, speed, way, perHour) => {
        const all = { ...terms, density: perHour / HOUR, order: way, speed };
        const some = estimateBackfill(windows.slice(0, -1), all);
        const whole = estimateBackfill(windows, all);
        const denser = estimateBackfill(windows, { ...all, density: (2 * perHour) / HOUR });
        for (const key of ['requests', 'timeMs', 'entries', 'lateMs', 'lostMs'] as const) {
          expect(whole[key], key).toBeGreaterThanOrEqual(some[key] as number);
          if (key !== 'lostMs') expect(denser[key], key).toBeGreaterThanOrEqual(whole[key] as number);
        }
        expect(whole.lostMs > 0).toBe(whole.lateMs > 0.5);
        const size = windows.reduce((sum, { from, to }) => sum + to - from, 0);
        expect(whole.lostMs).toBeLessThanOrEqual(size);
      },
    ),
    { numRuns: 500 },
  );
});

test('the least number of requests is one a page, and one for each window that may be empty', () => {
  expect(estimateBackfill([hours(-10, -8), hours(-8, -6)], terms)).toMatchObject({
    entries: 4_000,
    requests: 40,
  });
  expect(estimateBackfill([hours(-10, -8)], { ...terms, density: null })).toMatchObject({
    entries: null,
    requests: 1,
  });
  expect(estimateBackfill([], terms)).toMatchObject({ requests: 0, timeMs: 0, expiresMs: null, lostMs: 0 });
});

test('it says when the oldest expires, and that all is read before', () => {
  const estimate = estimateBackfill([hours(-99, -90)], terms);
  expect(estimate).toMatchObject({ expiresMs: NOW + HOUR, lateMs: 0, lostMs: 0, lostEntries: 0 });
});

test('what a spent quota lets expire is told, although what expires first is read first', () => {
  // Ten requests an hour bring 1000 entries, as much as an hour holds: the hours that begin to expire in an hour keep a lead of one.
  const slow = { ...hourly, quota: { now: 0, resetInMs: HOUR, each: 10, periodMs: HOUR } };
  const fits = estimateBackfill([hours(-98, -97), hours(-97, -96)], { ...terms, speed: slow });
  expect(fits.lostMs).toBe(0);
  const half = { ...slow, quota: { ...slow.quota, each: 5 } };
  const short = estimateBackfill(
    Array.from({ length: 20 }, (_, n) => hours(-98 + n, -97 + n)),
    { ...terms, speed: half },
  );
  expect(short.lateMs).toBeGreaterThan(15 * HOUR);
  // At half the speed of expiry half of what is left after the lead is lost.
  expect(short.lostMs / HOUR).toBeGreaterThan(7);
  expect(short.lostMs / HOUR).toBeLessThan(11);
  expect(short.lostEntries).toBe(Math.round((short.lostMs * 1_000) / HOUR));
});

test('a walk from the newest gets to the oldest last: what is in time for one order is too late for the other', () => {
  // An hour of walking, and half an hour until the oldest expires.
  const speed = { requestMs: HOUR / 40, parallel: 1, quota: null };
  const windows = [hours(-99.5, -95.5)];
  expect(estimateBackfill(windows, { ...terms, speed })).toMatchObject({
    requests: 40,
    lateMs: 0,
    lostMs: 0,
  });
  const walk = estimateBackfill(windows, { ...terms, speed, order: 'descending' });
  expect(walk.lateMs).toBe(HOUR / 2);
  // They meet: four hours read in one, while expiry begins after half of it.
  expect(walk.lostMs / HOUR).toBeCloseTo(4.5 / 5 - 0.5, 3);
});

test('where the quota leaves nothing all of it will be lost', () => {
  const none = { ...hourly, quota: { now: 0, resetInMs: HOUR, each: 0, periodMs: HOUR } };
  expect(estimateBackfill([hours(-50, -40)], { ...terms, speed: none })).toMatchObject({
    timeMs: Number.POSITIVE_INFINITY,
    lateMs: Number.POSITIVE_INFINITY,
    lostMs: 10 * HOUR,
  });
});

const facts = { reserve: 0.1, livePerMs: 20 / HOUR, requestMs: 100, parallel: 1, nowMs: NOW };

test('a backfill gets what the reserve and the live log leave of the quota', () => {
  const quota = { limit: 300, remaining: 200, resetMs: NOW + HOUR / 2, periodMs: HOUR };
  expect(speedOf({ ...facts, quota }).quota).toEqual({
    now: 160,
    resetInMs: HOUR / 2,
    each: 250,
    periodMs: HOUR,
  });
});

test('of a small quota one request a window is ours, whatever the reserve', () => {
  const quota = { limit: 5, remaining: 5, resetMs: NOW + HOUR / 2, periodMs: HOUR };
  expect(speedOf({ ...facts, reserve: 0.9, livePerMs: 0, quota }).quota).toMatchObject({ now: 1, each: 1 });
});

test('a quota window that is over counts for nothing, and one whose length nobody told is the shortest that fits', () => {
  const quota = { limit: 300, remaining: 0, resetMs: NOW - S, periodMs: HOUR };
  expect(speedOf({ ...facts, quota }).quota).toEqual({
    now: 250,
    resetInMs: HOUR,
    each: 250,
    periodMs: HOUR,
  });
  const untold = { ...quota, resetMs: NOW + 61 * S, periodMs: null };
  expect(speedOf({ ...facts, quota: untold }).quota?.periodMs).toBe(HOUR);
  expect(
    speedOf({ ...facts, quota: { limit: null, remaining: null, resetMs: null, periodMs: null } }).quota,
  ).toBeNull();
});
