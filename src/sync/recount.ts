import { DAY_MS, HOUR_MS } from '../clock.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { isRow, type Meter, type Reject, type Stream } from '../sources/source.ts';
import type { Outcome } from './ledger.ts';
import { PRIORITY } from './priority.ts';
import { restOf } from './rest.ts';
import { betweenEdges, floorSecond } from './spans.ts';
import type { HourCounts, Stock } from './stock.ts';

/** Away from whole hours and minutes, where the windows of syncs and sweeps often end. */
const OFFSET_MS = 1_043_000;
/** Keys of so many entries are held at once, about. */
const ENTRIES_AT_ONCE = 50_000;
const EXAMPLES = 5;
/** Windows that a lost cursor or a time-out may be split into in a row; then something is wrong that no window cures. */
const MOST_SPLITS = 60;

/** How one window compares. */
export interface WindowCount {
  readonly window: Span;
  /** Entries that the API gave, each key once, by the UTC day that begins at the key. */
  readonly given: HourCounts;
  /** Given, and not in the tables. */
  readonly missing: number;
  /** From the first to the last that is missing, in whole seconds. */
  readonly missingSpan: Span | null;
  /** In the tables, and not given. */
  readonly extra: number;
  /** Given, cannot become a row, and does not wait in quarantine. */
  readonly unquarantined: number;
  /** Some keys of those that are missing, and of those that are extra. */
  readonly missingKeys: readonly string[];
  readonly extraKeys: readonly string[];
}

/** What recounting needs. */
export interface RecountContext {
  readonly stream: Stream;
  readonly stock: Stock;
  readonly signal: AbortSignal;
  readonly meter: Meter;
  readonly onWait: (waitMs: number) => void;
  readonly onWindow: (count: WindowCount) => void;
  /** A millisecond with an entry that is longer than the body cap. */
  readonly onOversize: (span: Span) => void;
}

/**
 * Reads windows once more without storing anything and compares the keys with those of the tables; memory holds the
 * keys of one window. A window whose cursor is lost, or whose query times out, is read in halves; what is too large
 * to read is left out. Throws what reading throws.
 */
export async function recount(context: RecountContext, windows: Spans): Promise<Outcome> {
  const queue = [...windows];
  let splits = 0;
  for (let window = queue.shift(); window !== undefined; window = queue.shift()) {
    if (context.signal.aborted) return 'stopped';
    try {
      context.onWindow(await recountWindow(context, window));
      splits = 0;
    } catch (error) {
      if (isFailure(error, 'aborted')) return 'stopped';
      const reason = (['cursor', 'timeout', 'oversize'] as const).find((kind) => isFailure(error, kind));
      if (reason === undefined || ++splits > MOST_SPLITS) throw error;
      // Nothing of a window counts before its end, whatever the order: as for a descending stream.
      const rest = restOf('descending', window, null, reason, (error as LogkeepError).atMs);
      if (rest === null) throw error;
      queue.unshift(...rest.windows);
      if (rest.oversize !== null) {
        splits = 0;
        context.onOversize(rest.oversize);
      }
    }
  }
  return 'done';
}

async function recountWindow(context: RecountContext, window: Span): Promise<WindowCount> {
  const { stream, stock, signal, meter, onWait } = context;
  const since = await stock.now();
  const given = new Map<string, Ms>();
  const rejects: Reject[] = [];
  const inside = (timeMs: Ms) => timeMs >= window.from && timeMs < window.to;
  let ended = false;
  for await (const page of stream.read({
    window,
    cursor: null,
    signal,
    meter,
    onWait,
    // Whatever else is to be read goes before an audit.
    priority: PRIORITY.backfill,
  })) {
    for (const made of page.entries) {
      if (made.timeMs !== null && !inside(made.timeMs)) continue;
      if (isRow(made)) given.set(made.key, made.timeMs);
      else rejects.push(made);
    }
    ended = page.next === null;
  }
  if (!ended) throw new LogkeepError('protocol', `${stream.id}: the chain ended without a last page`);
  const days = new Map<Ms, number>();
  for (const timeMs of given.values()) {
    const day = Math.floor(timeMs / DAY_MS) * DAY_MS;
    days.set(day, (days.get(day) ?? 0) + 1);
  }
  const extraKeys: string[] = [];
  let extra = 0;
  for await (const keys of stock.keys(window, since)) {
    for (const { key, young } of keys) {
      if (given.delete(key) || young) continue;
      extra += 1;
      if (extraKeys.length < EXAMPLES) extraKeys.push(key);
    }
  }
  let first = Number.POSITIVE_INFINITY;
  let last = Number.NEGATIVE_INFINITY;
  const missingKeys: string[] = [];
  for (const [key, timeMs] of given) {
    first = Math.min(first, timeMs);
    last = Math.max(last, timeMs);
    if (missingKeys.length < EXAMPLES) missingKeys.push(key);
  }
  return {
    window,
    given: days,
    missing: given.size,
    missingSpan: given.size === 0 ? null : { from: floorSecond(first), to: floorSecond(last) + 1000 },
    extra,
    unquarantined: rejects.length === 0 ? 0 : await stock.absent(rejects),
    missingKeys,
    extraKeys,
  };
}

/**
 * The windows to read spans again in: cut at other places than syncs and sweeps cut, at least once each, with about
 * as many entries each as memory should hold, a day at most.
 */
export function cutAnew(spans: Spans, stored: HourCounts): Spans {
  return spans.flatMap((span) => {
    const edges = gridEdges(span, stored);
    if (edges.length === 0) {
      const middle = floorSecond((span.from + span.to) / 2);
      if (middle > span.from) edges.push(middle);
    }
    return betweenEdges([span.from, ...edges, span.to]);
  });
}

function gridEdges(span: Span, stored: HourCounts): Ms[] {
  const edges: Ms[] = [];
  let begin = span.from;
  let entries = 0;
  const first = Math.floor((span.from - OFFSET_MS) / HOUR_MS) * HOUR_MS + OFFSET_MS;
  for (let from = first; from < span.to; from += HOUR_MS) {
    // The hour before and after the offset: an estimate is enough.
    const hour = from - OFFSET_MS;
    const count = Math.max(stored.get(hour) ?? 0, stored.get(hour + HOUR_MS) ?? 0);
    const parts = Math.max(1, Math.ceil(count / ENTRIES_AT_ONCE));
    for (let part = 0; part < parts; part++) {
      const edge = floorSecond(from + (part * HOUR_MS) / parts);
      const full = entries >= ENTRIES_AT_ONCE || edge - begin >= DAY_MS - HOUR_MS;
      if (edge > begin && edge < span.to && (full || edges.length === 0)) {
        edges.push(edge);
        begin = edge;
        entries = 0;
      }
      entries += count / parts;
    }
  }
  return edges;
}
