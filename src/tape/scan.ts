import { isAscii, isUtf8 } from 'node:buffer';
import { sameBytes } from '../bytes.ts';
import { IntList, SPARE } from './int-list.ts';
import { ENTRY, FLAGS, KIND, MEMBER, type Tape } from './tape.ts';
import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COLON,
  MALFORMED,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
  SPACE,
  Tokens,
} from './tokens.ts';

const MAX_DEPTH = 200;
const MAX_NAMES = 256;
/** Integers of a name: hash, from and to. */
const NAME = 3;
/** What null begins with, and nothing else that is JSON. */
const NULL = 110;
const PRIVATE = Buffer.from('\ue000');

/** An answer's envelope with an empty array in place of its entries, and these. */
export interface Scanned {
  readonly envelope: Readonly<Record<string, unknown>>;
  readonly tape: Tape;
}

/**
 * Scans one answer strictly. Null where it is anything but a JSON object of which one of `keys` is an array of objects,
 * and the others are absent or null: the caller then reads it by slower and more patient means, which also find the words for what is
 * wrong. The members of the entry's object named `container` are put down too.
 */
export function scanPage(bytes: Buffer, keys: readonly string[], container: string | null): Scanned | null {
  if (bytes[0] !== OPEN_OBJECT) return null;
  const ascii = isAscii(bytes);
  if (!ascii && (!isUtf8(bytes) || bytes.includes(PRIVATE))) return null;
  if (hasControls(bytes)) return null;
  const scanner = new Scanner(bytes, container);
  try {
    const place = scanner.page(keys.map((key) => Buffer.from(key)));
    if (place === null) return null;
    const frame = `${bytes.toString('utf8', 0, place.from)}[]${bytes.toString('utf8', place.to)}`;
    const { entries, members } = scanner;
    return {
      envelope: JSON.parse(frame),
      tape: {
        bytes,
        length: place.length,
        encoding: ascii ? 'latin1' : 'utf8',
        entries: entries.data,
        members: members.data,
      },
    };
  } catch (error) {
    if (error === MALFORMED || error instanceof SyntaxError) return null;
    throw error;
  } finally {
    scanner.close();
  }
}

/** Where the array of entries stands, brackets included, and how many there are. */
type Place = { readonly from: number; readonly to: number; readonly length: number };

class Scanner extends Tokens {
  readonly entries = new IntList(SPARE.short);
  readonly members = new IntList(SPARE.long);
  readonly #container: Buffer | null;
  /** Members of the entry's container, until the entry's own are all put down. */
  readonly #inner = new IntList(SPARE.short);
  /** Names of the objects that are open. */
  readonly #names = new IntList(SPARE.short);

  constructor(bytes: Buffer, container: string | null) {
    super(bytes);
    this.#container = container === null ? null : Buffer.from(container);
  }

  /** Scans everything; says where the array of entries stands, and how many there are. */
  page(keys: readonly Buffer[]): Place | null {
    const { bytes } = this;
    let place: Place | null = null;
    this.at = 1;
    this.space();
    if (bytes[this.at] === CLOSE_OBJECT) return null;
    for (let mask = 0; ; ) {
      mask = this.#name(0, mask);
      // A key that repeats or is escaped, in the envelope, may be the one that counts.
      if (this.odd) return null;
      if (bytes[this.at] !== NULL && keys.some((key) => this.#isNamed(key))) {
        if (place !== null || bytes[this.at] !== OPEN_ARRAY) return null;
        const from = this.at;
        const length = this.#list();
        if (length < 0) return null;
        place = { from, to: this.at, length };
      } else this.#value(1);
      if (this.odd) return null;
      if (this.ends(CLOSE_OBJECT)) break;
    }
    this.space();
    return this.at === bytes.length ? place : null;
  }

  /** Gives the lists back that only the scan needed. */
  close(): void {
    SPARE.short.giveBack(this.#inner.data);
    SPARE.short.giveBack(this.#names.data);
  }

  /** The array of entries; -1 where one of them is no object. */
  #list(): number {
    this.at += 1;
    this.space();
    if (this.bytes[this.at] === CLOSE_ARRAY) {
      this.at += 1;
      return 0;
    }
    for (let length = 1; ; length++) {
      if (this.bytes[this.at] !== OPEN_OBJECT) return -1;
      this.#entry();
      if (this.ends(CLOSE_ARRAY)) return length;
    }
  }

  #entry(): void {
    const { entries, members } = this;
    const inner = this.#inner;
    const from = this.at;
    const first = members.length / MEMBER;
    inner.length = 0;
    this.odd = false;
    this.#object(2, members);
    const last = members.length / MEMBER;
    if (inner.length > 0) members.append(inner);
    entries.room(ENTRY);
    const { data } = entries;
    let at = entries.length;
    data[at++] = from;
    data[at++] = this.at;
    data[at++] = first;
    data[at++] = last;
    data[at++] = last;
    data[at++] = members.length / MEMBER;
    data[at++] = this.odd ? 1 : 0;
    entries.length = at;
    this.odd = false;
  }

  /** Scans a value and gives its mark. */
  #value(depth: number): number {
    switch (this.bytes[this.at]) {
      case QUOTE: {
        const flags = this.string();
        return flags === 0 ? KIND.text : KIND.escaped | flags;
      }
      case OPEN_OBJECT:
        return this.#object(depth, null);
      case OPEN_ARRAY:
        return this.#array(depth);
      default:
        return this.scalar();
    }
  }

  /** Scans an object and puts its members down in `list`. */
  #object(depth: number, list: IntList | null): number {
    if (depth > MAX_DEPTH) throw MALFORMED;
    const { bytes } = this;
    const base = this.#names.length;
    let mark: number = KIND.object;
    this.at += 1;
    this.space();
    if (bytes[this.at] === CLOSE_OBJECT) {
      this.at += 1;
      return mark;
    }
    for (let mask = 0; ; ) {
      mask = this.#name(base, mask);
      mark |= (list === null ? this.#value(depth + 1) : this.#member(depth, list)) & FLAGS;
      if (this.ends(CLOSE_OBJECT)) break;
    }
    this.#names.length = base;
    return mark;
  }

  #member(depth: number, list: IntList): number {
    const names = this.#names;
    const nameAt = names.length - NAME;
    const from = this.at;
    const first = this.bytes[from];
    const holds = first === OPEN_OBJECT && list === this.members && this.#container !== null;
    const mark =
      holds && this.#isNamed(this.#container as Buffer)
        ? this.#object(depth + 1, this.#inner)
        : this.#value(depth + 1);
    const quotes = first === QUOTE ? 1 : 0;
    list.room(MEMBER);
    const { data } = list;
    let at = list.length;
    data[at++] = names.data[nameAt + 1] as number;
    data[at++] = names.data[nameAt + 2] as number;
    data[at++] = from + quotes;
    data[at++] = this.at - quotes;
    data[at++] = mark;
    list.length = at;
    return mark;
  }

  #array(depth: number): number {
    if (depth > MAX_DEPTH) throw MALFORMED;
    let mark: number = KIND.array;
    this.at += 1;
    this.space();
    if (this.bytes[this.at] === CLOSE_ARRAY) {
      this.at += 1;
      return mark;
    }
    for (;;) {
      mark |= this.#value(depth + 1) & FLAGS;
      if (this.ends(CLOSE_ARRAY)) return mark;
    }
  }

  /**
   * Scans a name and its colon, up to the value; `mask` tells which hashes the object has already. What may be a
   * name twice is looked at in full, and makes the entry odd.
   */
  #name(base: number, mask: number): number {
    const { bytes } = this;
    if (bytes[this.at] !== QUOTE) throw MALFORMED;
    const from = this.at + 1;
    if (this.string() !== 0) this.odd = true;
    const to = this.at - 1;
    // Not all bytes: who makes names collide makes us compare them, and no more than MAX_NAMES of an object.
    const hash = Math.imul(
      (to - from) ^
        ((bytes[from] as number) << 6) ^
        ((bytes[to - 1] as number) << 12) ^
        ((bytes[(from + to) >> 1] as number) << 18),
      0x9e3779b1,
    );
    const bit = 1 << (hash >>> 27);
    if ((mask & bit) !== 0) this.#compare(base, hash, from, to);
    const names = this.#names;
    names.room(NAME);
    const { data } = names;
    data[names.length++] = hash;
    data[names.length++] = from;
    data[names.length++] = to;
    if (names.length - base > MAX_NAMES * NAME) this.odd = true;
    this.space();
    if (bytes[this.at] !== COLON) throw MALFORMED;
    this.at += 1;
    this.space();
    return mask | bit;
  }

  #compare(base: number, hash: number, from: number, to: number): void {
    const { data, length } = this.#names;
    // Beyond that the object is odd anyway, and comparing each with each would take for ever.
    const end = Math.min(length, base + MAX_NAMES * NAME);
    for (let at = base; at < end; at += NAME) {
      const start = data[at + 1] as number;
      const same =
        data[at] === hash &&
        (data[at + 2] as number) - start === to - from &&
        sameBytes(this.bytes, start, this.bytes, from, to - from);
      if (same) this.odd = true;
    }
  }

  /** Whether the name that was scanned last is this one. */
  #isNamed(name: Buffer): boolean {
    const { data, length } = this.#names;
    const from = data[length - 2] as number;
    const size = (data[length - 1] as number) - from;
    return name.length === size && sameBytes(this.bytes, from, name, 0, size);
  }
}

/** Whether any byte is below a space: none may stand in a string, and no API prints its answers over lines. */
function hasControls(bytes: Buffer): boolean {
  let at = 0;
  if (bytes.byteOffset % 4 === 0) {
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    for (let index = 0; index < words.length; index++) {
      const word = words[index] as number;
      if (((word - 0x20202020) & ~word & 0x80808080) !== 0) return true;
    }
    at = words.length * 4;
  }
  for (; at < bytes.length; at++) if ((bytes[at] as number) < SPACE) return true;
  return false;
}
