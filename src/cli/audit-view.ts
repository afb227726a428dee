import { amountText, countText, lengthText, timeText } from '../amounts.ts';
import { errorJson, remedyOf } from '../errors.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { type Audit, type Difference, isSound } from '../operations/audit.ts';
import { printable, tableText, withoutName } from './table.ts';

/** At most so many lines of a kind are shown. */
const MOST = 10;

const total = (spans: Spans) => spans.reduce((sum, { from, to }) => sum + to - from, 0);

/** What was found of a stream for people: the verdict and a table by day, and what to do on stderr. */
export function auditText(stream: string, audit: Audit | null): { data: string; talk: string } {
  if (audit === null) {
    return {
      data: `${stream}: never read\n`,
      talk: `${stream}: nothing is covered. To do: run \`logkeep sync --stream ${stream}\`.\n`,
    };
  }
  const rows = audit.days.map(({ dayMs, stored, quarantined, given }) => [
    new Date(dayMs).toISOString().slice(0, 10),
    stored,
    quarantined,
    given,
    sumOn(audit, dayMs, 'missing') + sumOn(audit, dayMs, 'count'),
    sumOn(audit, dayMs, 'extra'),
  ]);
  const shown = audit.by === 'keys' ? 'read again' : 'counted by the API';
  const head = ['day', 'rows', 'quarantined', shown, audit.by === 'keys' ? 'missing' : 'difference', 'extra'];
  return {
    data: `${stream}: ${timeText(audit.span.from)} to ${timeText(audit.span.to)}: ${verdict(audit)}\n${tableText(head, rows, [1, 2, 3, 4, 5])}`,
    talk: [...notes(audit), ...troubles(stream, audit)].map((note) => `${stream}: ${note}\n`).join(''),
  };
}

function verdict(audit: Audit): string {
  const all = total([audit.span]);
  const share = (spans: Spans) => `${all === 0 ? 0 : Math.floor((1000 * total(spans)) / all) / 10} %`;
  const proof = `${share(audit.settled)} settled, ${share(audit.recounted)} compared with the API (${amountText(audit.meter.requests, 'request')})`;
  return `${isSound(audit) ? 'complete' : 'NOT proven'}; ${proof}`;
}

function sumOn(audit: Audit, dayMs: Ms, kind: Difference['kind']): number {
  const here = audit.differences.filter(
    ({ kind: found, span }) => found === kind && span.from >= dayMs && span.from < dayMs + 86_400_000,
  );
  return here.reduce((sum, { count }) => sum + Math.abs(count), 0);
}

function* notes(audit: Audit): Generator<string> {
  if (audit.unsettled.length > 0) {
    yield `${lengthText(total(audit.unsettled))} not settled yet: a sweep reads it once more, beyond sweep_after (\`logkeep run sweep\`)`;
  }
  const rest = total([audit.span]) - total(audit.recounted) - total(audit.holes) - total(audit.expired);
  if (audit.outcome === 'done' && rest >= 1000) {
    yield `${lengthText(rest)} not compared: too old to be shown by the API, too new to be sure, or cut at the edges`;
  }
  if (audit.otherFilters && audit.differences.some(({ kind }) => kind === 'extra'))
    yield 'rows that the API does not show may have been stored under other filters of this stream: they do not count as a difference';
}

function* troubles(stream: string, audit: Audit): Generator<string> {
  const again = (span: Span) => `logkeep sync --stream ${stream} --again ${isoSpan(span)}`;
  yield* few(
    audit.holes,
    (span) => `hole ${spanText(span)}: not read. To do: \`${remedyOfHole(stream, audit, span)}\``,
  );
  yield* few(
    audit.expired,
    (span) => `expired ${spanText(span)}: lost, unless the API keeps entries longer than \`retention\` says`,
  );
  yield* few(
    audit.oversize,
    (span) =>
      `oversize ${spanText(span)}: an entry is longer than max_body. To do: raise it, then \`${again(span)}\``,
  );
  yield* few(audit.differences, ({ kind, span, count, examples }) => {
    const named = examples.length === 0 ? '' : ` (${examples.map(printable).join(', ')})`;
    if (kind === 'extra')
      return `${amountText(count, 'row')} of ${spanText(span)} not shown by the API${named}: no action needed if its filters or the key's permissions were different in the past`;
    const what = {
      missing: `${amountText(count, 'entry', 'entries')} of ${spanText(span)} not stored${named}`,
      unquarantined: `${amountText(count, 'entry', 'entries')} of ${spanText(span)} neither a row nor in quarantine`,
      oversize: `an entry of ${spanText(span)} is longer than max_body`,
      count: `${countText(Math.abs(count))} ${count > 0 ? 'too few' : 'too many'} stored of ${spanText(span)}${named}`,
    }[kind];
    return `${what}. To do: \`${again(span)}\``;
  });
  if (audit.span.to <= audit.span.from)
    yield `nothing is covered in it: nothing is proven. To do: \`logkeep why\` says what keeps \`logkeep sync --stream ${stream}\` from reading`;
  if (audit.outcome === 'stopped') yield 'stopped before the end: nothing is proven about the rest';
  if (audit.error !== null)
    yield `not proven to the end: ${printable(withoutName(audit.error.message, stream))} (${remedyOf(audit.error)})`;
}

/** A hole before all that was asked for is only read when asked for. */
function remedyOfHole(stream: string, audit: Audit, span: Span): string {
  const known = audit.holes[0] === span && span.from === audit.span.from;
  return `logkeep sync --stream ${stream}${known ? ` --since ${new Date(span.from).toISOString()}` : ''}`;
}

function* few<T>(list: readonly T[], say: (one: T) => string): Generator<string> {
  for (const one of list.slice(0, MOST)) yield say(one);
  if (list.length > MOST) yield `${list.length - MOST} more of these: see --json`;
}

function spanText(span: Span): string {
  return `${timeText(span.from)} to ${timeText(span.to)} (${lengthText(span.to - span.from)})`;
}

function isoSpan({ from, to }: Span): string {
  return `${new Date(from).toISOString()}/${new Date(to).toISOString()}`;
}

/** The same for machines: times as ISO text, lengths in ms. `uncounted`: streams left out, as their API has no counts. */
export function auditJson(
  found: readonly { readonly stream: string; readonly audit: Audit | null }[],
  uncounted: readonly string[],
): unknown {
  return {
    sound: found.every(({ audit }) => audit !== null && isSound(audit)),
    streams: found.map(({ stream, audit }) =>
      audit === null ? { stream, read: false } : asJson(stream, audit),
    ),
    not_counted: uncounted,
  };
}

function asJson(stream: string, audit: Audit): unknown {
  const { meter, error } = audit;
  return {
    stream,
    read: true,
    sound: isSound(audit),
    ...isoEnds(audit.span),
    by: audit.by,
    outcome: audit.outcome,
    error: errorJson(error),
    settled_ms: total(audit.settled),
    unsettled: audit.unsettled.map(isoEnds),
    holes: audit.holes.map(isoEnds),
    expired: audit.expired.map(isoEnds),
    oversize: audit.oversize.map(isoEnds),
    compared: audit.recounted.map(isoEnds),
    days: audit.days.map(({ dayMs, stored, quarantined, given }) => ({
      day: new Date(dayMs).toISOString().slice(0, 10),
      rows: stored,
      quarantined,
      api: given,
    })),
    differences: audit.differences.map(({ kind, span, count, examples }) => ({
      kind,
      ...isoEnds(span),
      count,
      examples,
      again: kind === 'extra' ? null : isoSpan(span),
    })),
    other_filters: audit.otherFilters,
    requests: meter.requests,
    bytes: meter.bytes,
  };
}

function isoEnds({ from, to }: Span): { from: string; to: string } {
  return { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
}
