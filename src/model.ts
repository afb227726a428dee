/**
 * The words of logkeep as types; no behaviour.
 *
 * source: one external log API · stream: one log of a source with its own settings and progress ·
 * entry: one log entry, as the API gives it or as a row · page: what one HTTP answer holds ·
 * batch: what one transaction writes · window: half-open span of event time ·
 * cursor: opaque position within one window · coverage: the event time that was read to the end of a window.
 */

declare const brand: unique symbol;
type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** A stream's name, such as `qstash.main`. */
export type StreamId = Branded<string, 'StreamId'>;

/** A resume hint within one window of one fingerprint; losing it costs a re-read, never an entry. */
export type Cursor = Branded<string, 'Cursor'>;

/** Milliseconds since the Unix epoch (event time unless the name says otherwise). */
export type Ms = number;

/** Half-open span of event time `[from, to)`, in ms. */
export interface Span {
  readonly from: Ms;
  readonly to: Ms;
}

/** Spans in ascending order that neither touch nor overlap. */
export type Spans = readonly Span[];

/** Whose reading it is: the live log, re-reading for late entries, or chosen old windows. */
export type JobKind = 'sync' | 'sweep' | 'backfill';
