import { loadavg } from 'node:os';
import { median } from './summary.ts';

/** One line of the bench's output. */
export type Line = Readonly<Record<string, unknown>>;

/** The value that 95 % of the values do not exceed; NaN for none. */
export function p95(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.ceil(values.length * 0.95) - 1] ?? Number.NaN;
}

/** The middle of values in any order; NaN for none. */
export function p50(values: readonly number[]): number {
  return median(values.toSorted((a, b) => a - b));
}

/** A number to so many decimals. */
export function rounded(value: number, decimals: number): number {
  return Number(value.toFixed(decimals));
}

/** ms as seconds, to two decimals. */
export function inSeconds(ms: number): number {
  return rounded(ms / 1000, 2);
}

/** The machine's load average of the last minute: whoever reads a figure is to know how busy it was. */
export function loadNow(): number {
  return rounded(loadavg()[0] ?? 0, 1);
}
