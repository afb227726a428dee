import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatDuration,
  parseDuration,
  parseMoment,
  parseSpan,
  parseTime,
  resolveMoment,
} from '../src/durations.ts';

const SECOND = 1000;
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

describe('parseDuration', () => {
  it.each([
    ['250ms', 250],
    ['90s', 90 * SECOND],
    ['15m', 900 * SECOND],
    ['12h', 12 * HOUR],
    ['3d', 3 * DAY],
    ['2w', 14 * DAY],
    ['1.5h', 90 * 60 * SECOND],
    ['0s', 0],
    ['PT15M', 900 * SECOND],
    ['P3D', 3 * DAY],
    ['P2W', 14 * DAY],
    ['P1DT12H30M0.25S', DAY + 12 * HOUR + 1800 * SECOND + 250],
  ])('reads %s as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  it.each([
    '',
    '12',
    '12 parsecs',
    '-3d',
    '3 d',
    '3D',
    'd',
    'P',
    'PT',
    'P1DT',
    'P1M',
    'P1Y',
    'pt15m',
    '0.5ms',
    '1000000.0005s',
    '1e3s',
    '999999999999w',
    '15m ',
    'Infinityd',
    '٣d',
  ])('refuses %j rather than guess', (text) => {
    expect(parseDuration(text)).toBeNull();
  });

  it('reads back whatever formatDuration writes', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 400 * DAY }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms);
      }),
    );
  });

  it('writes the largest unit that divides', () => {
    expect([90_000, 900_000, 3 * DAY, 14 * DAY, 1, 0].map(formatDuration)).toEqual([
      '90s',
      '15m',
      '3d',
      '14d',
      '1ms',
      '0s',
    ]);
  });
});

describe('parseTime', () => {
  it.each([
    ['2026-11-01T00:00:00Z', Date.UTC(2026, 10, 1)],
    ['2026-11-01T02:00+02:00', Date.UTC(2026, 10, 1)],
    ['2026-11-01T00:00:00.250Z', Date.UTC(2026, 10, 1) + 250],
    ['2026-11-01T00:00:00.123456789Z', Date.UTC(2026, 10, 1) + 123],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
  ])('reads %s', (text, ms) => {
    expect(parseTime(text)).toBe(ms);
  });

  it.each([
    '2026-11-01',
    '2026-11-01T00:00:00',
    '2026-02-30T00:00:00Z',
    '2026-11-01T24:00:00Z',
    '2026-11-01T00:00:60Z',
    '2026-13-01T00:00:00Z',
    '2026-11-01T00:00:00+99:00',
    'yesterday',
    '1770000000000',
  ])('refuses %j, which names no zone or no moment', (text) => {
    expect(parseTime(text)).toBeNull();
  });

  it('knows the years 2000 to 9999 in UTC, whatever the zone, and refuses all before and after', () => {
    expect(parseTime('2000-01-01T00:00:00Z')).toBe(Date.UTC(2000, 0, 1));
    expect(parseTime('1999-12-31T22:00:00-02:00')).toBe(Date.UTC(2000, 0, 1));
    expect(parseTime('9999-12-31T23:59:59.999Z')).toBe(Date.UTC(9999, 11, 31, 23, 59, 59, 999));
    for (const text of [
      '0000-01-01T00:00:00Z',
      '1970-01-01T00:00:00Z',
      '2000-01-01T00:00:00+00:01',
      '1999-12-31T23:59:59.999Z',
      '9999-12-31T23:59:00-00:01',
    ])
      expect(parseTime(text), text).toBeNull();
  });
});

describe('moments and spans', () => {
  const now = Date.UTC(2026, 10, 21, 12);

  it('reads a duration as so long ago and a time as itself', () => {
    expect(parseMoment('3d')).toEqual({ agoMs: 3 * DAY });
    expect(parseMoment('2026-11-01T00:00:00Z')).toEqual({ atMs: Date.UTC(2026, 10, 1) });
    expect(parseMoment('soon')).toBeNull();
    expect(resolveMoment({ agoMs: HOUR }, now)).toBe(now - HOUR);
  });

  it('goes back from now 3660 days at most', () => {
    expect(parseMoment('3660d')).toEqual({ agoMs: 3660 * DAY });
    expect(parseMoment('P3661D')).toBeNull();
    expect(parseSpan('3660d', now)).toEqual({ from: now - 3660 * DAY, to: now });
    expect(parseSpan('3661d', now)).toBeNull();
    expect(parseSpan('9999w/2026-11-01T00:00:00Z', now)).toBeNull();
    expect(parseSpan('1d/2000-01-01T00:00:00Z', now)).toBeNull();
    expect(parseSpan('9999-12-31T00:00:00Z/2d', now)).toBeNull();
  });

  it.each([
    ['6h', now - 6 * HOUR, now],
    ['2026-11-01T00:00:00Z/2026-11-02T00:00:00Z', Date.UTC(2026, 10, 1), Date.UTC(2026, 10, 2)],
    ['2026-11-01T00:00:00Z/PT6H', Date.UTC(2026, 10, 1), Date.UTC(2026, 10, 1, 6)],
    ['6h/2026-11-01T00:00:00Z', Date.UTC(2026, 9, 31, 18), Date.UTC(2026, 10, 1)],
  ])('reads the span %s', (text, from, to) => {
    expect(parseSpan(text, now)).toEqual({ from, to });
  });

  it.each([
    '',
    '0s',
    '6h/7h',
    '2026-11-02T00:00:00Z/2026-11-01T00:00:00Z',
    '2026-11-01T00:00:00Z',
    '1h/2h/3h',
  ])('refuses the span %j', (text) => {
    expect(parseSpan(text, now)).toBeNull();
  });
});
