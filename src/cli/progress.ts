import { amountText, countText, lengthText, timeText } from '../amounts.ts';
import type { Ms, Span } from '../model.ts';
import type { Meter, Stream } from '../sources/source.ts';
import type { RunEvent, RunTotals } from '../sync/run.ts';
import type { CliContext } from './command.ts';
import { printable } from './table.ts';

const DRAW_MS = 120;
/** Waits and times to go are told anew so often, though nothing happens. */
const TICK_MS = 1_000;
const LINE_MS = 5_000;
const BAR_WIDTH = 12;

/** Shows how each stream gets on: redrawn lines on a terminal, now and then a plain line elsewhere, JSON with `--json`. */
export interface ProgressView {
  update(stream: Stream, event: RunEvent): void;
  /** Draws the last state; a second call does nothing. */
  close(): void;
}

interface Line {
  readonly stream: Stream;
  readonly startedMs: number;
  window: Span | null;
  share: number | null;
  /** The share and time at the window's first batch: what is left is reckoned from the pace since then. */
  pace: { readonly share: number; readonly atMs: number } | null;
  totals: Readonly<RunTotals> | null;
  meter: Readonly<Meter> | null;
  heldBy: string | null;
  waitsUntilMs: number | null;
  saidMs: number;
}

/**
 * Progress on stderr, so that stdout holds data alone; with `json` lines on stdout. Rates and times to go are
 * reckoned with `elapsed`, in ms, which never goes back.
 */
export function createProgress(
  context: CliContext,
  json: boolean,
  elapsed: () => number = () => performance.now(),
): ProgressView {
  const lines = new Map<string, Line>();
  let drawn = 0;
  let drawnMs = 0;
  let closed = false;
  const ticking = !json && context.isTty ? setInterval(() => lines.size > 0 && draw(), TICK_MS) : undefined;
  ticking?.unref();

  function draw(): void {
    const width = (context.stderr.columns ?? 100) - 1;
    const up = drawn > 0 ? `\u001b[${drawn}A` : '';
    // In one piece, so that no half-drawn state shows.
    const text = [...lines.values()].map(
      (line) => `\u001b[2K${describe(line, context.clock.now(), elapsed()).slice(0, width)}\n`,
    );
    context.stderr.write(up + text.join(''));
    drawn = lines.size;
    drawnMs = elapsed();
  }

  function say(line: Line, now: number): void {
    line.saidMs = now;
    context.stderr.write(`${describe(line, context.clock.now(), now)}\n`);
  }

  return {
    update(stream, event) {
      if (json) {
        context.stdout.write(`${JSON.stringify(asJson(stream, event))}\n`);
        return;
      }
      const now = elapsed();
      const line = lines.get(stream.id) ?? newLine(stream, now);
      lines.set(stream.id, line);
      const news = apply(line, event, now, context.clock.now());
      if (context.isTty) {
        if (now - drawnMs >= DRAW_MS) draw();
      } else if (news || now - line.saidMs >= LINE_MS) say(line, now);
    },
    close() {
      if (closed) return;
      closed = true;
      clearInterval(ticking);
      if (!json && context.isTty && lines.size > 0) draw();
    },
  };
}

function newLine(stream: Stream, now: number): Line {
  return {
    stream,
    startedMs: now,
    window: null,
    share: null,
    pace: null,
    totals: null,
    meter: null,
    heldBy: null,
    waitsUntilMs: null,
    saidMs: now,
  };
}

/** True where the event is worth a line of its own: another process holds the stream, or a long wait begins. */
function apply(line: Line, event: RunEvent, now: number, clockMs: Ms): boolean {
  if (event.kind === 'waiting') {
    line.waitsUntilMs = clockMs + event.waitMs;
    return event.waitMs >= LINE_MS;
  }
  const before = line.heldBy;
  line.heldBy = event.kind === 'held' ? event.by : null;
  if (event.kind === 'held') return before !== event.by;
  line.window = event.window;
  if (event.kind === 'window') {
    line.share = null;
    line.pace = null;
    return false;
  }
  line.share = event.share;
  if (event.share !== null) line.pace ??= { share: event.share, atMs: now };
  line.totals = event.totals;
  line.meter = event.meter;
  return false;
}

function describe(line: Line, clockMs: Ms, now: number): string {
  const { stream, window, share, totals, meter, heldBy, waitsUntilMs } = line;
  if (heldBy !== null) return `${stream.id}: waiting for ${printable(heldBy)}, which reads it now`;
  if (window === null) return `${stream.id}: starting`;
  const seconds = Math.max(0.001, (now - line.startedMs) / 1000);
  const waitMs = (waitsUntilMs ?? 0) - clockMs;
  const parts = [
    share === null ? null : bar(share),
    waitMs > 0 ? `waits ${lengthText(waitMs)} for quota` : toGo(line, now),
    totals === null ? null : amountText(totals.fetched, 'entry', 'entries'),
    totals === null ? null : `${countText(Math.round(totals.fetched / seconds))}/s`,
    meter === null ? null : amountText(meter.requests, 'request'),
    quotaText(stream),
    `${stamp(window.from)} to ${stamp(window.to)}`,
  ];
  return `${stream.id}: ${parts.filter((part) => part !== null).join('  ')}`;
}

function quotaText(stream: Stream): string | null {
  const { remaining, limit } = stream.quota();
  if (remaining === null) return null;
  return `quota left ${countText(remaining)}${limit === null ? '' : ` of ${countText(limit)}`}`;
}

function toGo({ share, pace }: Line, now: number): string | null {
  if (share === null || pace === null || share <= pace.share || share === 1) return null;
  const leftMs = ((now - pace.atMs) * (1 - share)) / (share - pace.share);
  return `${lengthText(Math.max(1000, leftMs))} to go`;
}

function bar(share: number): string {
  const full = Math.floor(share * BAR_WIDTH);
  return `[${'#'.repeat(full)}${'-'.repeat(BAR_WIDTH - full)}] ${Math.floor(share * 100)} %`;
}

function asJson(stream: Stream, event: RunEvent): Readonly<Record<string, unknown>> {
  const { id } = stream;
  if (event.kind === 'held') return { stream: id, event: 'held', by: event.by };
  if (event.kind === 'waiting') return { stream: id, event: 'waiting', wait_ms: Math.round(event.waitMs) };
  const window = { from: iso(event.window.from), to: iso(event.window.to) };
  if (event.kind === 'window') return { stream: id, event: 'window', window };
  const { fetched, fresh, known, quarantined } = event.totals;
  const { limit, remaining, resetMs } = stream.quota();
  return {
    stream: id,
    event: 'stored',
    window,
    share: event.share,
    fetched,
    new: fresh,
    known,
    quarantined,
    requests: event.meter.requests,
    quota: { limit, remaining, reset_at: resetMs === null ? null : iso(resetMs) },
  };
}

/** Month to minute: a progress line is short. */
function stamp(ms: Ms): string {
  return timeText(ms).slice(5, 16);
}

function iso(ms: Ms): string {
  return new Date(ms).toISOString();
}
