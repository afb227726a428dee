import type { Cursor, Ms, Span } from '../model.ts';
import { isRow, type Page, type Reject, type Row } from '../sources/source.ts';
import type { BatchContent } from './ledger.ts';

const MAX_BYTES = 16 * 1024 * 1024;
const MAX_AGE_MS = 1_000;
/** An API may be inexact at the edges of a window, but not by more. */
const BEYOND_MS = 86_400_000;

/** Complete pages that wait to be stored together. */
export class BatchInHand {
  readonly #window: Span;
  readonly #open: () => BatchContent;
  #content: BatchContent | null = null;
  #unknown = new Set<string>();
  #pages = 0;
  #bytes = 0;
  #cursor: Cursor | null = null;
  #readTo: Ms | null = null;
  #since = 0;
  #lastEntryAt: Ms | null = null;
  #wake: (() => void) | null = null;
  #woken = false;

  /** `window`: what the pages were asked for; `open` gives an empty batch to fill. */
  constructor(window: Span, open: () => BatchContent) {
    this.#window = window;
    this.#open = open;
  }

  get empty(): boolean {
    return this.#pages === 0;
  }

  /** True when one more page would only make the transaction larger. */
  get full(): boolean {
    return (
      this.#content?.full === true ||
      this.#bytes >= MAX_BYTES ||
      (!this.empty && performance.now() - this.#since >= MAX_AGE_MS)
    );
  }

  /**
   * Adds a page; gives the time of its last row, null if it has none. An entry
   * further than a day outside the window becomes a reject.
   */
  add(page: Page): Ms | null {
    if (this.empty) this.#since = performance.now();
    this.#content ??= this.#open();
    let lastMs: Ms | null = null;
    for (const made of page.entries) {
      const kept = this.#within(made);
      this.#content.add(kept);
      if (isRow(kept)) lastMs = kept.timeMs;
    }
    this.#lastEntryAt = lastMs ?? this.#lastEntryAt;
    for (const name of page.unknown) this.#unknown.add(name);
    this.#content.endPage(() => page.release?.());
    this.#pages++;
    this.#bytes += page.bytes;
    this.#cursor = page.next;
    this.#readTo = page.readTo;
    return lastMs;
  }

  /** Hands everything over and begins anew. */
  take() {
    const batch = {
      content: this.#content ?? this.#open(),
      unknown: [...this.#unknown],
      pages: this.#pages,
      cursor: this.#cursor,
      readTo: this.#readTo,
      lastEntryAt: this.#lastEntryAt,
    };
    this.drop();
    return batch;
  }

  /** Forgets everything. */
  drop(): void {
    this.#content = null;
    this.#lastEntryAt = null;
    this.#unknown = new Set();
    this.#pages = 0;
    this.#bytes = 0;
  }

  /** A promise that resolves when what is in hand should be stored although it is not full; never while empty. */
  due(): { readonly promise: Promise<void>; readonly cancel: () => void } {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = this.empty
      ? undefined
      : setTimeout(resolve, Math.max(0, this.#since + MAX_AGE_MS - performance.now()));
    this.#wake = this.empty ? null : resolve;
    // The wait may have begun before the page in hand was added.
    if (this.#woken) this.#wake?.();
    return {
      promise,
      cancel: () => {
        clearTimeout(timer);
        this.#wake = null;
        this.#woken = false;
      },
    };
  }

  /** An entry from far outside the window is as absurd as its time, and a row of it would need a partition of its own. */
  #within(made: Row | Reject): Row | Reject {
    const { from, to } = this.#window;
    if (!isRow(made) || (made.timeMs >= from - BEYOND_MS && made.timeMs < to + BEYOND_MS)) return made;
    return { reason: 'time_out_of_bounds', timeMs: made.timeMs, rawText: made.rawText() };
  }

  /** Makes a waiting `due`, or the next one, resolve now: a wait for quota begins. */
  wake(): void {
    this.#woken = true;
    this.#wake?.();
  }
}
