import type { Ms, Span, Spans } from '../model.ts';
import { betweenEdges } from './spans.ts';

/** What takes the place of a window that cannot be read as it was planned. */
export interface Rest {
  readonly windows: Spans;
  readonly oversize: Span | null;
}

/**
 * The rest of a window after its cursor was lost, the API could not finish the query (`timeout`), or an entry at
 * `atMs` was larger than the body cap. Ascending, it begins at what is committed; descending, nothing of the window
 * counts before its end, so it is read again, in halves: shorter chains need their cursors for less long.
 * Null when nothing smaller can be planned.
 */
export function restOf(
  order: 'ascending' | 'descending',
  window: Span,
  doneTo: Ms | null,
  reason: 'cursor' | 'timeout' | 'oversize',
  atMs: Ms | null,
): Rest | null {
  const left: Span = { from: Math.max(window.from, doneTo ?? window.from), to: window.to };
  if (left.to <= left.from) return { windows: [], oversize: null };
  if (reason === 'oversize') {
    if (atMs === null || atMs < window.from || atMs >= window.to) return null;
    const oversize = { from: atMs, to: atMs + 1 };
    return { windows: pieces(left, [atMs, atMs + 1]).filter((piece) => piece.from !== atMs), oversize };
  }
  if (reason === 'cursor' && order === 'ascending') return { windows: [left], oversize: null };
  const half = middle(left);
  if (half === null) return reason === 'cursor' ? { windows: [left], oversize: null } : null;
  return { windows: pieces(left, [half]), oversize: null };
}

/** The whole second nearest to a span's middle, strictly inside it; null when there is none. */
function middle(span: Span): Ms | null {
  const half = Math.round((span.from + span.to) / 2000) * 1000;
  return half > span.from && half < span.to ? half : null;
}

function pieces(span: Span, cuts: readonly Ms[]): Spans {
  const inner = cuts.filter((cut) => cut > span.from && cut < span.to);
  return betweenEdges([span.from, ...inner, span.to]);
}
