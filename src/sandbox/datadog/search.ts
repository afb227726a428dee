import type { Ms } from '../../model.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import { compareLogs, type DatadogLedger, type DatadogStored } from './ledger.ts';

/** A place in the order of logs. */
export type Place = Pick<DatadogStored, 'timeMs' | 'tie' | 'inner'>;

/** What a request asks for, whichever API it came through. */
export interface Search {
  readonly from: Ms;
  readonly to: Ms;
  readonly test: (log: DatadogStored) => boolean;
  /** Names of indexes; null for all that are live. */
  readonly indexes: readonly string[] | null;
  readonly tier: string;
  readonly ascending: boolean;
  readonly limit: number;
  /** Where the page begins: at the place, or after it. */
  readonly start: { readonly place: Place; readonly inclusive: boolean } | null;
}

/** What it gets. */
export interface SearchPage {
  readonly logs: readonly DatadogStored[];
  /** The first log of the next page. */
  readonly next: DatadogStored | null;
}

/** Reads one page of what is visible at `nowMs`. */
export function runSearch(
  ledger: DatadogLedger,
  behaviour: DatadogBehaviour,
  search: Search,
  nowMs: Ms,
): SearchPage {
  const all = ledger.shelf.all();
  const from = Math.max(search.from, nowMs - behaviour.retentionMs);
  const { to, start } = search;
  const inside = ({ timeMs }: DatadogStored): boolean =>
    timeMs >= from && (behaviour.toInclusive ? timeMs <= to : timeMs < to);
  const step = search.ascending ? 1 : -1;
  const beforeStart = (log: DatadogStored): boolean => {
    if (start === null) return search.ascending ? log.timeMs < from : log.timeMs <= to;
    const order = compareLogs(log, start.place);
    return order < 0 || (order === 0 && search.ascending !== start.inclusive);
  };
  let index = ledger.shelf.firstNot(beforeStart) - (search.ascending ? 0 : 1);
  const logs: DatadogStored[] = [];
  for (; index >= 0 && index < all.length; index += step) {
    const log = all[index] as DatadogStored;
    if (search.ascending ? log.timeMs > to : log.timeMs < from) break;
    if (!inside(log) || log.visibleAtMs > nowMs || log.tier !== search.tier) continue;
    if (!inIndexes(log, search.indexes, behaviour) || !search.test(log)) continue;
    if (logs.length === search.limit) return { logs, next: log };
    logs.push(log);
  }
  return { logs, next: null };
}

function inIndexes(
  log: DatadogStored,
  indexes: readonly string[] | null,
  behaviour: DatadogBehaviour,
): boolean {
  return indexes === null || indexes.includes('*')
    ? !behaviour.historicalIndexes.includes(log.index)
    : indexes.includes(log.index);
}
