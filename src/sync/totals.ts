import type { Meter } from '../sources/source.ts';
import type { Stored } from './ledger.ts';

/** What a run of one stream has read so far. */
export interface RunTotals {
  windows: number;
  fetched: number;
  fresh: number;
  known: number;
  quarantined: number;
}

/** What a run of one stream has read and spent so far. */
export interface RunCounts {
  readonly totals: Readonly<RunTotals>;
  readonly meter: Readonly<Meter>;
}

/** Totals at zero. */
export function noTotals(): RunTotals {
  return { windows: 0, fetched: 0, fresh: 0, known: 0, quarantined: 0 };
}

/** Counts a batch that was stored. */
export function addStored(totals: RunTotals, stored: Stored): void {
  totals.fetched += stored.fetched;
  totals.fresh += stored.fresh;
  totals.known += stored.known;
  totals.quarantined += stored.quarantined;
}
