import type { Ms, Span, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { missingOf } from './reach.ts';
import { floorSecond, intersect, length, subtract, union } from './spans.ts';

/** What a run wants of a stream. */
export interface Ask {
  /** Read up to here, exclusive: the API's now less the settle delay, or an earlier end. */
  readonly targetMs: Ms;
  readonly overlapMs: number;
  readonly pageSize: number;
  /** Covered spans to read once more. */
  readonly again: Spans;
  /** How far before the asked time a first read starts: what it finds there is stored, but that time is not owed. */
  readonly leadMs: number;
  /** True: the lead is a window of its own, since an ascending read of it would hold up what is owed. */
  readonly leadApart?: boolean;
}

/**
 * Windows to read: what is asked for minus what is covered, plus the re-reads that fall due. None overlaps another
 * or an open window. A first run, a run after a gap of any length, an earlier `since` and an interrupted run are
 * all this one subtraction.
 */
export function planWindows(progress: Progress, ask: Ask): Spans {
  const target = floorSecond(ask.targetMs);
  const asked: Span = { from: floorSecond(progress.askedFrom), to: target };
  if (asked.to <= asked.from) return [];
  const missing = missingOf(progress, [asked]);
  const repeats = union(overlap(progress, missing, ask), ripe(progress, target, ask), ask.again);
  const early = lead(progress, asked, missing, ask);
  const wanted = union(ask.leadApart ? [] : early, missing, intersect(repeats, [asked]));
  // An entry that was too large is tried again only when asked to: the body cap may have been raised.
  const taken = union(progress.open, subtract(progress.oversize, ask.again));
  return [...(ask.leadApart ? subtract(early, taken) : []), ...subtract(wanted, taken)];
}

/** Length in ms of the tail after the newest coverage, where that is all there is to read; null: there is more, or nothing. */
export function tailAlone(progress: Progress, ask: Ask): number | null {
  const target = floorSecond(ask.targetMs);
  const [tail, ...others] = missingOf(progress, [{ from: floorSecond(progress.askedFrom), to: target }]);
  if (tail === undefined || tail.from !== progress.covered.at(-1)?.to || others.length > 0) return null;
  return ask.again.length === 0 && ripe(progress, target, ask).length === 0 ? tail.to - tail.from : null;
}

/** What lies before the asked time: once, with the first second that is owed, since nothing claims it when it is read. */
function lead({ open }: Progress, asked: Span, missing: Spans, { leadMs }: Ask): Spans {
  if (missing[0]?.from !== asked.from || isIn(open, asked.from)) return [];
  return [{ from: asked.from - leadMs, to: asked.from }];
}

/** The overlap before the newest coverage, as far as one request can bring it together with the tail. */
function overlap(progress: Progress, missing: Spans, ask: Ask): Spans {
  const newest = progress.covered.at(-1)?.to;
  const tail = missing.at(-1);
  if (newest === undefined || tail?.from !== newest || progress.overlapEntries >= ask.pageSize) return [];
  // Without the tail, which another has in hand, it would be read again and again until that is read.
  if (isIn(progress.open, newest)) return [];
  // What lies before an entry that was too large takes windows of its own: not with every tick, but once it is ripe.
  return subtract([{ from: newest - ask.overlapMs, to: newest }], progress.oversize).slice(-1);
}

/**
 * Where the overlap is larger than a page, what was read too young is read again once it is old enough, an
 * overlap's length at a time: with every tick it would cost as much as the first read each time.
 */
function ripe(progress: Progress, target: Ms, ask: Ask): Spans {
  const due = intersect(subtract(progress.young, progress.oversize), [
    { from: Number.NEGATIVE_INFINITY, to: floorSecond(target - ask.overlapMs) },
  ]);
  // A strip that runs far apart leave is shorter than an overlap: it must not wait for others until it expires.
  const oldest = due[0]?.from ?? Number.POSITIVE_INFINITY;
  return length(due) >= ask.overlapMs || oldest < target - 3 * ask.overlapMs ? due : [];
}

function isIn(spans: Spans, at: Ms): boolean {
  return spans.some(({ from, to }) => from <= at && at < to);
}
