import { hashBytes, sameBytes } from '../bytes.ts';
import { KIND, kindOf, memberText, type Tape, valueFrom, valueTo } from './tape.ts';

/** A power of two. */
const SLOTS = 1_024;
/** What is longer comes rarely again. */
const LONGEST = 128;

/** Texts that come again and again, such as names and urls: each is made once and then found by its bytes. */
export class Texts {
  readonly #bytes = Buffer.allocUnsafeSlow(SLOTS * LONGEST);
  readonly #lengths = new Uint8Array(SLOTS);
  readonly #texts: string[] = new Array(SLOTS).fill('');

  /** A string's text. */
  of(tape: Tape, member: number): string {
    return kindOf(tape, member) === KIND.text
      ? this.at(tape, valueFrom(tape, member), valueTo(tape, member))
      : memberText(tape, member);
  }

  /** The text that stands from `from` to `to`, without escapes. */
  at({ bytes, encoding }: Tape, from: number, to: number): string {
    const length = to - from;
    if (length > LONGEST) return bytes.toString(encoding, from, to);
    const slot = hashBytes(bytes, from, to) & (SLOTS - 1);
    const kept = slot * LONGEST;
    if (this.#lengths[slot] === length && sameBytes(bytes, from, this.#bytes, kept, length))
      return this.#texts[slot] as string;
    const text = bytes.toString(encoding, from, to);
    bytes.copy(this.#bytes, kept, from, to);
    this.#lengths[slot] = length;
    this.#texts[slot] = text;
    return text;
  }
}
