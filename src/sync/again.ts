import type { Span, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { intersect } from './spans.ts';

/** What a run was asked to read once more, as far as it is not planned yet. */
export class Again {
  #left: Spans;
  #holder: string | null = null;

  constructor(span: Span | null) {
    this.#left = span === null ? [] : [span];
  }

  get left(): Spans {
    return this.#left;
  }

  /** Who has what is left in hand; null: nothing is left. */
  get holder(): string | null {
    return this.#holder;
  }

  /**
   * A plan was made from this progress, or nothing was free to plan: what lay in a window in hand is left, since that
   * may have been read before it was asked for again.
   */
  planned({ open }: Progress): void {
    this.#left = intersect(this.#left, open);
    const holding = open.find((window) => intersect(this.#left, [window]).length > 0);
    this.#holder = holding === undefined ? null : (holding.holder ?? 'a process that just let go');
  }
}
