import { amountText, clockText, countText, lengthText, spanText } from '../amounts.ts';
import type { Ms, Span } from '../model.ts';
import { spreadText } from '../operations/pacing.ts';
import type { RunStatus, StreamStatus } from '../store/status.ts';
import type { Spread } from '../sync/spread.ts';

/** Why a stream is where it is: the first of these that holds, in this order of asking. */
export type Cause =
  | 'caught_up'
  | 'never_read'
  | 'not_configured'
  | 'quota'
  | 'auth'
  | 'unavailable'
  | 'failing'
  | 'backlog'
  | 'held'
  | 'no_process'
  | 'paced'
  | 'due';

/** What is known of one stream. */
export interface WhyInput {
  readonly stream: string;
  /** Null: the database knows nothing of it yet. */
  readonly status: StreamStatus | null;
  /** Null: not configured where this is asked. */
  readonly settleMs: number | null;
  /** Processes of `logkeep serve` that live. */
  readonly processes: number;
  /** The settings ask for other entries than those that the database's progress is about: `status` is null then. */
  readonly changed?: boolean;
  /** How its reads are spread; null or absent: as its schedule says. */
  readonly spread?: Spread | null;
}

/** Where one stream is, and why, for people and machines. */
export interface Why {
  readonly stream: string;
  readonly cause: Cause;
  /** One sentence without an end mark; may quote an API's error, so escape it for a terminal. */
  readonly sentence: string;
  /** From the newest coverage, or from what was asked for if there is none, to now; null: never read. */
  readonly behindMs: number | null;
  /** What is read next; null: nothing is known to be missing. */
  readonly next: Span | null;
  /** Length of what expired before it was read. */
  readonly lostMs: number;
  /** Since when the cause holds, and until when it will, where that is known. */
  readonly sinceMs: Ms | null;
  readonly untilMs: Ms | null;
}

/** A stream that is no further behind than this, beyond its settle delay, is caught up: a tick may be a minute away. */
const TOLERATED_MS = 3 * 60_000;
/** What is not read with so little of the retention left is worth a warning. */
const NEAR_SHARE = 0.2;
const API_TROUBLE = { auth: 'the API refuses the credentials', unavailable: 'the API is down' } as const;
/** Most characters of an API's error in a sentence. */
const MOST_ERROR = 200;

type Reason = Pick<Why, 'cause' | 'sinceMs' | 'untilMs'> & { readonly text: string };

/** One sentence about one stream: how far it is behind, why, what comes next and what is lost. Pure. */
export function explain(input: WhyInput): Why {
  const { stream, status, settleMs, processes, spread = null } = input;
  if (status === null) return neverRead(input);
  const behindMs = Math.max(0, status.nowMs - (status.coveredToMs ?? status.askedFromMs));
  const lostMs = lengthOf(status, 'expired');
  const { count: holes, lengthMs: holesMs } = status.owedHoles;
  const late = isLate(behindMs, settleMs);
  const next = late || holesMs > 0 ? nextWindow(status, settleMs ?? 0) : null;
  const reason = late || holesMs > 0 ? reasonOf(input, status) : fine(status);
  const head = late
    ? `${stream} is ${lengthText(behindMs)} behind`
    : holesMs > 0
      ? `${stream} is caught up but for ${amountText(holes, 'hole')} (${lengthText(holesMs)})`
      : `${stream} is caught up`;
  const parts = [
    `${head}${reason.text}`,
    reason.cause === 'caught_up' && spread !== null ? `it is ${slowText(spread)}` : null,
    next === null ? null : `next window ${spanText(next, status.nowMs)}`,
    lossText(status, lostMs),
    backfillText(status, processes),
    reason.cause === 'caught_up' ? troubleText(status) : null,
  ];
  return {
    stream,
    cause: reason.cause,
    sentence: parts.filter((part) => part !== null).join('; '),
    behindMs,
    next,
    lostMs,
    sinceMs: reason.sinceMs,
    untilMs: reason.untilMs,
  };
}

/** Whether a stream that is `behindMs` behind is not caught up. */
export function isLate(behindMs: number, settleMs: number | null): boolean {
  return behindMs > (settleMs ?? 0) + TOLERATED_MS;
}

function neverRead({ stream, processes, changed = false }: WhyInput): Why {
  const what =
    processes > 0
      ? `${amountText(processes, 'process serves', 'processes serve')}, and its first run is due`
      : 'start `logkeep serve`, or run `logkeep sync`';
  return {
    stream,
    cause: 'never_read',
    sentence: `${stream} was never read${changed ? ' with these settings' : ''}: ${what}`,
    behindMs: null,
    next: null,
    lostMs: 0,
    sinceMs: null,
    untilMs: null,
  };
}

function fine(status: StreamStatus): Reason {
  const until =
    status.coveredToMs === null
      ? ''
      : `: all until ${clockText(status.coveredToMs, status.nowMs, true)} is stored`;
  return { cause: 'caught_up', text: until, sinceMs: null, untilMs: null };
}

/** What the syncs fail by though the stream is not late yet; null: they do not, or one that runs has got something. */
function troubleText({ stream, failing, running }: StreamStatus): string | null {
  if (failing === null || running.some(({ job, fetched }) => job === 'sync' && fetched > 0)) return null;
  const { kind, error, runs } = failing;
  const tries = runs === 1 ? 'the last sync failed' : `the last ${countText(runs)} syncs failed`;
  const why = errorText(error, stream);
  if (kind === 'auth' || kind === 'unavailable') {
    return `but ${tries}: ${API_TROUBLE[kind]}${why === null ? '' : ` (${why})`}`;
  }
  return `but ${tries}${why === null ? '' : `: ${why}`}`;
}

function reasonOf({ settleMs, processes, spread = null }: WhyInput, status: StreamStatus): Reason {
  const { nowMs, failing, quota, running } = status;
  const readers = running.filter(({ job }) => job === 'sync');
  const reading = readers.find(({ fetched }) => fetched > 0);
  const waits = readers.flatMap(({ waitsUntilMs }) =>
    waitsUntilMs !== null && waitsUntilMs > nowMs ? [waitsUntilMs] : [],
  );
  if (waits.length > 0) return spent(Math.min(...waits), nowMs);
  if (reading === undefined && failing !== null) return failed(status, processes);
  if (
    reading === undefined &&
    quota.remaining !== null &&
    quota.remaining <= 0 &&
    (quota.resetMs ?? 0) > nowMs
  ) {
    return spent(quota.resetMs as number, nowMs);
  }
  const first = reading ?? readers[0];
  if (first !== undefined) return backlog(first, nowMs);
  const holder = status.windows.find(({ job, holder: by }) => job === 'sync' && by !== null)?.holder ?? null;
  if (holder !== null) return reason('held', ` because ${holder} holds its window`, null, null);
  if (settleMs === null) {
    return reason('not_configured', ' because it is not configured here', null, null);
  }
  const last = status.lastSync;
  const lastText = last === null ? 'it was never synced' : `its last run ${endText(last, nowMs)}`;
  const since = last?.finishedMs ?? last?.startedMs ?? null;
  if (processes === 0) return reason('no_process', ` because no process runs: ${lastText}`, since, null);
  if (spread !== null) return reason('paced', ` because it is ${slowText(spread)}`, since, null);
  return reason(
    'due',
    ` because its next run is due: ${lastText}, and ${amountText(processes, 'process serves', 'processes serve')}`,
    since,
    null,
  );
}

function slowText(spread: Spread): string {
  return `${spreadText(spread)}: its quota allows no more`;
}

function spent(untilMs: Ms, nowMs: Ms): Reason {
  return reason('quota', ` because the quota is spent until ${clockText(untilMs, nowMs)}`, null, untilMs);
}

/** Syncs fail one after the other, and none that runs now has got anything. */
function failed({ stream, failing, nowMs }: StreamStatus, processes: number): Reason {
  const { kind, error, runs, sinceMs } = failing as NonNullable<StreamStatus['failing']>;
  const since = `since ${clockText(sinceMs, nowMs)}`;
  const quoted = errorText(error, stream);
  const why = quoted === null ? '' : ` (${quoted})`;
  const idle = processes === 0 ? ', and no process runs' : '';
  if (kind === 'auth' || kind === 'unavailable') {
    return reason(kind, ` because ${API_TROUBLE[kind]} ${since}${why}${idle}`, sinceMs, null);
  }
  const tries = runs === 1 ? 'the last run failed' : `the last ${countText(runs)} runs failed`;
  return reason('failing', ` because ${tries} ${since}${why}${idle}`, sinceMs, null);
}

function backlog({ holder, startedMs, fetched, retries, readyAtMs }: RunStatus, nowMs: Ms): Reason {
  const lengthMs = Math.max(1, nowMs - startedMs);
  if (fetched === 0) {
    const trouble = retries > 0 ? ` and has retried ${amountText(retries, 'request')}` : '';
    return reason(
      'backlog',
      ` because ${holder} began to read ${lengthText(lengthMs)} ago${trouble}`,
      startedMs,
      null,
    );
  }
  const rate = (fetched * 1000) / lengthMs;
  const pace = `${amountText(fetched, 'entry', 'entries')} so far, ${rate < 10 ? rate.toFixed(1) : countText(Math.round(rate))}/s`;
  const ready = readyAtMs !== null && readyAtMs > nowMs ? readyAtMs : null;
  const toGo = ready === null ? '' : `, about ${lengthText(Math.max(1000, ready - nowMs))} to go`;
  return reason('backlog', ` because ${holder} reads a backlog: ${pace}${toGo}`, startedMs, ready);
}

function reason(cause: Cause, text: string, sinceMs: Ms | null, untilMs: Ms | null): Reason {
  return { cause, text, sinceMs, untilMs };
}

function endText(run: RunStatus, nowMs: Ms): string {
  const ago = `${lengthText(Math.max(0, nowMs - (run.finishedMs ?? run.startedMs)))} ago`;
  if (run.outcome === 'crashed') return `died without reporting ${ago}`;
  return run.outcome === 'stopped' ? `was stopped ${ago}` : `ended ${ago}`;
}

/** The oldest window in hand, else the oldest time that is missing. */
function nextWindow(status: StreamStatus, settleMs: number): Span | null {
  const inHand = status.windows.find(({ job }) => job === 'sync');
  if (inHand !== undefined) return { from: inHand.doneToMs ?? inHand.fromMs, to: inHand.toMs };
  const span = { from: status.missingFromMs, to: status.missingToMs ?? status.nowMs - settleMs };
  return span.to > span.from ? span : null;
}

function lossText(status: StreamStatus, lostMs: number): string {
  const { untouched, expiresInMs, retentionMs, missingFromMs, nowMs } = status;
  const lost = lostMs === 0 ? 'nothing lost' : `${lengthText(lostMs)} lost: expired before it was read`;
  // What was never begun is owed from where the first run that gets something begins.
  if (untouched || expiresInMs > retentionMs * NEAR_SHARE) return lost;
  const from = clockText(missingFromMs, nowMs);
  return expiresInMs <= 0
    ? `${lost}; what is not read from ${from} on is expiring now`
    : `${lost}; what is not read expires from ${from} on, in ${lengthText(expiresInMs)}`;
}

/** What open backfills still have to do; null: none is open. */
export function backfillText({ backfill }: Pick<StreamStatus, 'backfill'>, processes: number): string | null {
  if (backfill === null) return null;
  const { count, missingMs, expiresInMs } = backfill;
  const oldest = expiresInMs <= 0 ? 'is expiring now' : `expires in ${lengthText(expiresInMs)}`;
  const idle = processes === 0 ? ', and no process runs' : '';
  return `${amountText(count, 'backfill has', 'backfills have')} ${lengthText(missingMs)} left to read, the oldest of which ${oldest}${idle}`;
}

function lengthOf(status: StreamStatus, kind: string): number {
  return status.gaps.find((gap) => gap.kind === kind)?.lengthMs ?? 0;
}

/** The sentence begins with the stream's name, and so may the error. */
function errorText(error: string | null, stream: string): string | null {
  return error === null ? null : shorten(error.replace(`${stream}: `, ''));
}

function shorten(text: string): string {
  return text.length > MOST_ERROR ? `${text.slice(0, MOST_ERROR - 3)}...` : text;
}
