import type { Ms } from '../../model.ts';

const RFC_3339 = /^(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$/;
const MINUTE_CHARS = 17;
const CANONICAL_CHARS = 24;

/** Reads timestamps; fast where they lie within a minute of each other. */
export interface TimestampReader {
  /** Ms of `YYYY-MM-DDTHH:mm:ss.SSSZ`, which `toISOString` gives back to the letter; else NaN. */
  canonical(text: string): Ms;
  /** Ms (rounded down) of any RFC 3339 timestamp; else NaN. */
  loose(text: string): Ms;
}

/** A reader with a memory of one minute. */
export function createTimestampReader(): TimestampReader {
  let minute = '';
  let minuteMs = Number.NaN;
  return {
    canonical(text) {
      if (text.length !== CANONICAL_CHARS || text[19] !== '.' || text[23] !== 'Z') return Number.NaN;
      if (minute === '' || !text.startsWith(minute)) {
        const ms = Date.parse(`${text.slice(0, MINUTE_CHARS)}00.000Z`);
        if (Number.isNaN(ms)) return Number.NaN;
        const start = new Date(ms).toISOString().slice(0, MINUTE_CHARS);
        if (!text.startsWith(start)) return Number.NaN;
        minute = start;
        minuteMs = ms;
      }
      const seconds = digit(text, 17) * 10 + digit(text, 18);
      const ms = digit(text, 20) * 100 + digit(text, 21) * 10 + digit(text, 22);
      return seconds < 60 ? minuteMs + seconds * 1000 + ms : Number.NaN;
    },
    loose(text) {
      const [, day = '', time = '', fraction = '', zone = ''] = RFC_3339.exec(text) ?? [];
      // Date.parse rolls 30 February over into March, and takes 24:00.
      const midnight = Date.parse(`${day}T00:00:00.000Z`);
      if (Number.isNaN(midnight) || !new Date(midnight).toISOString().startsWith(day)) return Number.NaN;
      return time.startsWith('24')
        ? Number.NaN
        : Date.parse(`${day}T${time}${fraction.slice(0, 4)}${zone.toUpperCase()}`);
    },
  };
}

function digit(text: string, at: number): number {
  const value = text.charCodeAt(at) - 48;
  return value >= 0 && value <= 9 ? value : Number.NaN;
}
