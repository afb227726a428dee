import type { Run } from './run.ts';

/** The median of one figure over all runs, all its values, and how far they lie apart. */
export interface Median {
  readonly figure: string;
  readonly median: number;
  readonly values: readonly number[];
  /** (greatest - least) / median: the noise, in percent. */
  readonly spread_percent: number;
}

/** One line for each figure of the runs, which are all of one source. */
export function summarise(runs: readonly Run[]): readonly Median[] {
  const [first] = runs;
  if (first === undefined) return [];
  const figures = Object.keys(first).filter(
    (name) => name !== 'source' && name !== 'number',
  ) as (keyof Run)[];
  return figures.map((figure) => {
    const values = runs.map((run) => (run[figure] ?? Number.NaN) as number);
    const sorted = values.toSorted((a, b) => a - b);
    const middle = median(sorted);
    const apart = (sorted.at(-1) ?? 0) - (sorted[0] ?? 0);
    return {
      figure,
      median: middle,
      values,
      spread_percent: middle === 0 ? 0 : Number(((apart / Math.abs(middle)) * 100).toFixed(1)),
    };
  });
}

/** The middle of sorted values; the mean of both middles where their number is even. */
export function median(sorted: readonly number[]): number {
  const half = sorted.length / 2;
  const low = sorted[Math.ceil(half) - 1] ?? Number.NaN;
  const high = sorted[Math.floor(half)] ?? Number.NaN;
  return (low + high) / 2;
}
