import type { Ms, Span } from '../model.ts';

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
