import type { Ms } from '../model.ts';
import type { Rank } from './shared-quota.ts';

/** Requests that were given to this process and are not sent yet. */
export interface Permits {
  /** Those that may serve `rank`: what was given for a rank serves it and the ranks before it. */
  count(now: Ms, rank: Rank): number;
  /** `count` more for `rank`; all that are held are good until `until`. */
  give(rank: Rank, count: number, until: Ms): void;
  /** Takes one for `rank`, of its own first. */
  take(rank: Rank): void;
  clear(): void;
}

/** No permits yet. */
export function createPermits(): Permits {
  let held: [number, number, number] = [0, 0, 0];
  let goodUntil: Ms = Number.NEGATIVE_INFINITY;
  const clear = () => {
    held = [0, 0, 0];
  };
  return {
    count(now, rank) {
      if (now >= goodUntil) clear();
      return held.slice(rank).reduce((sum, count) => sum + count, 0);
    },
    give(rank, count, until) {
      held[rank] += count;
      goodUntil = until;
    },
    take(rank) {
      const from = held.findIndex((count, i) => i >= rank && count > 0);
      if (from >= 0) held[from as Rank] -= 1;
    },
    clear,
  };
}
