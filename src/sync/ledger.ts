import type { Cursor, Ms, Span, Spans } from '../model.ts';
import type { Meter, Quota, Reject, Row } from '../sources/source.ts';

/** A window in hand; `holder`: of whom, absent where nobody reads it now. */
export interface OpenWindow extends Span {
  readonly holder?: string;
}

/** What is known of a stream's progress under its present filters. */
export interface Progress {
  /** The earliest time ever asked for. */
  readonly askedFrom: Ms;
  readonly covered: Spans;
  readonly expired: Spans;
  readonly oversize: Spans;
  /** Covered, but last read at an age below the overlap. */
  readonly young: Spans;
  /** Covered, and re-read after the lateness horizon without finding anything new. */
  readonly settled: Spans;
  /** Windows in hand, of this process or another, whatever their job. */
  readonly open: readonly OpenWindow[];
  /** Entries stored in the overlap before the newest coverage; counting stops beyond a page. */
  readonly overlapEntries: number;
}

/** The right to read one window until a time, under a fence that rises with each lease. */
export interface Lease {
  readonly windowId: string;
  readonly fence: string;
  readonly window: Span;
  /** An entry beyond the body cap is on record at the window's end. */
  readonly tooLongAtEnd?: boolean;
  /** Ascending streams: where the committed part ends; null: nothing committed. */
  readonly doneTo: Ms | null;
  readonly cursor: Cursor | null;
  readonly cursorAgeMs: number | null;
  /** The API's Date at the first answer of the cursor's chain. */
  readonly chainAt: Ms | null;
}

/** What `next` found to do. `held`: all there is to read is in another process's hands. */
export type Next =
  | { readonly status: 'leased'; readonly lease: Lease }
  | { readonly status: 'held'; readonly by: string; readonly forMs: number }
  | { readonly status: 'caught-up' };

/** Entries on their way into the store, in its own form. */
export interface BatchContent {
  /** Entries taken so far: rows and rejects. */
  readonly fetched: number;
  /** Whether it is to be stored: more would only make the transaction larger. */
  readonly full: boolean;
  add(made: Row | Reject): void;
  /** All of a page was added. Calls `release`, now or later, when it needs nothing of the page any more. */
  endPage(release: () => void): void;
}

/** One transaction's worth. */
export interface Batch {
  readonly content: BatchContent;
  readonly pages: number;
  /** Where the next page begins; null where the chain has ended or the cursor is dropped. */
  readonly cursor: Cursor | null;
  readonly chainAt: Ms;
  /** The latest of the API's Dates, up to the last answer in the batch. */
  readonly readAt: Ms;
  /** What joins the coverage with this batch, before retention is taken off; null: nothing yet. */
  readonly claim: Span | null;
  /** Ascending streams: the new end of the committed part. */
  readonly doneTo: Ms | null;
  /** True ends the window. */
  readonly done: boolean;
}

/** What became of a batch: each entry fetched is exactly one of fresh, known and quarantined. */
export interface Stored {
  readonly fetched: number;
  readonly fresh: number;
  readonly known: number;
  readonly quarantined: number;
}

/** What a run is at, for others to see. */
export interface Pace {
  /** How much longer it waits for quota; null: it does not. */
  readonly waitMs: number | null;
  /** Until the window in hand is read, at the pace so far; null: not known. */
  readonly toGoMs: number | null;
}

/** How late a stream's entries came: how many up to so late. In ascending order, each entry in one alone. */
export type Lateness = readonly { readonly upToMs: number; readonly count: number }[];

/** How a run ended; `stopped` is on request. */
export type Outcome = 'done' | 'stopped' | 'failed';

/** One stream's progress and rows, kept by the store for the pump. Every method may throw `database`. */
export interface Ledger {
  /**
   * The next window of our job to read: one that lies open with no live lease, else the first of what `plan` wants,
   * planned and leased under the stream's lock. `see` is shown the progress first, whether or not a plan is needed, and
   * again when a try has failed and was rolled back, whatever it had planned.
   */
  next(plan: (progress: Progress) => Spans, see?: (progress: Progress) => void): Promise<Next>;
  /** An empty batch to fill; it is given back to `commit`. */
  openBatch(): BatchContent;
  /**
   * Stores a batch and its checkpoint, or nothing. Throws `lease` when the window is not ours any more. It may be asked
   * for while the one before is under way: then it is stored after that one, or not at all.
   */
  commit(lease: Lease, batch: Batch): Promise<Stored>;
  /** Gives a window up for others in its place (none: what was left of it is already covered); `oversize` is recorded. */
  replan(lease: Lease, rest: Spans, oversize: Span | null): Promise<void>;
  /** Takes back what was claimed by runs whose windows reach beyond `nowMs`, the time by the API's clock. */
  retract(nowMs: Ms): Promise<void>;
  /** Extends the lease; false when it is lost. */
  renew(lease: Lease): Promise<boolean>;
  /** Lets others take the window at once; `once`: not tried again should the database fail. */
  release(lease: Lease, once?: boolean): Promise<void>;
  /** Records fields and states seen for the first time. */
  note(names: readonly string[]): Promise<void>;
  /** Records what the run has spent so far, what the API last said, and what the run is at. */
  spend(meter: Meter, quota: Quota, skewMs: number | null, pace: Pace): Promise<void>;
  /** Ends the run. */
  end(outcome: Outcome, error: Error | null): Promise<void>;
}
