import type { Ms } from '../../model.ts';

const UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/**
 * A time as Datadog takes it, in ms: RFC 3339 with an offset, ms since the epoch, `now`, `now-2h`, `now - 1h`.
 * Null if it is none of these.
 */
export function readTime(value: unknown, nowMs: Ms): Ms | null {
  if (typeof value === 'number') return Number.isFinite(value) ? Math.floor(value) : null;
  if (typeof value !== 'string') return null;
  const text = value.trim();
  if (/^\d{9,16}$/.test(text)) return Number(text);
  if (text === 'now') return nowMs;
  const relative = /^now\s*([+-])\s*(\d+)\s*(ms|s|m|h|d|w)$/.exec(text);
  if (relative !== null) {
    return nowMs + (relative[1] === '-' ? -1 : 1) * Number(relative[2]) * (UNITS[relative[3] ?? ''] ?? 0);
  }
  if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)$/i.test(text)) return null;
  const ms = Date.parse(text.replace(/(\.\d{3})\d+/, '$1'));
  return Number.isNaN(ms) ? null : ms;
}
