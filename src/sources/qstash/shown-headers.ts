import type { Redactor } from '../../redact.ts';
import { type Tape, valueFrom, valueTo } from '../../tape/tape.ts';
import type { Texts } from '../../tape/texts.ts';
import type { Utf8Slot } from '../tables.ts';
import { pointAt } from '../usual.ts';
import { HEADER, HeaderPlaces } from './header-places.ts';

const FIRST_BYTES = 1024;
/** What is longer is read another way: it is no reason to keep as much for ever. */
const LONGEST = 16 * 1024;

/** Hides what is to be hidden in headers without making anything of them. */
export class ShownHeaders {
  readonly #redactor: Redactor;
  readonly #texts: Texts;
  readonly #headers = new HeaderPlaces();
  #written = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  constructor(redactor: Redactor, texts: Texts) {
    this.#redactor = redactor;
    this.#texts = texts;
  }

  /**
   * Points the slot at the JSON of the headers that a member, an object without escapes, holds; where one is hidden
   * that is written here, over what was before. False where they are not as usual.
   */
  show(slot: Utf8Slot, tape: Tape, member: number): boolean {
    const from = valueFrom(tape, member);
    const to = valueTo(tape, member);
    const { bytes } = tape;
    const headers = this.#headers;
    if (to - from > LONGEST || !headers.find(bytes, from, to)) return false;
    const { places } = headers;
    this.#length = 0;
    let copied = from;
    for (let at = 0; at < headers.length * HEADER; at += HEADER) {
      const name = this.#texts.at(tape, places[at] as number, places[at + 1] as number);
      if (!this.#redactor.hides(name)) continue;
      const valueAt = places[at + 2] as number;
      const valueEnd = places[at + 3] as number;
      this.#copy(bytes, copied, valueAt);
      this.#write(this.#redactor.hide(this.#texts.at(tape, valueAt, valueEnd)));
      copied = valueEnd;
    }
    if (copied === from) {
      pointAt(slot, tape, member);
      return true;
    }
    this.#copy(bytes, copied, to);
    slot.bytes = this.#written;
    slot.from = 0;
    slot.to = this.#length;
    return true;
  }

  #copy(bytes: Buffer, from: number, to: number): void {
    this.#room(to - from);
    this.#length += bytes.copy(this.#written, this.#length, from, to);
  }

  /** A text that JSON need not escape. */
  #write(text: string): void {
    this.#room(text.length);
    this.#length += this.#written.write(text, this.#length, 'latin1');
  }

  #room(bytes: number): void {
    if (this.#length + bytes <= this.#written.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#written.length * 2, this.#length + bytes));
    this.#written.copy(grown, 0, 0, this.#length);
    this.#written = grown;
  }
}
