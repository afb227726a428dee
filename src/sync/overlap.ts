import type { StreamSettings } from '../sources/source.ts';
import type { Lateness } from './ledger.ts';

/** With fewer entries than this the share of late ones is chance. */
const ENOUGH = 1_000;
/** The share of entries that may come later than the overlap, for a sweep to find. */
const LATER_SHARE = 0.001;
const LEAST_MS = 5 * 60_000;
const MOST_MS = 6 * 3_600_000;
/** An entry becomes visible a little after its intake. */
const VISIBLE_MS = 60_000;

/**
 * The overlap that brings all but one entry in a thousand, by how late they came: from 5 minutes to 6 hours, and no
 * more than a quarter of the retention. The one of the settings while too little is known.
 */
export function overlapFor(
  lateness: Lateness,
  { overlapMs, retentionMs }: Pick<StreamSettings, 'overlapMs' | 'retentionMs'>,
): number {
  if (total(lateness) < ENOUGH) return overlapMs;
  const wanted = quantile(lateness, 1 - LATER_SHARE) ?? 0;
  const most = Math.min(MOST_MS, retentionMs / 4);
  return Math.floor(Math.min(most, Math.max(LEAST_MS, wanted + VISIBLE_MS)) / 1000) * 1000;
}

/** The lateness that a share of the entries, from 0 to 1, does not exceed; null where none is counted. */
export function quantile(lateness: Lateness, share: number): number | null {
  const wanted = total(lateness) * share;
  let sum = 0;
  for (const { upToMs, count } of lateness) {
    sum += count;
    if (sum >= wanted && count > 0) return upToMs;
  }
  return null;
}

/** How many entries are counted. */
export function total(lateness: Lateness): number {
  return lateness.reduce((sum, { count }) => sum + count, 0);
}
