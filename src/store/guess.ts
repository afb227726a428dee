import type { Known } from './loader.ts';

/** What is expected of a batch: `all` only where it was asked. */
type Expected = Exclude<Known, 'all'>;

/** What a run expects of its next batch, by how the ones before it turned out. */
export class KnownGuess {
  #next: Expected | null = null;
  #surprised = false;

  /** How many of the next batch's entries are stored already; null: worth asking before they are copied. */
  get next(): Expected | null {
    return this.#next;
  }

  /**
   * Whether a batch that was taken to be new had an entry that was stored. That costs the batch's load, so from then
   * on the run asks first.
   */
  get surprised(): boolean {
    return this.#surprised;
  }

  surprise(): void {
    this.#surprised = true;
  }

  /** A batch of `rows` entries that could be stored is stored; `fresh` of them were new. */
  learn(fresh: number, rows: number): void {
    if (rows === 0) return;
    if (fresh === rows) this.#next = this.#surprised ? null : 'none';
    else this.#next = fresh * 2 < rows ? null : 'some';
  }
}
