/** So many integers of each size are kept. */
const MOST = 1_000_000;

/** Lists that are done with, by size: they have grown to what a page needs, and to make one costs more than to keep it. */
class Spare {
  readonly #firstLength: number;
  readonly #lists: Int32Array[] = [];
  #held = 0;

  constructor(firstLength: number) {
    this.#firstLength = firstLength;
  }

  take(): Int32Array {
    const data = this.#lists.pop();
    if (data === undefined) return new Int32Array(this.#firstLength);
    this.#held -= data.length;
    return data;
  }

  giveBack(data: Int32Array): void {
    if (this.#held + data.length > MOST) return;
    this.#lists.push(data);
    this.#held += data.length;
  }
}

/** How long lists get in most pages: those of members, and those of entries or of what one entry has. */
export const SPARE = { long: new Spare(16_384), short: new Spare(1_024) };

/** Integers one behind the other; `data` is longer than what is in use. */
export class IntList {
  data: Int32Array;
  length = 0;

  constructor(spare: Spare) {
    this.data = spare.take();
  }

  /** Makes room for `more` integers. */
  room(more: number): void {
    if (this.length + more <= this.data.length) return;
    const grown = new Int32Array(Math.max(this.data.length * 2, this.length + more));
    grown.set(this.data);
    this.data = grown;
  }

  append(other: IntList): void {
    this.room(other.length);
    this.data.set(other.data.subarray(0, other.length), this.length);
    this.length += other.length;
  }
}
