import { LogkeepError } from '../errors.ts';
import type { Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import type { WindowEnd } from './window.ts';

/** Windows planned anew or lost in a row without a new entry: something is wrong that no smaller window cures. */
const MOST_REPLANS = 60;
/** So many plans in a row from the same progress: each was read to its end and changed nothing, nor will the next. */
const MOST_PLANS = 5;

/** Stops a run that gets nowhere: each round costs requests, and it would never end. */
export class Headway {
  readonly #stream: string;
  #replans = 0;
  #plans = 0;
  #last = '';

  constructor(stream: string) {
    this.#stream = stream;
  }

  /**
   * A plan was made from this progress; `again`: what is still to be read once more. Throws LogkeepError `protocol`
   * where both are the same over and over.
   */
  planned({ askedFrom, covered, expired, oversize, young, settled }: Progress, again: Spans = []): void {
    const made = JSON.stringify([askedFrom, covered, expired, oversize, young, settled, again]);
    this.#plans = made === this.#last ? this.#plans + 1 : 0;
    this.#last = made;
    if (this.#plans < MOST_PLANS) return;
    throw new LogkeepError(
      'protocol',
      `${this.#stream}: the same time was read ${this.#plans} times to its end, and none of it could be claimed: expected answers of one chain whose Date does not jump`,
    );
  }

  /** A window ended so. Throws LogkeepError `protocol` where one after the other is given up. */
  ended(end: WindowEnd): void {
    if (end === 'done' || end === 'advanced') this.#replans = 0;
    if (end === 'replanned' || end === 'lost') this.#replans += 1;
    if (this.#replans <= MOST_REPLANS) return;
    throw new LogkeepError(
      'protocol',
      `${this.#stream}: windows were planned anew or lost ${this.#replans} times in a row without progress; nothing was claimed`,
    );
  }

  /** A batch was stored. */
  stored(fresh: number): void {
    if (fresh === 0) return;
    this.#replans = 0;
    this.#plans = 0;
  }
}
