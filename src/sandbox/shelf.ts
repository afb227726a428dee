import type { Ms } from '../model.ts';

/** One entry of the sandbox's truth. */
export interface StoredEntry {
  /** Its JSON text as it goes over the wire, to the byte. */
  readonly text: string;
  /** The event time by which windows find it, in ms. */
  readonly timeMs: Ms;
  /** From when on the API shows it, in ms of the sandbox's clock. */
  readonly visibleAtMs: Ms;
}

/** Entries in one fixed order, found by binary search. */
export interface Shelf<E> {
  add(entries: readonly E[]): void;
  /** All entries in order; not to be kept across an `add`. */
  all(): readonly E[];
  /** Index of the first entry that is not before the place in question. */
  firstNot(before: (entry: E) => boolean): number;
}

/** An empty shelf; `compare` must give a total order. */
export function createShelf<E>(compare: (a: E, b: E) => number): Shelf<E> {
  const entries: E[] = [];
  let sorted = true;
  const all = (): readonly E[] => {
    // Adding is cheap and sorting waits for the next look: history arrives nearly sorted, which sorts fast.
    if (!sorted) entries.sort(compare);
    sorted = true;
    return entries;
  };
  return {
    all,
    add(added) {
      for (const entry of added) {
        const last = entries.at(-1);
        if (sorted && last !== undefined && compare(last, entry) > 0) sorted = false;
        entries.push(entry);
      }
    },
    firstNot(before) {
      const ordered = all();
      let low = 0;
      let high = ordered.length;
      while (low < high) {
        const middle = (low + high) >>> 1;
        if (before(ordered[middle] as E)) low = middle + 1;
        else high = middle;
      }
      return low;
    },
  };
}
