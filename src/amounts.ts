import type { Ms, Span } from './model.ts';

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
  ['s', 1000],
];

/** A count with separators: `22,673`. */
export function countText(count: number | bigint): string {
  return count.toLocaleString('en-US');
}

/** `1 entry`, `22,673 entries`. */
export function amountText(count: number, one: string, many = `${one}s`): string {
  return `${countText(count)} ${count === 1 ? one : many}`;
}

/** A length for people, in its two largest units: `2 d 4 h`, `41 s`, `850 ms`; rounded down. */
export function lengthText(ms: number): string {
  const size = Math.floor(Math.abs(ms));
  const sign = ms <= -1 ? '-' : '';
  if (size < 1000) return `${sign}${size} ms`;
  const first = UNITS.findIndex(([, unit]) => size >= unit);
  const [name, unit] = UNITS[first] as (typeof UNITS)[number];
  const whole = Math.floor(size / unit);
  const next = UNITS[first + 1];
  const rest = next === undefined ? 0 : Math.floor((size - whole * unit) / next[1]);
  return `${sign}${whole} ${name}${rest === 0 || next === undefined ? '' : ` ${rest} ${next[0]}`}`;
}

/** A time in UTC to the second: `2026-11-21 22:34:14Z`. */
export function timeText(ms: Ms): string {
  return new Date(ms)
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

/** Bytes for people: `812 B`, `3.4 MB`. */
export function bytesText(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  // The next unit where rounding would give a thousand of this one.
  const step = Math.min(4, Math.floor(Math.log10(bytes / 0.999_95) / 3));
  return `${(bytes / 1000 ** step).toFixed(1)} ${['B', 'kB', 'MB', 'GB', 'TB'][step]}`;
}

/** A time in UTC as a sentence says it: `10:17Z`, with its date unless that is today's; with seconds if asked. */
export function clockText(ms: Ms, nowMs: Ms, seconds = false): string {
  const { day, time } = parts(ms, seconds);
  return day === parts(nowMs, seconds).day ? `${time}Z` : `${day} ${time}Z`;
}

/** A span in UTC: `08:00-08:15Z`, or with the dates where they are needed. Seconds are said where the minute is one. */
export function spanText({ from, to }: Span, nowMs: Ms): string {
  const seconds = to - from < 120_000;
  const [a, b, now] = [parts(from, seconds), parts(to, seconds), parts(nowMs, seconds)];
  if (a.day !== b.day) return `${a.day} ${a.time} to ${b.day} ${b.time}Z`;
  return `${a.day === now.day ? '' : `${a.day} `}${a.time}-${b.time}Z`;
}

function parts(ms: Ms, seconds: boolean): { readonly day: string; readonly time: string } {
  const text = new Date(ms).toISOString();
  return { day: text.slice(0, 10), time: text.slice(11, seconds ? 19 : 16) };
}

/** A time for machines: ISO 8601 in UTC, with milliseconds; null stays null. */
export function isoTime(ms: Ms): string;
export function isoTime(ms: Ms | null): string | null;
export function isoTime(ms: Ms | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
