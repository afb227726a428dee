import { isAscii } from 'node:buffer';
import {
  BACKSLASH,
  hasFlag,
  KIND,
  kindOf,
  memberJson,
  memberText,
  type Tape,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { told } from './told.ts';

/** What `told` begins each kind of value with. */
const TAG = { text: 115, number: 110, fields: 102, list: 97 } as const;
const QUOTE = 34;
const COMMA = 44;
const ZERO = 48;
const COLON = 58;
const SEMICOLON = 59;
const OPEN_ARRAY = 91;
const CLOSE_ARRAY = 93;
const OPEN_OBJECT = 123;
const CLOSE_OBJECT = 125;
const FIRST_BYTES = 16 * 1024;
/** One long body is no reason to keep as much for ever. */
const MOST_BYTES = 1024 * 1024;
/** Of so many lengths views are kept. */
const MOST_VIEWS = 1024;

/**
 * Writes what `told` would say of values, straight from where they stand in an answer's bytes: ASCII without escapes.
 * Text that is not so is handed over as what `told` says.
 */
export class ToldBytes {
  #buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #at = 0;
  /** Of the buffer, by length. */
  #views: (Buffer | undefined)[] = new Array(MOST_VIEWS);
  /** Places of an object's names and values, as `headers` finds them. */
  readonly #members: number[] = [];

  clear(): void {
    this.#at = 0;
    if (this.#buffer.length > MOST_BYTES) this.#become(Buffer.allocUnsafeSlow(FIRST_BYTES));
  }

  /** All that was told since `clear`; valid until the next change. */
  get bytes(): Buffer {
    const length = this.#at;
    if (length >= MOST_VIEWS) return this.#buffer.subarray(0, length);
    // To make a view costs more than much of what it is made for.
    const view = this.#views[length] ?? this.#buffer.subarray(0, length);
    this.#views[length] = view;
    return view;
  }

  /** What `told` says of a value; in bytes where it is said often. */
  told(text: string | Buffer): void {
    this.#room(text.length * 3);
    if (typeof text === 'string') this.#at += this.#buffer.write(text, this.#at, 'utf8');
    else this.#copy(text, 0, text.length);
  }

  /** A string of ASCII. */
  text(bytes: Buffer, from: number, to: number): void {
    this.#room(to - from + 16);
    this.#buffer[this.#at++] = TAG.text;
    this.#size(to - from);
    this.#copy(bytes, from, to);
  }

  /** An integer that a double prints as it stands there. */
  integer(bytes: Buffer, from: number, to: number): void {
    this.#room(to - from + 2);
    this.#buffer[this.#at++] = TAG.number;
    this.#copy(bytes, from, to);
    this.#buffer[this.#at++] = SEMICOLON;
  }

  /**
   * An object of lists of one string each, as headers nearly always are. False where it is anything else: nothing was
   * told of it then.
   */
  headers(bytes: Buffer, from: number, to: number): boolean {
    const members = this.#members;
    members.length = 0;
    let at = from + 1;
    if (bytes[from] !== OPEN_OBJECT) return false;
    if (bytes[at] !== CLOSE_OBJECT) {
      for (;;) {
        if (bytes[at] !== QUOTE) return false;
        const nameTo = bytes.indexOf(QUOTE, at + 1);
        if (bytes[nameTo + 1] !== COLON || bytes[nameTo + 2] !== OPEN_ARRAY || bytes[nameTo + 3] !== QUOTE)
          return false;
        const valueTo = bytes.indexOf(QUOTE, nameTo + 4);
        if (bytes[valueTo + 1] !== CLOSE_ARRAY) return false;
        members.push(at + 1, nameTo, nameTo + 4, valueTo);
        at = valueTo + 3;
        if (bytes[valueTo + 2] === CLOSE_OBJECT) break;
        if (bytes[valueTo + 2] !== COMMA) return false;
      }
      if (at !== to) return false;
    } else if (at + 1 !== to) return false;
    this.#room((to - from) * 2 + 64 * members.length + 16);
    this.#buffer[this.#at++] = TAG.fields;
    this.#size(members.length / 4);
    this.#tellSorted(bytes);
    return true;
  }

  #tellSorted(bytes: Buffer): void {
    const members = this.#members;
    for (let told = 0; told < members.length; told += 4) {
      // An object of very many names is odd and never comes here, so the least of the rest is looked for; ASCII sorts as its bytes do.
      let least = told;
      for (let other = told + 4; other < members.length; other += 4)
        if (isLess(bytes, members, other, least)) least = other;
      if (least !== told) swap(members, told, least);
      this.text(bytes, members[told] as number, members[told + 1] as number);
      this.#room(8);
      this.#buffer[this.#at++] = TAG.list;
      this.#size(1);
      this.text(bytes, members[told + 2] as number, members[told + 3] as number);
    }
  }

  /** A count and its colon. */
  #size(size: number): void {
    let digits = 1;
    for (let rest = size; rest >= 10; rest = (rest / 10) | 0) digits += 1;
    let rest = size;
    for (let at = this.#at + digits - 1; at >= this.#at; at--) {
      this.#buffer[at] = ZERO + (rest % 10);
      rest = (rest / 10) | 0;
    }
    this.#at += digits;
    this.#buffer[this.#at++] = COLON;
  }

  #copy(bytes: Buffer, from: number, to: number): void {
    const buffer = this.#buffer;
    if (to - from > 32) {
      this.#at += bytes.copy(buffer, this.#at, from, to);
      return;
    }
    // A native call costs more than a few bytes do.
    for (let at = from; at < to; at++) buffer[this.#at++] = bytes[at] as number;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#become(grown);
  }

  #become(buffer: Buffer<ArrayBuffer>): void {
    this.#buffer = buffer;
    this.#views = new Array(MOST_VIEWS);
  }
}

/** Says what `told` says of a member that is not odd. */
export function tellMember(content: ToldBytes, tape: Tape, member: number): void {
  const { bytes } = tape;
  const kind = kindOf(tape, member);
  const from = valueFrom(tape, member);
  const to = valueTo(tape, member);
  const ascii = tape.encoding === 'latin1' || isAscii(bytes.subarray(from, to));
  if (kind === KIND.integer) content.integer(bytes, from, to);
  else if (kind === KIND.text && ascii) content.text(bytes, from, to);
  else if (kind <= KIND.escaped) content.told(told(memberText(tape, member), undefined));
  else if (!ascii || hasFlag(tape, member, BACKSLASH) || !content.headers(bytes, from, to))
    content.told(told(JSON.parse(memberJson(tape, member)), undefined));
}

function isLess(bytes: Buffer, members: readonly number[], a: number, b: number): boolean {
  const aFrom = members[a] as number;
  const bFrom = members[b] as number;
  const aLength = (members[a + 1] as number) - aFrom;
  const bLength = (members[b + 1] as number) - bFrom;
  const length = Math.min(aLength, bLength);
  for (let at = 0; at < length; at++) {
    const order = (bytes[aFrom + at] as number) - (bytes[bFrom + at] as number);
    if (order !== 0) return order < 0;
  }
  return aLength < bLength;
}

function swap(members: number[], a: number, b: number): void {
  for (let at = 0; at < 4; at++) {
    const kept = members[a + at] as number;
    members[a + at] = members[b + at] as number;
    members[b + at] = kept;
  }
}
