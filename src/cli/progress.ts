import { amountText, clockText, countText, isoTime, lengthText, timeText } from '../amounts.ts';
import { errorJson } from '../errors.ts';
import type { Ms, Span } from '../model.ts';
import type { Meter, Stream } from '../sources/source.ts';
import type { RunEvent } from '../sync/run.ts';
import type { RunTotals } from '../sync/totals.ts';
import type { CliContext } from './command.ts';
import { printable, withoutName } from './table.ts';

const DRAW_MS = 120;
/** How often waits and remaining times are told anew while nothing else happens. */
const TICK_MS = 1_000;
const LINE_MS = 5_000;
const BAR_WIDTH = 12;
/** Before so much time and so much of the whole have passed, the time to go is anybody's guess. */
const LEAST_PACE_MS = 5_000;
const LEAST_PACE_SHARE = 0.05;

/** Shows how each stream gets on: redrawn lines on a terminal, now and then a plain line elsewhere, JSON with `--json`. */
export interface ProgressView {
  /** `lane`: of those that several of a process read a stream in; each has a line. Absent: the first. */
  update(stream: Stream, event: RunEvent, lane?: number): void;
  /** Text for people above the lines, ending with a newline. */
  write(text: string): void;
  /** Draws the last state; a second call does nothing. */
  close(): void;
}

/** How progress is shown. */
export interface ProgressOptions {
  readonly json: boolean;
  /** Whether it is the live log that is read: sweep, backfill and audit leave it what it is expected to need. */
  readonly live: boolean;
  /** ms since any fixed moment, which never go back: for rates and times to go. */
  readonly elapsed?: () => number;
}

interface Line {
  readonly stream: Stream;
  readonly name: string;
  readonly startedMs: number;
  window: Span | null;
  /** How much is read of all that the run has to read, from 0 to 1. */
  whole: number | null;
  /** The share and time at the last batch before anything moved: what is left is reckoned from the pace since then. */
  pace: { readonly share: number; readonly atMs: number } | null;
  /** What was left at the last batch, where that can be said. */
  toGo: { readonly ms: number; readonly atMs: number } | null;
  totals: Readonly<RunTotals> | null;
  meter: Readonly<Meter> | null;
  heldBy: string | null;
  /** The retry under way since the last failure, and its cause; null: nothing failed since the last answer. */
  retry: { readonly count: number; readonly why: string } | null;
  waitsUntilMs: number | null;
  /** Waits that had ended when this one began. */
  waitsBefore: number;
  saidMs: number;
}

/** Progress on stderr, so that stdout holds data alone; with `json` lines on stdout. */
export function createProgress(
  context: Pick<CliContext, 'stdout' | 'stderr' | 'isTty' | 'clock'>,
  { json, live, elapsed = () => performance.now() }: ProgressOptions,
): ProgressView {
  const lines = new Map<string, Line>();
  let drawn = 0;
  let drawnMs = 0;
  let closed = false;
  const ticking = !json && context.isTty ? setInterval(() => lines.size > 0 && draw(), TICK_MS) : undefined;
  ticking?.unref();

  function draw(above = ''): void {
    const width = (context.stderr.columns ?? 100) - 1;
    const up = drawn > 0 ? `\u001b[${drawn}A` : '';
    // In one piece, so that no half-drawn state shows.
    const text = [...lines.values()].map(
      (line) => `\u001b[2K${describe(line, live, context.clock.now(), elapsed()).slice(0, width)}\n`,
    );
    context.stderr.write(`${up}${above === '' ? '' : `\u001b[J${above}`}${text.join('')}`);
    drawn = lines.size;
    drawnMs = elapsed();
  }

  function say(line: Line, now: number): void {
    line.saidMs = now;
    context.stderr.write(`${describe(line, live, context.clock.now(), now)}\n`);
  }

  return {
    update(stream, event, lane = 0) {
      const now = elapsed();
      const name = lane === 0 ? stream.id : `${stream.id} (lane ${lane})`;
      const line = lines.get(name) ?? newLine(stream, name, now);
      lines.set(name, line);
      const news = apply(line, event, now, context.clock.now());
      // An outage is told once, not with each retry.
      const told = !news && line.retry !== null && event.kind !== 'held';
      if (json) {
        if (!told || event.kind !== 'retrying')
          context.stdout.write(`${JSON.stringify(asJson(stream, event))}\n`);
      } else if (context.isTty) {
        if (now - drawnMs >= DRAW_MS) draw();
      } else if (news || (!told && now - line.saidMs >= LINE_MS)) say(line, now);
    },
    write(text) {
      if (drawn > 0 && !closed) draw(text);
      else context.stderr.write(text);
    },
    close() {
      if (closed) return;
      closed = true;
      clearInterval(ticking);
      if (!json && context.isTty && lines.size > 0) draw();
    },
  };
}

function newLine(stream: Stream, name: string, now: number): Line {
  return {
    stream,
    name,
    startedMs: now,
    window: null,
    whole: null,
    pace: null,
    toGo: null,
    totals: null,
    meter: null,
    heldBy: null,
    retry: null,
    waitsUntilMs: null,
    waitsBefore: 0,
    saidMs: now,
  };
}

/** True where the event is worth a line: another process holds the stream, a long wait begins, or a first try failed. */
function apply(line: Line, event: RunEvent, now: number, clockMs: Ms): boolean {
  if (event.kind === 'waiting') {
    line.waitsUntilMs = clockMs + event.waitMs;
    line.waitsBefore = line.meter?.waits ?? 0;
    return event.waitMs >= LINE_MS;
  }
  const before = line.heldBy;
  line.heldBy = event.kind === 'held' ? event.by : null;
  if (event.kind === 'held') return before !== event.by;
  if (event.kind === 'retrying') {
    const isFirst = line.retry === null;
    line.retry = { count: event.retry, why: withoutName(event.error.message, line.stream.id) };
    line.totals = event.totals;
    line.meter = event.meter;
    return isFirst;
  }
  line.retry = null;
  line.window = event.window;
  line.whole = event.whole;
  if (event.kind === 'window') return false;
  reckon(line, now);
  line.totals = event.totals;
  line.meter = event.meter;
  if (event.meter.waits > line.waitsBefore) line.waitsUntilMs = null;
  return false;
}

/** A pace that begins only when something moves, and is not believed before it has gone on for a while. */
function reckon(line: Line, now: number): void {
  const { whole, pace } = line;
  line.toGo = null;
  if (whole === null) return;
  if (pace === null || whole <= pace.share) {
    line.pace = { share: whole, atMs: now };
    return;
  }
  const took = now - pace.atMs;
  const moved = whole - pace.share;
  if (took < LEAST_PACE_MS || moved < LEAST_PACE_SHARE || whole === 1) return;
  line.toGo = { ms: (took * (1 - whole)) / moved, atMs: now };
}

function describe(line: Line, live: boolean, clockMs: Ms, now: number): string {
  const { stream, name, window, whole, totals, meter, heldBy, retry, waitsUntilMs } = line;
  if (heldBy !== null) return `${name}: waiting for ${printable(heldBy)}, which is reading it now`;
  const waitMs = (waitsUntilMs ?? 0) - clockMs;
  const waits = waitMs > 0 ? `waits for quota until ${untilText(clockMs + waitMs, clockMs)}` : null;
  if (window === null && waits === null) return `${name}: starting`;
  const seconds = Math.max(0.001, (now - line.startedMs) / 1000);
  const parts = [
    whole === null ? null : bar(whole),
    waits ?? (retry === null ? toGoText(line, now) : `retry ${retry.count}: ${printable(retry.why)}`),
    totals === null ? null : amountText(totals.fetched, 'entry', 'entries'),
    totals === null || totals.fetched === 0 ? null : `${countText(Math.round(totals.fetched / seconds))}/s`,
    meter === null ? null : amountText(meter.requests, 'request'),
    quotaText(stream, waits === null ? null : live ? 'in reserve' : 'for the live log'),
    window === null ? null : `${stamp(window.from)} to ${stamp(window.to)}`,
  ];
  return `${name}: ${parts.filter((part) => part !== null).join('  ')}`;
}

/** `kept`: for what is left that is waited for all the same; null: nobody waits. */
function quotaText(stream: Stream, kept: string | null): string | null {
  const { remaining, limit } = stream.quota();
  if (remaining === null) return null;
  const why = kept === null || remaining === 0 ? '' : `, kept ${kept}`;
  return `quota left ${countText(remaining)}${limit === null ? '' : ` of ${countText(limit)}`}${why}`;
}

function untilText(ms: Ms, clockMs: Ms): string {
  return `${clockText(ms, clockMs, true)} (${lengthText(ms - clockMs)})`;
}

/** Counted down between batches. */
function toGoText({ toGo }: Line, now: number): string | null {
  const ms = toGo === null ? 0 : toGo.ms - (now - toGo.atMs);
  return ms <= 0 ? null : `${lengthText(Math.max(1000, ms))} to go`;
}

function bar(share: number): string {
  const full = Math.floor(share * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_WIDTH - full)}] ${Math.floor(share * 100)} %`;
}

function asJson(stream: Stream, event: RunEvent): Readonly<Record<string, unknown>> {
  const { id } = stream;
  if (event.kind === 'held') return { stream: id, event: 'held', by: event.by };
  if (event.kind === 'waiting') return { stream: id, event: 'waiting', wait_ms: Math.round(event.waitMs) };
  if (event.kind === 'retrying') {
    const { error, meter } = event;
    return { stream: id, event: 'retrying', error: errorJson(error), requests: meter.requests };
  }
  const window = { from: isoTime(event.window.from), to: isoTime(event.window.to) };
  if (event.kind === 'window') return { stream: id, event: 'window', window };
  const { fetched, fresh, known, quarantined } = event.totals;
  const { limit, remaining, resetMs } = stream.quota();
  return {
    stream: id,
    event: 'stored',
    window,
    share: event.share,
    plan_share: event.whole,
    fetched,
    new: fresh,
    known,
    quarantined,
    requests: event.meter.requests,
    quota: { limit, remaining, reset_at: isoTime(resetMs) },
  };
}

/** Month to minute: a progress line is short. */
function stamp(ms: Ms): string {
  return timeText(ms).slice(5, 16);
}
