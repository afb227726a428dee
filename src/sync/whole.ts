import type { Ms, Span, Spans } from '../model.ts';
import type { Stream } from '../sources/source.ts';
import { intersect, length, subtract, union } from './spans.ts';

/** Follows how much of all that a run has to read is read, by event time. */
export interface Whole {
  /** These are to be read too; what was to be read before stays so. */
  wants(spans: Spans): void;
  /** Of all that is to be read only these are left, whoever read the rest. */
  lacks(spans: Spans): void;
  /** So much of a window is read, from 0 to 1; null: not known. */
  reads(window: Span, share: number | null): void;
  /** From 0 to 1; goes back only where more is to be read than before. Null: nothing is to be read, as far as is known. */
  share(): number | null;
}

/** Nothing is to be read yet. What lies before `fromMs` is not owed: reading it says nothing about how far the rest is. */
export function createWhole(order: Stream['order'], fromMs: Ms): Whole {
  const owed: Spans = [{ from: fromMs, to: Number.POSITIVE_INFINITY }];
  let all: Spans = [];
  let read: Spans = [];
  return {
    wants(spans) {
      all = union(all, intersect(spans, owed));
    },
    lacks(spans) {
      read = union(read, subtract(all, spans));
    },
    reads(window, share) {
      const [part] = intersect([window], owed);
      if (part === undefined || share === null) return;
      const ms = (part.to - part.from) * share;
      const done = order === 'ascending' ? { ...part, to: part.from + ms } : { ...part, from: part.to - ms };
      read = union(read, [done]);
    },
    share: () => (all.length === 0 ? null : length(intersect(all, read)) / length(all)),
  };
}
