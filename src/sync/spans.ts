import type { Ms, Span, Spans } from '../model.ts';

/** The union, in ascending order, without empty spans; spans that touch become one. */
export function union(...lists: readonly Spans[]): Spans {
  const sorted = lists
    .flat()
    .filter((span) => span.to > span.from)
    .sort((a, b) => a.from - b.from);
  const joined: { from: Ms; to: Ms }[] = [];
  for (const span of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && span.from <= last.to) last.to = Math.max(last.to, span.to);
    else joined.push({ ...span });
  }
  return joined;
}

/** What is in `spans` and in none of `taken`. */
export function subtract(spans: Spans, taken: Spans): Spans {
  const holes = union(taken);
  const rest: Span[] = [];
  for (const span of union(spans)) {
    let from = span.from;
    for (const hole of holes) {
      if (hole.to <= from) continue;
      if (hole.from >= span.to) break;
      if (hole.from > from) rest.push({ from, to: hole.from });
      from = Math.max(from, hole.to);
    }
    if (from < span.to) rest.push({ from, to: span.to });
  }
  return rest;
}

/** What is in both. */
export function intersect(a: Spans, b: Spans): Spans {
  return subtract(a, subtract([{ from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }], b));
}

/** From the earliest beginning to the latest end; null: there are none. */
export function hull(spans: Spans): Span | null {
  const all = union(spans);
  const last = all.at(-1);
  return all[0] === undefined || last === undefined ? null : { from: all[0].from, to: last.to };
}

/** Total length in ms. */
export function length(spans: Spans): number {
  return union(spans).reduce((sum, span) => sum + span.to - span.from, 0);
}

/** The spans between ascending edges. */
export function betweenEdges(edges: readonly Ms[]): Spans {
  return edges.slice(1).map((to, i) => ({ from: edges[i] as Ms, to }));
}

/** The whole UTC second at or before `ms`. */
export function floorSecond(ms: Ms): Ms {
  return Math.floor(ms / 1000) * 1000;
}
