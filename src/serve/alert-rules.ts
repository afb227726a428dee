import { amountText, lengthText } from '../amounts.ts';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../clock.ts';
import type { AlertSettings } from '../config/alerts.ts';
import type { StreamStatus } from '../store/status.ts';
import type { ReadModel } from './read-model.ts';
import { backfillText, explain, isLate, type Why } from './why.ts';

/** Kinds of alert, how bad each is, and what to do about it. */
export const ALERT_KINDS = {
  lag: { severity: 'warning', remedy: 'see `logkeep why`; nothing is lost as long as nothing expires' },
  gap: { severity: 'critical', remedy: '`logkeep gaps` lists what is missing and says what to do' },
  expiry: {
    severity: 'critical',
    remedy: 'see `logkeep why`; a shorter query, a larger quota or a longer retention upstream buys time',
  },
  auth: {
    severity: 'critical',
    remedy: 'correct the key or its permission and restart logkeep; `logkeep check` tests it',
  },
  quarantine: {
    severity: 'warning',
    remedy: '`logkeep quarantine list` says why; `logkeep quarantine retry` tries again after an upgrade',
  },
  silence: { severity: 'warning', remedy: 'check whether whatever writes these logs is still running' },
} as const satisfies Readonly<
  Record<string, { readonly severity: 'warning' | 'critical'; readonly remedy: string }>
>;

export type AlertKind = keyof typeof ALERT_KINDS;

/** Something that is wrong with a stream now. */
export interface Alert {
  readonly stream: string;
  readonly kind: AlertKind;
  /** May quote an API's error. */
  readonly sentence: string;
  /** It is told only if it lasts this long: it may pass by itself. */
  readonly holdMs: number;
}

/** A stream of this process's settings. */
export interface WatchedStream {
  readonly stream: string;
  readonly fingerprint: string;
  readonly settleMs: number;
}

/** `silence: auto` judges only by a history that says something. */
const LEAST_HISTORY_MS = DAY_MS;
const LEAST_ARRIVALS = 10;
const AUTO_FACTOR = 3;
/** A first read that has stored nothing for so long stands still. */
const STANDS_STILL_MS = 5 * MINUTE_MS;

/** All that is wrong with the `watched` streams. Pure. */
export function firingAlerts(
  model: ReadModel,
  watched: readonly WatchedStream[],
  settings: Omit<AlertSettings, 'webhook' | 'slack'>,
): readonly Alert[] {
  return model.streams.flatMap((status) => {
    const own = watched.find(
      ({ stream, fingerprint }) => stream === status.stream && fingerprint === status.fingerprint,
    );
    if (own === undefined) return [];
    const why = explain({ ...own, status, processes: model.processes.length });
    const because = why.sentence;
    return [
      lag(status, because, settings.lagMs, own.settleMs),
      gap(status, settings.lagMs),
      expiry(status, because, model.processes.length, settings),
      auth(status, why),
      quarantine(status),
      silence(status, settings),
    ].filter((alert) => alert !== null);
  });
}

/**
 * What is caught up is no trouble, however small the setting: between two ticks every stream is that far behind. Nor is
 * a first read as long as it gets on.
 */
function lag(status: StreamStatus, because: string, lagMs: number, settleMs: number): Alert | null {
  const { stream, nowMs, coveredToMs, askedFromMs } = status;
  const behindMs = nowMs - (coveredToMs ?? askedFromMs);
  if (behindMs <= lagMs || !isLate(behindMs, settleMs) || isFirstReadUnderWay(status)) return null;
  // A first read begins with days to read: that is no trouble before it has had some time.
  return { stream, kind: 'lag', sentence: because, holdMs: coveredToMs === null ? lagMs : 0 };
}

function isFirstReadUnderWay({ firstRead, storedAgoMs, running }: StreamStatus): boolean {
  if (!firstRead || storedAgoMs === null || storedAgoMs > STANDS_STILL_MS) return false;
  return running.some(({ job, fetched }) => job === 'sync' && fetched > 0);
}

/** Entries that were lost lately, at once; holes, if they stay. What was lost long ago is told no more. */
function gap({ stream, lostLatelyMs, owedHoles }: StreamStatus, lagMs: number): Alert | null {
  if (lostLatelyMs > 0) {
    const sentence = `${stream} has lost ${lengthText(lostLatelyMs)} within about a day: expired before it was read, or larger than max_body`;
    return { stream, kind: 'gap', sentence, holdMs: 0 };
  }
  if (owedHoles.count === 0) return null;
  const sentence = `${stream} has ${amountText(owedHoles.count, 'hole')} (${lengthText(owedHoles.lengthMs)}) that stay unread`;
  return { stream, kind: 'gap', sentence, holdMs: lagMs };
}

function expiry(
  status: StreamStatus,
  because: string,
  processes: number,
  { expiryMs, lagMs }: Pick<AlertSettings, 'expiryMs' | 'lagMs'>,
): Alert | null {
  const { stream, untouched, expiresInMs, retentionMs, backfill } = status;
  const nearMs = Math.min(expiryMs, retentionMs / 2);
  if (!untouched && expiresInMs <= nearMs) {
    // A first read begins with what expires first, too.
    return { stream, kind: 'expiry', sentence: because, holdMs: isFirstReadUnderWay(status) ? lagMs : 0 };
  }
  if (backfill === null || backfill.expiresInMs > nearMs) return null;
  // A backfill begins with what expires first: that is no news unless it gets nowhere.
  const sentence = `${stream}: ${backfillText(status, processes)}`;
  return { stream, kind: 'expiry', sentence, holdMs: lagMs };
}

function auth({ stream, failing, running }: StreamStatus, why: Why): Alert | null {
  if (failing?.kind !== 'auth' || running.some(({ fetched }) => fetched > 0)) return null;
  const error = failing.error === null ? '' : `: ${failing.error.replace(`${stream}: `, '').slice(0, 200)}`;
  const sentence =
    why.cause === 'auth' ? why.sentence : `the API refuses the credentials of ${stream}${error}`;
  return { stream, kind: 'auth', sentence, holdMs: 0 };
}

function quarantine({ stream, quarantined, quarantinedLately }: StreamStatus): Alert | null {
  if (quarantinedLately === 0) return null;
  const lately = amountText(quarantinedLately, 'entry', 'entries');
  const sentence = `${lately} of ${stream} went to quarantine within the last hour, where ${amountText(quarantined, 'waits', 'wait')} now`;
  return { stream, kind: 'quarantine', sentence, holdMs: 0 };
}

/** Judged by event time that was read without anything new in it: a stream that cannot be read is not silent. */
function silence(status: StreamStatus, { silenceMs }: Pick<AlertSettings, 'silenceMs'>): Alert | null {
  const { stream, quiet } = status;
  if (silenceMs === null) return null;
  const { lengthMs, longestMs, historyMs, arrivals } = quiet;
  if (silenceMs === 'auto' && (historyMs < LEAST_HISTORY_MS || arrivals < LEAST_ARRIVALS)) return null;
  const mostMs = silenceMs === 'auto' ? Math.max(HOUR_MS, AUTO_FACTOR * longestMs) : silenceMs;
  if (lengthMs <= mostMs) return null;
  const before = silenceMs === 'auto' ? `, where ${lengthText(longestMs)} was the longest before` : '';
  const sentence = `${stream} brought no new entry for ${lengthText(lengthMs)}${before}; it is being read, but nothing new arrives`;
  return { stream, kind: 'silence', sentence, holdMs: 0 };
}
