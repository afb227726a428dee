import type { Ms, Spans } from '../model.ts';

/** SQL for a `tstzmultirange` column as JSON text that `parseSpans` reads: `[[from ms, to ms], ...]`, null for no bound. */
export function spansColumn(column: string): string {
  return `(select coalesce(json_agg(json_build_array(extract(epoch from lower(r)) * 1000, extract(epoch from upper(r)) * 1000) order by r), '[]')::text from unnest(${column}) r)`;
}

/** Spans from the text that `spansColumn` selects. Fractions of a ms are dropped: logkeep writes none. */
export function parseSpans(text: string): Spans {
  return (JSON.parse(text) as [number | null, number | null][]).map(([from, to]) => ({
    from: from === null ? Number.NEGATIVE_INFINITY : Math.round(from),
    to: to === null ? Number.POSITIVE_INFINITY : Math.round(to),
  }));
}

/** Spans as the text of a Postgres `tstzmultirange`. */
export function multirangeText(spans: Spans): string {
  return `{${spans.map((span) => `[${isoTime(span.from)},${isoTime(span.to)})`).join(',')}}`;
}

/** A time as Postgres reads it, to the millisecond. */
export function isoTime(ms: Ms): string {
  return new Date(ms).toISOString();
}
