import { BinaryWriter } from './binary.ts';
import { RowIndex } from './row-index.ts';

/** A number for each of many keys, which are well-formed text: a map would keep its tables and strings for a batch. */
export class KeyIndex {
  /** Each key, its length first and its number behind it. */
  readonly #writer = new BinaryWriter();
  readonly #index = new RowIndex(keyEnd);

  clear(): void {
    this.#writer.at = 0;
    this.#index.clear();
  }

  /** The number that the key has; -1: it had none, and has `number` from here on. */
  place(key: string, number: number): number {
    const writer = this.#writer;
    const start = writer.at;
    writer.text(key);
    const twin = this.#index.place(writer.buffer, start);
    if (twin < 0) {
      writer.int32(number);
      return -1;
    }
    writer.at = start;
    return writer.buffer.readInt32BE(keyEnd(writer.buffer, twin));
  }
}

function keyEnd(bytes: Buffer, start: number): number {
  return start + 4 + bytes.readInt32BE(start);
}
