import { hashBytes, sameBytes } from '../bytes.ts';

const FIRST_SLOTS = 16_384;

/** Finds rows in a buffer by the bytes of their keys: a map of strings would cost a string, or three, for each row. */
export class RowIndex {
  /** Where a row begins, plus one; 0: free. A power of two, at least half of them free. */
  #slots = new Int32Array(0);
  readonly #keyEnd: (bytes: Buffer, start: number) => number;
  #rows = 0;

  /** `keyEnd` tells where the key of the row at `start` ends; it begins with the row. */
  constructor(keyEnd: (bytes: Buffer, start: number) => number) {
    this.#keyEnd = keyEnd;
  }

  clear(): void {
    if (this.#rows > 0) this.#slots.fill(0);
    this.#rows = 0;
  }

  /** Puts the row at `start` down, unless there is one of the same key: then where that one begins, else -1. */
  place(bytes: Buffer, start: number): number {
    if (this.#rows * 2 >= this.#slots.length) this.#grow(bytes);
    const end = this.#keyEnd(bytes, start);
    const slots = this.#slots;
    const mask = slots.length - 1;
    let slot = hashBytes(bytes, start, end) & mask;
    for (;;) {
      const other = (slots[slot] as number) - 1;
      if (other < 0) break;
      const length = this.#keyEnd(bytes, other) - other;
      if (length === end - start && sameBytes(bytes, other, bytes, start, length)) return other;
      slot = (slot + 1) & mask;
    }
    slots[slot] = start + 1;
    this.#rows += 1;
    return -1;
  }

  #grow(bytes: Buffer): void {
    const before = this.#slots;
    this.#slots = new Int32Array(Math.max(FIRST_SLOTS, before.length * 2));
    this.#rows = 0;
    for (const place of before) if (place > 0) this.place(bytes, place - 1);
  }
}
