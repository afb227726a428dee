import type { Ms, Span } from '../model.ts';
import type { Reject } from '../sources/source.ts';

/** An entry that is stored. */
export interface Key {
  readonly key: string;
  /** True for one that was stored after the time that was asked with. */
  readonly young: boolean;
}

/** Entries by the UTC hour, or day, that begins at the key. */
export type HourCounts = ReadonlyMap<Ms, number>;

/** What the tables hold of a stream, shown by the store to an audit. Every method may throw `database`. */
export interface Stock {
  /** Now, by the database's clock. */
  now(): Promise<Ms>;
  /** The keys of a span, some at a time, in no order; `since` is by the database's clock. */
  keys(span: Span, since: Ms): AsyncIterable<readonly Key[]>;
  /** How many of the rejects do not wait in quarantine. */
  absent(rejects: readonly Reject[]): Promise<number>;
}
