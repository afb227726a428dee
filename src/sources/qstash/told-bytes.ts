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
import { HEADER, HeaderPlaces } from './header-places.ts';
import { told } from './told.ts';

/** What `told` begins each kind of value with. */
const TAG = { text: 115, number: 110, fields: 102, list: 97 } as const;
const ZERO = 48;
const COLON = 58;
const SEMICOLON = 59;
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
  readonly #headers = new HeaderPlaces();

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

  /** Headers as `HeaderPlaces` finds them. False where they are anything else: nothing was told of them then. */
  headers(bytes: Buffer, from: number, to: number): boolean {
    const headers = this.#headers;
    if (!headers.find(bytes, from, to)) return false;
    this.#room((to - from) * 2 + 256 * headers.length + 16);
    this.#buffer[this.#at++] = TAG.fields;
    this.#size(headers.length);
    const { places } = headers;
    for (let header = 0; header < headers.length; header += 1) {
      // An object of very many names is odd and never comes here, so the least of the rest is looked for.
      headers.putLeast(bytes, header);
      const at = header * HEADER;
      this.text(bytes, places[at] as number, places[at + 1] as number);
      this.#room(8);
      this.#buffer[this.#at++] = TAG.list;
      this.#size(1);
      this.text(bytes, places[at + 2] as number, places[at + 3] as number);
    }
    return true;
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
