import { isPlainJson } from './escape.ts';
import {
  canonicalNumber,
  elementTexts,
  fieldTexts,
  inspect,
  MAX_DEPTH,
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
  /**
   * True: long integers in `value` may stand as strings with a mark before their digits, and `unmark` takes the
   * marks out of what `JSON.stringify` prints. Only where marks were asked for.
   */
  readonly marked?: boolean;
  /** True: no string in it needs escaping for Postgres. False: not known. */
  readonly plain: boolean;
}

/** One answer: all of it, and the entries under the one of `keys` that holds an array. */
export interface Envelope {
  readonly envelope: Readonly<Record<string, unknown>>;
  /** Null when the answer is no object, or none of the keys holds an array, or the key is repeated. */
  readonly key: string | null;
  readonly entries: readonly RawEntry[];
}

/**
 * Parses one answer, natively and once. That its values say all that its text said is shown for the whole page
 * by printing it again; where that differs, entry by entry. Throws SyntaxError on text that is not JSON.
 */
export function parseEnvelope(
  text: string,
  keys: readonly string[],
  options: { readonly marks?: boolean } = {},
): Envelope {
  const marked = options.marks === true ? parseMarked(text, keys) : null;
  if (marked !== null) return marked;
  const parsed: unknown = JSON.parse(text);
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { envelope: {}, key: null, entries: [] };
  }
  const envelope = parsed as Record<string, unknown>;
  const key = keys.find((name) => Object.hasOwn(envelope, name) && Array.isArray(envelope[name]));
  if (key === undefined) return { envelope, key: null, entries: [] };
  const values = envelope[key] as unknown[];
  const plain = isPlainJson(text);
  if (values.every(isShallow) && prints(envelope, text)) {
    return { envelope, key, entries: values.map((value) => ({ value, text: null, marked: false, plain })) };
  }
  const arrays = fieldTexts(text).get(key) ?? [];
  if (arrays.length !== 1) return { envelope, key: null, entries: [] };
  const texts = elementTexts(arrays[0] ?? '');
  return {
    envelope,
    key,
    entries: values.map((value, index) => {
      const slice = texts[index] ?? '';
      const exact = isShallow(value) && (prints(value, slice) || inspect(slice).exact);
      return { value, text: exact ? null : slice, marked: false, plain };
    }),
  };
}

/** No service sends this private character; a page that holds it is read without marks. */
const MARK = '\uE0FF';
/** An integer that may be beyond a double. Inside a string the mark's quotes make no JSON, so that none is changed. */
const LONG_INTEGER = /([:[,])(-?[1-9]\d{15,399})(?=[,}\]])/g;
const MARKED = new RegExp(`"${MARK}(-?\\d+)"`, 'g');

/** `json`, printed from a marked value, with the long integers as they came. */
export function unmark(json: string): string {
  return json.includes(MARK) ? json.replace(MARKED, '$1') : json;
}

/** Whether a marked value is, or as an array holds, a long integer; nested ones are not looked for. */
export function isMark(value: unknown): boolean {
  if (typeof value === 'string') return value.startsWith(MARK);
  return Array.isArray(value) && value.some((item) => typeof item === 'string' && item.startsWith(MARK));
}

/** The entry without marks, for who wants every field's own text. */
export function withoutMarks(entry: RawEntry): RawEntry {
  if (entry.marked !== true) return entry;
  const text = unmark(JSON.stringify(entry.value));
  return { value: JSON.parse(text), text, marked: false, plain: entry.plain };
}

/**
 * The page with its long integers read as marked strings: ids of traces are such integers and stand in every
 * entry, and the scanner costs ten times what this does. Printed and unmarked it must give the text again, which
 * proves the whole page; null where it does not, or where there is no such integer.
 */
function parseMarked(text: string, keys: readonly string[]): Envelope | null {
  if (text.includes(MARK)) return null;
  const marked = text.replace(LONG_INTEGER, `$1"${MARK}$2"`);
  if (marked === text) return null;
  let envelope: Record<string, unknown>;
  try {
    envelope = JSON.parse(marked);
  } catch (error) {
    if (error instanceof SyntaxError) return null;
    throw error;
  }
  const key = keys.find((name) => Object.hasOwn(envelope, name) && Array.isArray(envelope[name]));
  if (key === undefined) return null;
  const values = envelope[key] as unknown[];
  const frame = JSON.stringify({ ...envelope, [key]: [] });
  if (frame.includes(MARK) || !values.every(isShallow) || !says(unmark(JSON.stringify(envelope)), text))
    return null;
  const plain = isPlainJson(text);
  return { envelope, key, entries: values.map((value) => ({ value, text: null, marked: true, plain })) };
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
      const item = JSON.stringify(JSON.parse(text.slice(at, end)));
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
