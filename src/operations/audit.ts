import type { App, OpenStream } from '../app.ts';
import { DAY_MS, HOUR_MS } from '../clock.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { createMeter, type Meter } from '../sources/source.ts';
import { countStored, openStock, readRecord, type StreamRecord } from '../store/audit.ts';
import type { Outcome } from '../sync/ledger.ts';
import { stayingFrom } from '../sync/plan-sweep.ts';
import { PRIORITY } from '../sync/priority.ts';
import { missingOf } from '../sync/reach.ts';
import { cutAnew, recount, type WindowCount } from '../sync/recount.ts';
import { floorSecond, intersect, subtract, union } from '../sync/spans.ts';
import type { HourCounts } from '../sync/stock.ts';

/** What an audit is asked for. */
export interface AuditAsk {
  /** Null: from the earliest time that was asked for. */
  readonly fromMs: Ms | null;
  /** Null: up to the newest coverage less the overlap, which is still to be read once more. */
  readonly toMs: Ms | null;
  /** `keys`: the span is read once more and each entry compared. `count`: the API's own counts, by hour. */
  readonly by: 'keys' | 'count';
  readonly signal: AbortSignal;
  readonly onWait: (waitMs: number) => void;
  readonly onWindow: (window: Span) => void;
}

/** Something that is not as it should be; `unquarantined`: entries that are neither rows nor in quarantine. */
export interface Difference {
  readonly kind: 'missing' | 'extra' | 'unquarantined' | 'oversize' | 'count';
  readonly span: Span;
  readonly count: number;
  /** Some of their keys (entry's id and time in ms); of kind `count` both counts. */
  readonly examples: readonly string[];
}

/** A UTC day of the span. */
export interface DayCount {
  readonly dayMs: Ms;
  /** Stored rows of the part of the day that lies in the span; by count, of the hours that were compared. */
  readonly stored: number;
  readonly quarantined: number;
  /** Entries that the API gave or counted of what was compared; null: nothing was. */
  readonly given: number | null;
}

/** What an audit found of a stream. */
export interface Audit {
  readonly span: Span;
  readonly by: AuditAsk['by'];
  /** `failed`: the recount, by `error`; `stopped`: on request. It holds what was found until then. */
  readonly outcome: Outcome;
  readonly error: LogkeepError | null;
  readonly settled: Spans;
  /** Covered, and not settled yet. */
  readonly unsettled: Spans;
  readonly holes: Spans;
  readonly expired: Spans;
  readonly oversize: Spans;
  /** What was counted anew; the rest the API no longer shows, or it was never read. */
  readonly recounted: Spans;
  readonly days: readonly DayCount[];
  readonly differences: readonly Difference[];
  /** Rows that the API does not show may have been stored under other filters; then they are no difference. */
  readonly otherFilters: boolean;
  readonly meter: Readonly<Meter>;
}

/**
 * Proves a span of one stream by what is on record, by what is stored and by what the API shows of it now; loads
 * nothing. Null where the stream was never read. Throws `database`; what fails of the recount is in the result.
 */
export async function auditStream(app: App, open: OpenStream, ask: AuditAsk): Promise<Audit | null> {
  const { store, clock } = app;
  const { stream, settings } = open;
  const record = await readRecord(store, stream);
  if (record === null) return null;
  const span = spanOf(record, settings.overlapMs, ask);
  const nowMs = clock.now() + record.skewMs;
  const shown: Span = {
    from: stayingFrom(nowMs, settings.retentionMs),
    to: floorSecond(nowMs - settings.settleMs),
  };
  const covered = intersect(record.covered, [span]);
  const meter = createMeter();
  const proof = { app, open, ask, meter, span };
  const within = intersect(covered, [shown]);
  const proven = await (ask.by === 'keys' ? proveKeys(proof, within) : proveCounts(proof, within));
  return {
    span,
    by: ask.by,
    ...proven,
    settled: intersect(record.settled, [span]),
    unsettled: subtract(covered, record.settled),
    holes: missingOf(record, [span]),
    expired: intersect(record.expired, [span]),
    oversize: intersect(record.oversize, [span]),
    days: daysOf(span, proven),
    otherFilters: record.otherFilters,
    meter,
  };
}

/** Whether all is proven: nothing missing, lost, or different. */
export function isSound(audit: Audit): boolean {
  const { span, holes, expired, oversize, differences, outcome, otherFilters } = audit;
  return (
    outcome === 'done' &&
    // An empty span proves nothing: a stream that was never read to the end of a window has no span of its own.
    span.to > span.from &&
    holes.length + expired.length + oversize.length === 0 &&
    differences.every(({ kind }) => kind === 'extra' && otherFilters)
  );
}

function spanOf(record: StreamRecord, overlapMs: number, { fromMs, toMs }: AuditAsk): Span {
  const from = floorSecond(fromMs ?? record.askedFromMs);
  const newest = record.covered.at(-1)?.to ?? from;
  return { from, to: Math.max(from, floorSecond(toMs ?? newest - overlapMs)) };
}

interface Proof {
  readonly app: App;
  readonly open: OpenStream;
  readonly ask: AuditAsk;
  readonly meter: Meter;
  readonly span: Span;
}

interface Proven extends Pick<Audit, 'outcome' | 'error' | 'recounted' | 'differences'> {
  /** What the API gave, by hour or day. */
  readonly given: HourCounts;
  /** What is stored here, by hour: of the whole span, or of the hours that the API counted. */
  readonly rows: HourCounts;
  readonly quarantined: HourCounts;
}

/** Each entry of the spans, read once more by windows that are cut at other places. */
async function proveKeys(proof: Proof, spans: Spans): Promise<Proven> {
  const { app, open, ask, meter, span } = proof;
  const stored = await countStored(app.store, open.stream, span);
  const differences: Difference[] = [];
  const given = new Map<Ms, number>();
  const done: Span[] = [];
  const note = (count: WindowCount) => {
    const { window, missing, missingSpan, extra, unquarantined } = count;
    done.push(window);
    for (const [day, entries] of count.given) addTo(given, day, entries);
    if (missingSpan !== null)
      differences.push({ kind: 'missing', span: missingSpan, count: missing, examples: count.missingKeys });
    if (extra > 0) differences.push({ kind: 'extra', span: window, count: extra, examples: count.extraKeys });
    if (unquarantined > 0)
      differences.push({ kind: 'unquarantined', span: window, count: unquarantined, examples: [] });
    ask.onWindow(window);
  };
  const context = {
    stream: open.stream,
    stock: openStock(app.store, open.stream),
    signal: ask.signal,
    meter,
    onWait: ask.onWait,
    onWindow: note,
    onOversize: (span: Span) => differences.push({ kind: 'oversize', span, count: 1, examples: [] }),
  };
  const end = await ended(() => recount(context, cutAnew(spans, stored.rows)));
  return { ...end, recounted: union(done), differences, given, ...stored };
}

/** The API's own counts of the whole hours in the spans, a day with each request. */
async function proveCounts(proof: Proof, spans: Spans): Promise<Proven> {
  const { app, open, ask, meter } = proof;
  const { stream } = open;
  const differences: Difference[] = [];
  const [given, stored, waiting] = [new Map<Ms, number>(), new Map<Ms, number>(), new Map<Ms, number>()];
  const done: Span[] = [];
  const end = await ended(async (): Promise<Outcome> => {
    for (const window of spans.flatMap(wholeHours)) {
      if (ask.signal.aborted) return 'stopped';
      const { signal, onWait } = ask;
      const counts = await stream.count?.({ window, signal, meter, onWait, priority: PRIORITY.backfill });
      if (counts === undefined) throw new Error(`${stream.id}: its API has no counts`);
      for (const { fromMs, count } of counts) addTo(given, fromMs, count);
      // After the API's answer: what was stored meanwhile is in both.
      const { rows, quarantined } = await countStored(app.store, stream, window);
      for (const [hour, count] of rows) stored.set(hour, count);
      for (const [hour, count] of quarantined) waiting.set(hour, count);
      const told = new Map(counts.map(({ fromMs, count }) => [fromMs, count]));
      for (let from = window.from; from < window.to; from += HOUR_MS) {
        const here = (rows.get(from) ?? 0) + (quarantined.get(from) ?? 0);
        const there = told.get(from) ?? 0;
        if (here === there) continue;
        const examples = [`${there} by the API's count, ${here} stored`];
        const span = { from, to: from + HOUR_MS };
        differences.push({ kind: 'count', span, count: there - here, examples });
      }
      done.push(window);
      ask.onWindow(window);
    }
    return 'done';
  });
  return { ...end, recounted: union(done), differences, given, rows: stored, quarantined: waiting };
}

/** The whole hours of a span, by UTC day. */
function wholeHours({ from, to }: Span): Spans {
  const windows: Span[] = [];
  const last = Math.floor(to / HOUR_MS) * HOUR_MS;
  for (let begin = Math.ceil(from / HOUR_MS) * HOUR_MS; begin < last; ) {
    const end = Math.min(last, dayOf(begin) + DAY_MS);
    windows.push({ from: begin, to: end });
    begin = end;
  }
  return windows;
}

/** A failed call is how it ended; a bug is thrown. */
async function ended(work: () => Promise<Outcome>): Promise<Pick<Audit, 'outcome' | 'error'>> {
  try {
    return { outcome: await work(), error: null };
  } catch (error) {
    if (!(error instanceof LogkeepError)) throw error;
    return error.kind === 'aborted' ? { outcome: 'stopped', error: null } : { outcome: 'failed', error };
  }
}

function daysOf(span: Span, { rows, quarantined, given }: Proven): readonly DayCount[] {
  const [stored, waiting, told] = [rows, quarantined, given].map(byDay) as [
    HourCounts,
    HourCounts,
    HourCounts,
  ];
  const days: DayCount[] = [];
  for (let dayMs = dayOf(span.from); dayMs < span.to; dayMs += DAY_MS) {
    days.push({
      dayMs,
      stored: stored.get(dayMs) ?? 0,
      quarantined: waiting.get(dayMs) ?? 0,
      given: told.get(dayMs) ?? null,
    });
  }
  return days;
}

function byDay(counts: HourCounts): HourCounts {
  const days = new Map<Ms, number>();
  for (const [ms, count] of counts) addTo(days, dayOf(ms), count);
  return days;
}

function addTo(counts: Map<Ms, number>, at: Ms, count: number): void {
  counts.set(at, (counts.get(at) ?? 0) + count);
}

function dayOf(ms: Ms): Ms {
  return Math.floor(ms / DAY_MS) * DAY_MS;
}
