/** Nesting deeper than this is kept as raw text: neither `JSON.stringify` nor Postgres is asked to recurse so far. */
export const MAX_DEPTH = 500;

/** Longer numbers, or exponents beyond it, are not given to Postgres, whose numeric would spell them out. */
const MAX_DIGITS = 1000;

const QUOTE = 34;
const COMMA = 44;
const COLON = 58;
const OPEN_ARRAY = 91;
const BACKSLASH = 92;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;

/** How a JSON text can be kept. */
export interface Fidelity {
  /** `JSON.stringify(JSON.parse(text))` says the same: no number, key or level is lost. */
  readonly exact: boolean;
  /** Postgres jsonb can hold it: no duplicate key, no absurd number, nesting within MAX_DEPTH. */
  readonly storable: boolean;
}

/** How faithfully others can hold `text`, which must be valid JSON. Does not recurse. */
export function inspect(text: string): Fidelity {
  let exact = true;
  let storable = true;
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = stringEnd(text, at);
      const next = skipSpace(text, end);
      if (text.charCodeAt(next) === COLON) {
        const keys = open[open.length - 1];
        const key = stringValue(text, at, end);
        if (keys?.has(key)) return { exact: false, storable: false };
        keys?.add(key);
        // V8 (Node 26) may read such a key as a backslash, once it has seen that one in the same place.
        if (key.length === 1 && end - at > 3) exact = false;
      }
      at = next;
    } else if (code === OPEN_OBJECT || code === OPEN_ARRAY) {
      open.push(code === OPEN_OBJECT ? new Set() : null);
      if (open.length > MAX_DEPTH) return { exact: false, storable: false };
      at += 1;
    } else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      open.pop();
      at += 1;
    } else if (code === 45 || (code >= 48 && code <= 57)) {
      const end = scalarEnd(text, at);
      // Up to 15 significant digits a double always gives back.
      if (end - at > 15 || hasExponent(text, at, end)) {
        const token = text.slice(at, end);
        if (exact && !printsBack(token)) exact = false;
        if (storable && !isModest(token)) storable = false;
      }
      at = end;
    } else {
      at += 1;
    }
  }
  return { exact, storable };
}

/** `text`, which must be valid JSON, with each number that a double does not give back in quotes. Does not recurse. */
export function quoteInexact(text: string): string {
  let quoted = '';
  let copied = 0;
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
    } else if (code === 45 || (code >= 48 && code <= 57)) {
      const end = scalarEnd(text, at);
      const token = text.slice(at, end);
      if (!printsBack(token)) {
        quoted += `${text.slice(copied, at)}"${token}"`;
        copied = end;
      }
      at = end;
    } else {
      at += 1;
    }
  }
  return quoted + text.slice(copied);
}

/** The first name that any object of `text`, which must be valid JSON, has twice; null: none. Does not recurse. */
export function repeatedName(text: string): string | null {
  const open: (Set<string> | null)[] = [];
  for (let at = 0; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code !== QUOTE) {
      if (code === OPEN_OBJECT || code === OPEN_ARRAY) open.push(code === OPEN_OBJECT ? new Set() : null);
      else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) open.pop();
      at += 1;
      continue;
    }
    const end = stringEnd(text, at);
    const next = skipSpace(text, end);
    if (text.charCodeAt(next) === COLON) {
      const names = open[open.length - 1];
      const name = stringValue(text, at, end);
      if (names?.has(name)) return name;
      names?.add(name);
    }
    at = next;
  }
  return null;
}

/** The raw texts of an object's top-level fields by name, in order; more than one where a name is repeated. */
export function fieldTexts(text: string): Map<string, string[]> {
  const fields = new Map<string, string[]>();
  let at = skipSpace(text, 0);
  if (text.charCodeAt(at) !== OPEN_OBJECT) return fields;
  at = skipSpace(text, at + 1);
  while (text.charCodeAt(at) === QUOTE) {
    const nameEnd = stringEnd(text, at);
    const name = stringValue(text, at, nameEnd);
    const start = skipSpace(text, skipSpace(text, nameEnd) + 1);
    const end = valueEnd(text, start);
    const known = fields.get(name);
    if (known === undefined) fields.set(name, [text.slice(start, end)]);
    else known.push(text.slice(start, end));
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return fields;
}

/** The raw texts of an array's elements. */
export function elementTexts(text: string): string[] {
  const elements: string[] = [];
  let at = skipSpace(text, skipSpace(text, 0) + 1);
  while (at < text.length && text.charCodeAt(at) !== CLOSE_ARRAY) {
    const end = valueEnd(text, at);
    elements.push(text.slice(at, end));
    at = skipSpace(text, end);
    if (text.charCodeAt(at) === COMMA) at = skipSpace(text, at + 1);
  }
  return elements;
}

/** Where the value that begins at `start` ends (exclusive). Does not recurse. */
export function valueEnd(text: string, start: number): number {
  const first = text.charCodeAt(start);
  if (first === QUOTE) return stringEnd(text, start);
  if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) return scalarEnd(text, start);
  let depth = 0;
  for (let at = start; at < text.length; ) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = stringEnd(text, at);
      continue;
    }
    at += 1;
    if (code === OPEN_OBJECT || code === OPEN_ARRAY) depth += 1;
    else if (code === CLOSE_OBJECT || code === CLOSE_ARRAY) {
      depth -= 1;
      if (depth === 0) return at;
    }
  }
  return text.length;
}

/** Where the string that begins with the quote at `start` ends, its closing quote included. */
export function stringEnd(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at >= 0; at = text.indexOf('"', at + 1)) {
    let slashes = 0;
    while (text.charCodeAt(at - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return at + 1;
  }
  return text.length;
}

/** What the string between `start` and `end` (quotes included) says. */
export function stringValue(text: string, start: number, end: number): string {
  const bare = text.slice(start + 1, end - 1);
  return bare.includes('\\') ? (JSON.parse(text.slice(start, end)) as string) : bare;
}

/** The next place at or after `at` that is not white space. */
export function skipSpace(text: string, start: number): number {
  let at = start;
  for (let code = text.charCodeAt(at); code === 32 || (code >= 9 && code <= 13); )
    code = text.charCodeAt(++at);
  return at;
}

/** One spelling for each decimal value: sign, digits without zeros at either end, exponent. */
export function canonicalNumber(token: string): string {
  const parts = /^(-?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(token);
  if (parts === null) return token;
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = parts;
  const digits = `${whole}${fraction}`.replace(/^0+/, '');
  let last = digits.length;
  while (last > 0 && digits.charCodeAt(last - 1) === 48) last -= 1;
  if (last === 0) return '0';
  return `${sign}${digits.slice(0, last)}e${BigInt(exponent) - BigInt(fraction.length) + BigInt(digits.length - last)}`;
}

function scalarEnd(text: string, start: number): number {
  let at = start;
  for (; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === COMMA || code === CLOSE_OBJECT || code === CLOSE_ARRAY || code <= 32) break;
  }
  return at;
}

function hasExponent(text: string, start: number, end: number): boolean {
  for (let at = start; at < end; at += 1) {
    const code = text.charCodeAt(at);
    if (code === 101 || code === 69) return true;
  }
  return false;
}

function printsBack(token: string): boolean {
  const printed = String(Number(token));
  return printed === token || canonicalNumber(printed) === canonicalNumber(token);
}

function isModest(token: string): boolean {
  if (token.length > MAX_DIGITS) return false;
  const exponent = /[eE]([+-]?\d+)$/.exec(token);
  return exponent === null || Math.abs(Number(exponent[1])) <= MAX_DIGITS;
}
