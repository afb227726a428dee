import { isPlainJson } from './escape.ts';
import {
  canonicalNumber,
  elementTexts,
  fieldTexts,
  inspect,
  MAX_DEPTH,
  quoteInexact,
  repeatedName,
  skipSpace,
  stringEnd,
  valueEnd,
} from './json-scan.ts';

/** One entry as it came. */
export interface RawEntry {
  readonly value: unknown;
  /**
   * Null: `JSON.stringify(value)` is the entry exactly (numbers by decimal value, key order free). Else the
   * slice of the answer, because the value alone would lie: a number that no double holds, a repeated key,
   * or nesting deeper than MAX_DEPTH.
   */
  readonly text: string | null;
  /** True: no string in it needs escaping for Postgres. False: not known. */
  readonly plain: boolean;
}

/** One answer: all of it, and the entries under the one of `keys` that says anything. */
export interface Envelope {
  readonly envelope: Readonly<Record<string, unknown>>;
  /**
   * Null when the answer is no object, or not exactly one of the keys says anything (null says nothing), or that is no
   * array, or a name is repeated.
   */
  readonly key: string | null;
  readonly entries: readonly RawEntry[];
  /** A name that the answer, or anything in it but its entries, says twice: which value counts is not known. */
  readonly repeated: string | null;
}

/**
 * Parses one answer, natively and once. That its values say all that its text said is shown for the whole page
 * by printing it again; where that differs, entry by entry. Throws SyntaxError on text that is not JSON.
 */
export function parseEnvelope(text: string, keys: readonly string[]): Envelope {
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { envelope: {}, key: null, entries: [], repeated: null };
  }
  const envelope = parsed as Record<string, unknown>;
  const said = keys.filter((name) => Object.hasOwn(envelope, name) && envelope[name] !== null);
  const key = said[0] ?? '';
  const values = envelope[key];
  if (said.length !== 1 || !Array.isArray(values))
    return { envelope, key: null, entries: [], repeated: null };
  const plain = isPlainJson(text);
  if (values.every(isShallow) && prints(envelope, text)) {
    const entries = values.map((value: unknown) => ({ value, text: null, plain }));
    return { envelope, key, entries, repeated: null };
  }
  const fields = fieldTexts(text);
  const repeated = repeatedBeside(fields, key);
  if (repeated !== null) return { envelope, key: null, entries: [], repeated };
  const texts = elementTexts(fields.get(key)?.[0] ?? '');
  return {
    envelope,
    key,
    entries: values.map((value: unknown, index) => {
      const slice = texts[index] ?? '';
      const exact = isShallow(value) && (prints(value, slice) || inspect(slice).exact);
      return { value, text: exact ? null : slice, plain };
    }),
    repeated: null,
  };
}

/** A name that an object's fields, or anything in them but the entries under `key`, say twice; null: none. */
function repeatedBeside(fields: ReadonlyMap<string, readonly string[]>, key: string): string | null {
  for (const [name, [text = '', ...more]] of fields) {
    if (more.length > 0) return name;
    const within = name === key ? null : repeatedName(text);
    if (within !== null) return within;
  }
  return null;
}

/** A number that a double may not give back: up to 15 digits without an exponent it always does. */
const LONG_NUMBER = /(?:^|[\s:,[])-?(?:[\d.]{16}|[\d.]{1,15}[eE])/;

/** What `JSON.parse` makes of `text`, but each number that a double does not give back is its text. */
export function parseExactly(text: string): unknown {
  return JSON.parse(LONG_NUMBER.test(text) ? quoteInexact(text) : text);
}

/** Whether two JSON texts say the same: numbers by exact decimal value, key order free, repeated keys in order. */
export function equalJson(a: string, b: string): boolean {
  return a === b || canonicalJson(a) === canonicalJson(b);
}

/** One spelling for all JSON texts that say the same. Does not recurse; `text` must be valid JSON. */
export function canonicalJson(text: string): string {
  const open: Frame[] = [];
  let result = '';
  const take = (item: string) => {
    const top = open.at(-1);
    if (top === undefined) result = item;
    else top.items.push(top.keys === null ? item : `${top.key}:${item}`);
    if (top?.keys) top.keys.push(top.key);
  };
  for (let at = skipSpace(text, 0); at < text.length; at = skipSpace(text, at)) {
    const mark = text[at];
    if (mark === '"') {
      const end = stringEnd(text, at);
      const said = text.slice(at, end);
      // Printing escapes nothing else of what stands unescaped.
      const plain = !said.includes('\\') && said.isWellFormed();
      const item = plain ? said : JSON.stringify(JSON.parse(said));
      const top = open.at(-1);
      at = skipSpace(text, end);
      if (top?.keys && text[at] === ':') top.key = item;
      else take(item);
    } else if (mark === '{' || mark === '[') {
      open.push({ keys: mark === '{' ? [] : null, items: [], key: '' });
      at += 1;
    } else if (mark === '}' || mark === ']') {
      const done = open.pop();
      at += 1;
      if (done !== undefined) take(closed(done));
    } else if (mark === ',' || mark === ':') {
      at += 1;
    } else {
      const end = valueEnd(text, at);
      take(canonicalNumber(text.slice(at, end)));
      at = end;
    }
  }
  return result;
}

interface Frame {
  /** Null in an array. */
  readonly keys: string[] | null;
  readonly items: string[];
  key: string;
}

/** Members in the order of their names; those of one name stay in the order they came in. */
function closed({ keys, items }: Frame): string {
  if (keys === null) return `[${items.join()}]`;
  const order = items.map((_, index) => index);
  order.sort((a, b) => {
    const [left = '', right = ''] = [keys[a], keys[b]];
    return left < right ? -1 : left > right ? 1 : a - b;
  });
  return `{${order.map((index) => items[index]).join()}}`;
}

/** Go writes `<`, `>` and `&` as escapes: the only ones that print back otherwise and are common. */
const HTML_ESCAPES: readonly (readonly [string, string])[] = [
  ['\\u0026', '&'],
  ['\\u003c', '<'],
  ['\\u003e', '>'],
];

/** Whether printing `value` gives `text` again, which proves that parsing lost nothing. */
function prints(value: unknown, text: string): boolean {
  let printed: string;
  try {
    printed = JSON.stringify(value);
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
  return says(printed, text);
}

function says(printed: string, text: string): boolean {
  if (printed === text) return true;
  if (printed.length > text.length) return false;
  let plain = text.trimEnd();
  if (plain.includes('\\u00')) {
    for (const [spelling, mark] of HTML_ESCAPES) plain = plain.replaceAll(spelling, mark);
  }
  return printed === plain;
}

function isShallow(value: unknown): boolean {
  return !deeperThan(value, MAX_DEPTH);
}

function deeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index += 1) {
      const item: unknown = value[index];
      if (typeof item === 'object' && deeperThan(item, levels - 1)) return true;
    }
    return false;
  }
  const fields = value as Record<string, unknown>;
  for (const name in fields) {
    const field = fields[name];
    if (typeof field === 'object' && deeperThan(field, levels - 1)) return true;
  }
  return false;
}
