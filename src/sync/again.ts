import type { Span, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { missingOf } from './reach.ts';
import { intersect, union } from './spans.ts';

/** What a run was asked to read once more, as far as it is not planned yet, and who keeps the run waiting. */
export class Again {
  #left: Spans;
  #holder: string | null = null;

  constructor(span: Span | null) {
    this.#left = span === null ? [] : [span];
  }

  get left(): Spans {
    return this.#left;
  }

  /** Who has in hand what is left, or what is owed; null: nobody, or nothing is. */
  get holder(): string | null {
    return this.#holder;
  }

  /**
   * A plan was made from this progress, or nothing was free to plan: what lay in a window in hand is left, since that
   * may have been read before it was asked for again. `wanted`: what of it is owed is waited for as well.
   */
  planned(progress: Progress, wanted: Spans = []): void {
    const { open } = progress;
    this.#left = intersect(this.#left, open);
    const awaited = union(this.#left, missingOf(progress, wanted));
    const holding = open.find((window) => intersect(awaited, [window]).length > 0);
    this.#holder = holding === undefined ? null : (holding.holder ?? 'a process that just let go');
  }
}
