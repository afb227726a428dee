import { amountText, clockText, countText, isoTime, lengthText, timeText } from '../amounts.ts';
import type { Ms } from '../model.ts';
import { backfillText } from '../serve/why.ts';
import type { RunStatus, StreamStatus } from '../store/status.ts';
import type { Lateness } from '../sync/ledger.ts';
import { quantile, total } from '../sync/overlap.ts';
import { fittingText, printable, withoutName } from './table.ts';

/** A stream to show. `changed`: its settings ask for other entries than those that its progress is about. */
export interface Listed {
  readonly stream: string;
  /** Null: the database knows nothing of it yet. */
  readonly status: StreamStatus | null;
  readonly setting: 'in force' | 'changed' | 'not configured';
}

/** What is not read with so little of the retention left is in danger. */
const NEAR_SHARE = 0.2;
const MOST_UNKNOWN = 10;
/** Where that which is not known is kept, by what it is. */
const KEPT: Readonly<Record<string, string>> = {
  field: 'extra',
  state: 'the column state',
  id: 'the column id',
};
const MOST_WINDOWS = 2;
/** Of fewer entries how late they came says little. */
const ENOUGH_TO_TELL = 1_000;

/** Whether something asked for expires soon, or has begun to, unless it is read. Before anything was stored nothing is owed. */
export function nearExpiry(status: StreamStatus): boolean {
  return !status.untouched && status.expiresInMs < status.retentionMs * NEAR_SHARE;
}

/** Who is reading what expires next, or waits to; as processes name themselves. Null: nobody has it in hand. */
export function readerText({ nowMs, missingHeldBy, running }: StreamStatus): string | null {
  if (missingHeldBy === null) return null;
  const waits = running.flatMap(({ holder, waitsUntilMs }) =>
    holder === missingHeldBy && waitsUntilMs !== null && waitsUntilMs > nowMs ? [waitsUntilMs] : [],
  );
  return waits.length === 0
    ? `${missingHeldBy} is reading them`
    : `${missingHeldBy} has them in hand, and waits for quota until ${clockText(Math.min(...waits), nowMs)}`;
}

/**
 * A table with one row a stream (blocks where it is wider than `width`; null: no terminal), then a line for each thing
 * worth knowing; ends with a newline unless empty.
 */
export function statusText(listed: readonly Listed[], nowMs: Ms, width: number | null = null): string {
  if (listed.length === 0) return '';
  const rows = listed.map(({ stream, status }) =>
    status === null
      ? [stream, 'never read', null, null, null, null, null, null]
      : [
          stream,
          status.coveredToMs === null ? 'nothing yet' : timeText(status.coveredToMs),
          status.lagMs === null ? null : lengthText(status.lagMs),
          gapsCell(status),
          status.rows,
          status.lastSync === null ? null : runCell(status.lastSync, nowMs),
          quotaCell(status, nowMs),
          withinCell(status),
        ],
  );
  const head = ['stream', 'covered until', 'lag', 'gaps', 'stored', 'last sync', 'quota left', 'expires in'];
  const notes = listed.flatMap((one) => notesOf(one, nowMs).map((note) => `${one.stream}: ${note}\n`));
  return (
    fittingText(head, rows, { right: [2, 4], width }) + (notes.length === 0 ? '' : `\n${notes.join('')}`)
  );
}

function gapsCell({ gaps }: StreamStatus): string {
  return (
    gaps.map(({ kind, count, lengthMs }) => `${count} ${kind} (${lengthText(lengthMs)})`).join(', ') || 'none'
  );
}

function runCell(run: RunStatus, nowMs: Ms): string {
  if (run.outcome === 'running') return `running for ${lengthText(nowMs - run.startedMs)}`;
  return `${run.outcome} ${lengthText(Math.max(0, nowMs - (run.finishedMs ?? run.startedMs)))} ago`;
}

function quotaCell({ quota: { limit, remaining, resetMs } }: StreamStatus, nowMs: Ms): string | null {
  // A window that is over says nothing of the next, which other tools may draw on.
  if (remaining === null || (resetMs !== null && resetMs <= nowMs)) return null;
  const left = limit === null ? countText(remaining) : `${countText(remaining)} of ${countText(limit)}`;
  return resetMs === null ? left : `${left}, resets in ${lengthText(resetMs - nowMs)}`;
}

function withinCell({ untouched, expiresInMs }: StreamStatus): string | null {
  if (untouched) return null;
  return expiresInMs <= 0 ? 'now' : lengthText(expiresInMs);
}

function notesOf({ status, setting }: Listed, nowMs: Ms): readonly string[] {
  const notes: string[] = [];
  if (setting === 'not configured')
    notes.push('not configured now; what is shown is what the database holds');
  if (setting === 'changed')
    notes.push(
      'its settings have changed since the last run and ask for other entries: the next sync reads them from the start',
    );
  if (status === null) return [...notes, 'not read yet: run `logkeep sync`'];
  const { lastRun, windows, gaps, lateness, quarantined, unknown } = status;
  if (lastRun?.outcome === 'running') notes.push(`${printable(lastRun.holder)} is reading it now`);
  notes.push(...failureNotes(status), ...windowNotes(windows));
  const backfill = backfillText(status, 1);
  if (backfill !== null) notes.push(`${backfill}: \`logkeep serve\` or \`logkeep backfill\` continues it`);
  if (gaps.length > 0) notes.push('`logkeep gaps` lists what is missing, and what to do');
  if (setting === 'in force' && nearExpiry(status)) notes.push(expiryText(status));
  if (total(lateness) >= ENOUGH_TO_TELL) notes.push(latenessText(lateness));
  if (quarantined > 0)
    notes.push(
      `${amountText(quarantined, 'entry waits', 'entries wait')} in quarantine: \`logkeep quarantine list\` says why`,
    );
  for (const { name, firstSeenMs } of unknown.slice(0, MOST_UNKNOWN))
    notes.push(
      `${printable(name)} is new to this version, first seen ${lengthText(Math.max(0, nowMs - firstSeenMs))} ago; kept in ${KEPT[name.split(':')[0] ?? ''] ?? 'its entry'}`,
    );
  if (unknown.length > MOST_UNKNOWN)
    notes.push(`${unknown.length - MOST_UNKNOWN} more names are new: see \`logkeep status --json\``);
  return notes;
}

/** What went wrong with the syncs and has not been put right by a later one, then the last failure of each other job. */
function failureNotes({ stream, nowMs, lastSync, failing, failedJobs }: StreamStatus): readonly string[] {
  const notes: string[] = [];
  const why = (error: string | null) => (error === null ? '' : `: ${printable(withoutName(error, stream))}`);
  if (lastSync?.outcome === 'crashed')
    notes.push('the last sync died without reporting; the next one goes on from its last batch');
  if (lastSync?.outcome === 'failed') notes.push(`the last sync failed${why(lastSync.error)}`);
  else if (failing !== null)
    notes.push(
      `no sync has succeeded for ${lengthText(Math.max(0, nowMs - failing.sinceMs))}${why(failing.error)}`,
    );
  for (const { job, finishedMs, startedMs, error } of failedJobs) {
    const ago = lengthText(Math.max(0, nowMs - (finishedMs ?? startedMs)));
    notes.push(`the last ${job} failed ${ago} ago${why(error)}`);
  }
  return notes;
}

/** The first windows one by one, those that somebody reads before the others; the rest of many as one. */
function windowNotes(windows: StreamStatus['windows']): readonly string[] {
  const sorted = windows.toSorted((a, b) => Number(a.holder === null) - Number(b.holder === null));
  const named = sorted.length > MOST_WINDOWS + 1 ? sorted.slice(0, MOST_WINDOWS) : sorted;
  const notes = named.map(({ fromMs, toMs, pages, holder }) => {
    const hands = holder === null ? 'waits for the next run' : `held by ${printable(holder)}`;
    return `window in hand ${timeText(fromMs)} to ${timeText(toMs)}, ${amountText(pages, 'page')} stored, ${hands}`;
  });
  const rest = sorted.slice(named.length);
  if (rest.length === 0) return notes;
  const from = timeText(Math.min(...rest.map(({ fromMs }) => fromMs)));
  const to = timeText(Math.max(...rest.map(({ toMs }) => toMs)));
  const pages = rest.reduce((sum, one) => sum + one.pages, 0);
  const held = rest.filter(({ holder }) => holder !== null).length;
  const hands = [
    held === 0 ? null : `${countText(held)} held`,
    held === rest.length ? null : `${countText(rest.length - held)} for the next run`,
  ];
  return [
    ...notes,
    `${countText(rest.length)} more windows in hand, ${from} to ${to}, ${amountText(pages, 'page')} stored: ${hands.filter((part) => part !== null).join(', ')}`,
  ];
}

function expiryText(status: StreamStatus): string {
  const { expiresInMs, missingFromMs } = status;
  const soon = expiresInMs > 0;
  const what = `entries from ${timeText(missingFromMs)} on expire ${soon ? `in ${lengthText(expiresInMs)}` : 'unread'}`;
  const reader = readerText(status);
  return reader === null
    ? `${what}: run \`logkeep sync\` ${soon ? 'before' : 'now'}`
    : `${what}: ${printable(reader)}`;
}

function latenessText(lateness: Lateness): string {
  if (knownWithin(lateness, 1) === null)
    return 'lateness unknown: the API does not report it, and no entry has arrived late so far';
  const count = countText(total(lateness));
  const [half, most] = [0.5, 0.999].map((share) => {
    const ms = knownWithin(lateness, share);
    return ms === null ? 'in time as far as known' : `within ${lengthText(ms)}`;
  });
  if (half === most) return `of ${count} entries all but one in a thousand came ${most}`;
  return `of ${count} entries half came ${half}, all but one in a thousand ${most}`;
}

/** How late a share of the entries came at most; null: of an API that does not tell, and in time as far as known. */
function knownWithin(lateness: Lateness, share: number): number | null {
  return quantile(lateness, share) || null;
}

/** The same for machines: times as ISO text, lengths in ms. */
export function statusJson(listed: readonly Listed[]): unknown {
  const streams = listed.map(({ stream, status, setting }) => ({
    stream,
    source: status?.source ?? null,
    configured: setting !== 'not configured',
    settings_changed: setting === 'changed',
    ...(status === null ? { read: false } : { read: true, ...progressJson(status) }),
  }));
  return { streams };
}

function progressJson(status: StreamStatus): Readonly<Record<string, unknown>> {
  const { quota } = status;
  return {
    asked_from: isoTime(status.askedFromMs),
    covered_to: isoTime(status.coveredToMs),
    settled_to: isoTime(status.settledToMs),
    lag_ms: status.lagMs,
    gaps: status.gaps.map(({ kind, count, lengthMs }) => ({ kind, count, length_ms: lengthMs })),
    backfill: status.backfill && {
      open: status.backfill.count,
      missing_ms: status.backfill.missingMs,
      expires_in_ms: status.backfill.expiresInMs,
    },
    rows: status.rows,
    quarantined: status.quarantined,
    last_run: status.lastRun && runJson(status.lastRun),
    last_sync: status.lastSync && runJson(status.lastSync),
    failed_jobs: status.failedJobs.map(runJson),
    windows: status.windows.map(({ fromMs, toMs, pages, holder }) => ({
      from: isoTime(fromMs),
      to: isoTime(toMs),
      pages,
      holder,
    })),
    quota: { limit: quota.limit, remaining: quota.remaining, reset_at: isoTime(quota.resetMs) },
    missing_from: isoTime(status.missingFromMs),
    expires_in_ms: status.expiresInMs,
    retention_ms: status.retentionMs,
    lateness: {
      counted: total(status.lateness),
      half_within_ms: knownWithin(status.lateness, 0.5),
      p99_within_ms: knownWithin(status.lateness, 0.99),
      p999_within_ms: knownWithin(status.lateness, 0.999),
      histogram: status.lateness.map(({ upToMs, count }) => ({ up_to_ms: upToMs, count })),
    },
    api_skew_ms: status.skewMs,
    unknown: status.unknown.map(({ name, firstSeenMs }) => ({ name, first_seen_at: isoTime(firstSeenMs) })),
  };
}

function runJson(run: RunStatus): Readonly<Record<string, unknown>> {
  return {
    job: run.job,
    outcome: run.outcome,
    started_at: isoTime(run.startedMs),
    finished_at: isoTime(run.finishedMs),
    holder: run.holder,
    requests: run.requests,
    fetched: run.fetched,
    new: run.fresh,
    error: run.error,
  };
}
