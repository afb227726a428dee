import type { Ms, Span } from '../model.ts';
import type { Page, Stream } from '../sources/source.ts';

/**
 * How much of a window is read, from 0 to 1, after a batch: by how far an ascending chain has got, or by the oldest
 * entry of a descending one, which is right to some ms. Null where neither is known.
 */
export function shareOf(
  order: Stream['order'],
  window: Span,
  batch: { readonly lastEntryAt: Ms | null; readonly readTo: Page['readTo']; readonly done: boolean },
): number | null {
  if (batch.done) return 1;
  const read: Ms | null =
    order === 'ascending'
      ? batch.readTo && batch.readTo - window.from
      : window.to - (batch.lastEntryAt ?? Number.NaN);
  if (read === null || Number.isNaN(read)) return null;
  return Math.min(1, Math.max(0, read / (window.to - window.from)));
}
