import { z } from 'zod';
import {
  DURATION_EXPECTED,
  formatDuration,
  ISO_DURATION,
  MOMENT_EXPECTED,
  PLAIN_DURATION,
  parseDuration,
  parseMoment,
} from '../durations.ts';

// Each kind of value says one phrase, `expected ...`, whatever is wrong with it: the settings' reader puts
// path and value before it. The meta is for the JSON Schema alone (`values`: what the documentation says that it may
// be); the check is the parser's.

const VARIABLE = { pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}' };
const DURATION_PATTERN = `${PLAIN_DURATION.source}|${ISO_DURATION.source}`;

/** A duration of `minMs` to `maxMs`, read into ms. */
export function duration(minMs: number, maxMs: number) {
  const range = `from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
  return z
    .string({ error: DURATION_EXPECTED })
    .meta({ pattern: DURATION_PATTERN, values: `a duration ${range}` })
    .transform((text, context) => {
      const ms = parseDuration(text.trim());
      if (ms !== null && ms >= minMs && ms <= maxMs) return ms;
      return refuse(context, ms === null ? DURATION_EXPECTED : `${DURATION_EXPECTED}, ${range}`);
    });
}

/** `auto`, or a duration of `minMs` to `maxMs` read into ms. */
export function durationOrAuto(minMs: number, maxMs: number) {
  const expected = `${DURATION_EXPECTED}, or auto`;
  const range = `from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`;
  return z
    .string({ error: expected })
    .meta({ pattern: `^auto$|${DURATION_PATTERN}`, values: `auto, or a duration ${range}` })
    .transform((text, context): number | 'auto' => {
      if (text.trim() === 'auto') return 'auto';
      const ms = parseDuration(text.trim());
      if (ms !== null && ms >= minMs && ms <= maxMs) return ms;
      return refuse(context, ms === null ? expected : `${expected}, ${range}`);
    });
}

/** A duration back from now or a time with its zone, read into a `Moment`. */
export function moment() {
  return z
    .string({ error: MOMENT_EXPECTED })
    .meta({ values: 'a duration of at most 3660d, or a time with its zone' })
    .transform((text, context) => parseMoment(text.trim()) ?? refuse(context, MOMENT_EXPECTED));
}

/** A whole number from `min` to `max`; as text too, since `${NAME}` brings text. */
export function wholeNumber(min: number, max: number) {
  const values = `a whole number from ${min} to ${max}`;
  const expected = `expected ${values}`;
  return z
    .union([z.number().meta({ type: 'integer', minimum: min, maximum: max }), z.string().meta(VARIABLE)], {
      error: expected,
    })
    .meta({ values })
    .transform((value, context) => {
      const number =
        typeof value === 'number' ? value : /^\s*\d+\s*$/.test(value) ? Number(value) : Number.NaN;
      return Number.isInteger(number) && number >= min && number <= max ? number : refuse(context, expected);
    });
}

/** A share from 0 to `max` (below 1), written as a number or in percent. */
export function share(max: number) {
  const values = `a share from 0 to ${max}, or from 0% to ${max * 100}%`;
  const expected = `expected ${values}`;
  return z
    .union(
      [
        z.number().meta({ minimum: 0, maximum: max }),
        z.string().meta({ pattern: `^\\d+(\\.\\d+)?%$|${VARIABLE.pattern}` }),
      ],
      { error: expected },
    )
    .meta({ values })
    .transform((value, context) => {
      const parts = typeof value === 'number' ? null : /^\s*(\d+(?:\.\d+)?)\s*(%?)\s*$/.exec(value);
      const part = parts === null ? value : Number(parts[1]) / (parts[2] === '%' ? 100 : 1);
      return typeof part === 'number' && part >= 0 && part <= max ? part : refuse(context, expected);
    });
}

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1e3,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
};
const SIZE = /^(\d{1,12}(?:\.\d{1,3})?)\s?(B|[kKMG]B|[KMG]iB)$/;

/** A size of `min` to `max` bytes such as `64MiB`, read into bytes. */
export function size(min: number, max: number) {
  const range = `from ${Math.ceil(min / 2 ** 10)}KiB to ${Math.floor(max / 2 ** 20)}MiB`;
  const expected = `expected a size such as 64MiB, ${range}`;
  return z
    .string({ error: expected })
    .meta({ pattern: SIZE.source, values: `a size ${range}` })
    .transform((text, context) => {
      const parts = SIZE.exec(text.trim());
      const bytes = Math.floor(Number(parts?.[1]) * (SIZE_UNITS[parts?.[2] ?? ''] ?? Number.NaN));
      return bytes >= min && bytes <= max ? bytes : refuse(context, expected);
    });
}

/** Text that is not empty, white space around it removed; `what` says what it is, with an example. */
export function text(what: string) {
  const expected = `expected ${what}`;
  return z
    .string({ error: expected })
    .meta({ minLength: 1, values: what })
    .transform((value, context) => value.trim() || refuse(context, expected));
}

/** One text or a list of them, read into a list; `what` is said of one, such as `a label`, `list` of many. */
export function oneOrMany(what: string, list = 'a list') {
  const expected = `expected ${what}, or a list of at least one`;
  return z
    .union(
      [z.string().meta({ minLength: 1 }), z.array(z.string().meta({ minLength: 1 })).meta({ minItems: 1 })],
      {
        error: expected,
      },
    )
    .meta({ values: `${what}, or ${list}` })
    .transform((value, context): readonly string[] => {
      const all = (typeof value === 'string' ? [value] : value).map((one) => one.trim());
      return all.length > 0 && !all.includes('') ? [...new Set(all)] : refuse(context, expected);
    });
}

/** A token or key as it goes into a header: white space around it removed, quotes or blanks within refused. */
export function secret(what: string) {
  const expected = `expected ${what}: one word of visible ASCII, without quotes and without "Bearer"`;
  return z
    .string({ error: expected })
    .meta({ minLength: 1, values: what })
    .transform((value, context) => {
      const bare = value.trim();
      return /^[\x21-\x7e]+$/.test(bare) && !/^["'`]|["'`]$/.test(bare) ? bare : refuse(context, expected);
    });
}

/** A part of the paths that come behind an API's address: whoever gives it copied the address of an endpoint. */
const VERSION = /\/v\d+(?:\/|$)/;

/** The address of an API, without a trailing slash: http or https, no user, query, fragment or version. */
export function apiUrl(example: string) {
  const values = `an address such as ${example}`;
  const expected = `expected ${values}, without user, query or fragment, and without /v1 or /v2`;
  return z
    .string({ error: expected })
    .meta({ pattern: '^\\s*https?://', values })
    .transform((value, context) => {
      const url = URL.parse(value.trim());
      const plain =
        url !== null &&
        (url.protocol === 'https:' || url.protocol === 'http:') &&
        `${url.username}${url.password}${url.search}${url.hash}` === '' &&
        !VERSION.test(url.pathname);
      return plain ? `${url.origin}${url.pathname}`.replace(/\/+$/, '') : refuse(context, expected);
    });
}

/** One of `values`, to the letter. */
export function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: `expected ${listed(values)}` }).meta({ values: listed(values) });
}

/** A value that may be left out, then null; writing `null` is refused, as it is mostly a slip of indentation. */
export function optional<T extends z.ZodType>(value: T) {
  return value.optional().transform((found) => (found ?? null) as z.output<T> | null);
}

/** `a, b or c`. */
export function listed(values: readonly string[]): string {
  return values.length < 2 ? values.join() : `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
}

function refuse(context: z.RefinementCtx, expected: string): never {
  context.addIssue({ code: 'custom', message: expected });
  return z.NEVER;
}
