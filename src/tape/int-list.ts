const FIRST_LENGTH = 16_384;
const SPARE = 6;

/** Lists that are done with: they have grown to what a page needs, and to make one costs more than to keep it. */
const spare: Int32Array[] = [];

/** Integers one behind the other; `data` is longer than what is in use. */
export class IntList {
  data = spare.pop() ?? new Int32Array(FIRST_LENGTH);
  length = 0;

  /** Makes room for `more` integers. */
  room(more: number): void {
    if (this.length + more <= this.data.length) return;
    const grown = new Int32Array(Math.max(this.data.length * 2, this.length + more));
    grown.set(this.data);
    this.data = grown;
  }
}

/** Gives a list's memory to the next one; nothing may be read from it any more. */
export function giveBack(data: Int32Array): void {
  if (spare.length < SPARE) spare.push(data);
}
