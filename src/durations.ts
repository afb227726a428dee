import { DAY_MS, HOUR_MS, MINUTE_MS } from './clock.ts';
import type { Ms, Span } from './model.ts';

/** Where a span begins: so long before now, or at a fixed time. Both in ms. */
export type Moment = { readonly agoMs: number } | { readonly atMs: Ms };

/** What to say when text is not a duration. */
export const DURATION_EXPECTED = 'expected a duration such as 90s, 15m, 12h, 3d or PT15M';

/** What to say when text is neither a duration nor a time. */
export const MOMENT_EXPECTED =
  'expected a duration such as 3d or PT12H, 3660d at most, or a time with its zone such as 2026-11-01T00:00:00Z, of 2000 or later';

/** What to say when text is not a span. */
export const SPAN_EXPECTED =
  'expected a duration up to now such as 6h, 3660d at most, or a span such as 2026-11-01T00:00:00Z/2026-11-02T00:00:00Z or 2026-11-01T00:00:00Z/PT6H, of 2000 or later';

const SECOND_MS = 1000;
const WEEK_MS = 7 * DAY_MS;

/** No log begins before, and no entry that is older is taken for one. */
export const EARLIEST_MS = Date.UTC(2000);
/** The last moment of a year of four digits: Postgres and the APIs read no longer ones. */
export const LATEST_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
/** The longest retention that can be set: no moment is further back from now, and no span is longer. */
const LONGEST_MS = 3660 * DAY_MS;

const UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['w', WEEK_MS],
  ['d', DAY_MS],
  ['h', HOUR_MS],
  ['m', MINUTE_MS],
  ['s', SECOND_MS],
  ['ms', 1],
];

/** The plain form of a duration: a number and a unit. */
export const PLAIN_DURATION = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d|w)$/;

/** The ISO 8601 form: weeks, days and time; years and months have no fixed length and are refused. */
export const ISO_DURATION =
  /^P(?=[\dT])(?:(\d{1,9})W)?(?:(\d{1,9})D)?(?:T(?=\d)(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,6})?)S)?)?$/;

/** ISO 8601 date and time to the minute or finer, with `Z` or an offset. */
const ZONED_TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d)(?::(\d\d)(?:\.\d{1,9})?)?(Z|[+-]\d\d:?\d\d)$/i;

/** Whole ms of `90s`, `15m`, `1.5h`, `3d`, `2w`, `250ms`, `PT15M` or `P3D`; null if it is no duration. */
export function parseDuration(text: string): number | null {
  const plain = PLAIN_DURATION.exec(text);
  if (plain !== null) {
    const unit = UNITS.find(([name]) => name === plain[2]);
    return unit === undefined ? null : wholeMs(Number(plain[1]) * unit[1]);
  }
  const iso = ISO_DURATION.exec(text);
  if (iso === null) return null;
  const [, weeks = 0, days = 0, hours = 0, minutes = 0, seconds = 0] = iso.map((part) => Number(part ?? 0));
  return wholeMs(
    weeks * WEEK_MS + days * DAY_MS + hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS,
  );
}

/** `ms` (whole, at least 0) in the largest unit that divides it, such as `90s` or `3d`; `parseDuration` reads it back. */
export function formatDuration(ms: number): string {
  if (ms === 0) return '0s';
  for (const [name, length] of UNITS) {
    if (name !== 'w' && ms % length === 0) return `${ms / length}${name}`;
  }
  return `${ms}ms`;
}

/**
 * The ms of an ISO 8601 time of the years 2000 to 9999 (UTC) that names its zone, finer digits cut off; null for
 * anything else, also for 30 February.
 */
export function parseTime(text: string): Ms | null {
  const parts = ZONED_TIME.exec(text);
  if (parts === null) return null;
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = parts
    .slice(1, 7)
    .map((part) => Number(part ?? 0));
  const local = new Date(0);
  local.setUTCFullYear(year, month - 1, day);
  local.setUTCHours(hour, minute, second);
  const rolled =
    local.getUTCMonth() !== month - 1 ||
    local.getUTCDate() !== day ||
    local.getUTCHours() !== hour ||
    local.getUTCMinutes() !== minute ||
    local.getUTCSeconds() !== second;
  if (rolled) return null;
  const at = Date.parse(text.toUpperCase());
  return isTime(at) ? at : null;
}

/** A duration (so long ago, 3660 days at most) or a time with its zone as `parseTime` takes it; null if it is neither. */
export function parseMoment(text: string): Moment | null {
  const agoMs = parseDuration(text);
  if (agoMs !== null) return agoMs <= LONGEST_MS ? { agoMs } : null;
  const atMs = parseTime(text);
  return atMs === null ? null : { atMs };
}

/** The ms that `moment` means at `nowMs`. */
export function resolveMoment(moment: Moment, nowMs: Ms): Ms {
  return 'agoMs' in moment ? nowMs - moment.agoMs : moment.atMs;
}

/**
 * `6h` (up to `nowMs`), `TIME/TIME`, `TIME/DURATION` or `DURATION/TIME`, within the bounds of `parseMoment`; null if it
 * is none, or empty.
 */
export function parseSpan(text: string, nowMs: Ms): Span | null {
  const [first = '', second, ...rest] = text.split('/');
  if (rest.length > 0) return null;
  if (second === undefined) {
    const ago = parseMoment(first);
    return ago === null || 'atMs' in ago || ago.agoMs === 0 ? null : { from: nowMs - ago.agoMs, to: nowMs };
  }
  const from = parseMoment(first);
  const to = parseMoment(second);
  if (from === null || to === null || ('agoMs' in from && 'agoMs' in to)) return null;
  const span = {
    from: 'atMs' in from ? from.atMs : (to as { atMs: Ms }).atMs - from.agoMs,
    to: 'atMs' in to ? to.atMs : (from as { atMs: Ms }).atMs + to.agoMs,
  };
  return span.from < span.to && isTime(span.from) && isTime(span.to) ? span : null;
}

function isTime(ms: number): boolean {
  return ms >= EARLIEST_MS && ms <= LATEST_MS;
}

function wholeMs(ms: number): number | null {
  const whole = Math.round(ms);
  return Number.isSafeInteger(whole) && Math.abs(whole - ms) < 1e-3 && whole / WEEK_MS < 10_000
    ? whole
    : null;
}
