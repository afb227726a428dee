import { sameBytes } from '../bytes.ts';
import { BACKSLASH, INEXACT, KIND, UNICODE } from './tape.ts';

/** Thrown at what is no JSON, or not as any API prints it; caught by `scanPage`. */
export const MALFORMED = new Error('no JSON that can be scanned');
/** Strings up to here are looked through by hand: most are short, and a native search has its price. */
const NEAR = 16;
export const SPACE = 32;
export const QUOTE = 34;
const MINUS = 45;
const DOT = 46;
const ZERO = 48;
const NINE = 57;
const COMMA = 44;
export const COLON = 58;
export const OPEN_ARRAY = 91;
const SLASH = 92;
export const CLOSE_ARRAY = 93;
export const OPEN_OBJECT = 123;
export const CLOSE_OBJECT = 125;
/** What may follow a backslash, but for u. */
const ESCAPES = new Set(Buffer.from('"\\/bfnrt'));
const WORDS = ['true', 'false', 'null'].map((word) => Buffer.from(word));

const MAX_NUMBER = 400;
const MAX_EXPONENT_DIGITS = 3;

/** Reads the tokens of JSON, strictly, one after the other. */
export class Tokens {
  readonly bytes: Buffer;
  /** Where the next token begins. */
  at = 0;
  /** Whether anything was read that only its text can tell. */
  odd = false;
  /** The next backslash, from where it was last looked for. */
  #slash = -1;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  /** Scans a string; gives its flags. */
  string(): number {
    const bytes = this.bytes;
    const from = this.at + 1;
    const near = from + NEAR;
    for (let at = from; at < near; at++) {
      const code = bytes[at];
      if (code === QUOTE) {
        this.at = at + 1;
        return 0;
      }
      if (code === SLASH) return this.#escapes();
    }
    const end = bytes.indexOf(QUOTE, near);
    if (end < 0) throw MALFORMED;
    if (this.#slash < from) this.#slash = placeOf(bytes, SLASH, from);
    if (end < this.#slash) {
      this.at = end + 1;
      return 0;
    }
    return this.#escapes();
  }

  /** A string in which escapes stand; between them everything is as good as in any other. */
  #escapes(): number {
    const bytes = this.bytes;
    let flags = BACKSLASH;
    let at = this.at + 1;
    let end = bytes.indexOf(QUOTE, at);
    for (;;) {
      // Looked for once: as often as there are escapes would take the square of a long string's time.
      if (end >= 0 && end < at) end = bytes.indexOf(QUOTE, at);
      const slash = bytes.indexOf(SLASH, at);
      if (end < 0) throw MALFORMED;
      if (slash < 0 || end < slash) {
        this.at = end + 1;
        return flags;
      }
      const next = bytes[slash + 1] as number;
      at = slash + 2;
      if (next === 117) {
        for (let digit = 0; digit < 4; digit++) if (!isHex(bytes[at + digit])) throw MALFORMED;
        at += 4;
        flags |= UNICODE;
      } else if (!ESCAPES.has(next)) throw MALFORMED;
    }
  }

  /** Scans a number or a word; gives its mark. */
  scalar(): number {
    const code = this.bytes[this.at] as number;
    return code === MINUS || (code >= ZERO && code <= NINE) ? this.#number() : this.#word();
  }

  #number(): number {
    const bytes = this.bytes;
    const from = this.at;
    let at = from;
    if (bytes[at] === MINUS) at += 1;
    const whole = at;
    at = digitsEnd(bytes, at);
    if (at === whole || (bytes[whole] === ZERO && at > whole + 1)) throw MALFORMED;
    const integer = at;
    if (bytes[at] === DOT) {
      at = digitsEnd(bytes, at + 1);
      if (at === integer + 1) throw MALFORMED;
    }
    const fraction = at;
    if (((bytes[at] as number) | 32) === 101) {
      at += 1;
      if (bytes[at] === 43 || bytes[at] === MINUS) at += 1;
      const exponent = at;
      at = digitsEnd(bytes, at);
      if (at === exponent) throw MALFORMED;
      if (at - exponent > MAX_EXPONENT_DIGITS) this.odd = true;
    }
    this.at = at;
    if (at - from > MAX_NUMBER) this.odd = true;
    if (at - from > 15 || at > fraction) return KIND.number | INEXACT;
    const isZero = bytes[whole] === ZERO;
    return at === integer && !(isZero && whole > from) ? KIND.integer : KIND.number;
  }

  #word(): number {
    for (const word of WORDS) {
      if (sameBytes(this.bytes, this.at, word, 0, word.length)) {
        this.at += word.length;
        return KIND.word;
      }
    }
    throw MALFORMED;
  }

  /** After an element: true at the closing bracket, false behind a comma. */
  ends(close: number): boolean {
    this.space();
    const code = this.bytes[this.at];
    this.at += 1;
    if (code === close) return true;
    if (code !== COMMA) throw MALFORMED;
    this.space();
    return false;
  }

  /** Passes over spaces. */
  space(): void {
    const bytes = this.bytes;
    while (bytes[this.at] === SPACE) this.at += 1;
  }
}

/** The next place of a byte; behind the end where there is none. */
function placeOf(bytes: Buffer, code: number, from: number): number {
  const at = bytes.indexOf(code, from);
  return at < 0 ? bytes.length : at;
}

function digitsEnd(bytes: Buffer, from: number): number {
  let at = from;
  for (let code = bytes[at] as number; code >= ZERO && code <= NINE; ) code = bytes[++at] as number;
  return at;
}

function isHex(code: number | undefined): boolean {
  if (code === undefined) return false;
  return (code >= ZERO && code <= NINE) || ((code | 32) >= 97 && (code | 32) <= 102);
}
