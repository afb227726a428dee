import type { ReadModel } from '../../src/serve/read-model.ts';
import type { RunStatus, StreamStatus } from '../../src/store/status.ts';

export const MINUTE = 60_000;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

/** Now, in the tests of what is seen. */
export const NOW = Date.UTC(2026, 4, 20, 8, 57, 20);

/** A run that was done half a minute ago, with what differs. */
export function runOf(changes: Partial<RunStatus> = {}): RunStatus {
  return {
    job: 'sync',
    startedMs: NOW - 40_000,
    finishedMs: NOW - 30_000,
    outcome: 'done',
    holder: 'host:1:abc',
    requests: 3,
    retries: 0,
    fetched: 0,
    fresh: 0,
    error: null,
    waitsUntilMs: null,
    readyAtMs: null,
    ...changes,
  };
}

/** A run that is going on. */
export function runningOf(changes: Partial<RunStatus> = {}): RunStatus {
  return runOf({ outcome: 'running', finishedMs: null, startedMs: NOW - MINUTE, ...changes });
}

/** A stream that is caught up, with what differs; `behindMs` moves the end of its coverage. */
export function statusOf(changes: Partial<StreamStatus> & { readonly behindMs?: number } = {}): StreamStatus {
  const { behindMs = 40_000, ...rest } = changes;
  const nowMs = rest.nowMs ?? NOW;
  const coveredToMs = nowMs - behindMs;
  const hole = rest.gaps?.find(({ kind }) => kind === 'hole');
  return {
    nowMs,
    stream: 'datadog.web',
    source: 'datadog',
    fingerprint: 'f',
    askedFromMs: nowMs - 2 * DAY,
    untouched: false,
    firstRead: false,
    storedAgoMs: 30_000,
    coveredToMs,
    lagMs: behindMs,
    gaps: [],
    owedHoles: { count: hole?.count ?? 0, lengthMs: hole?.lengthMs ?? 0 },
    backfill: null,
    lostLatelyMs: 0,
    missingFromMs: coveredToMs,
    missingToMs: null,
    expiresInMs: 3 * DAY - behindMs,
    missingHeldBy: null,
    retentionMs: 3 * DAY,
    rows: 1000,
    quarantined: 0,
    quarantinedLately: 0,
    lastRun: runOf(),
    lastSync: runOf(),
    failedJobs: [],
    running: [],
    failing: null,
    quiet: { lengthMs: 0, longestMs: 10 * MINUTE, historyMs: 2 * DAY, arrivals: 500 },
    windows: [],
    quota: { limit: null, remaining: null, resetMs: null },
    skewMs: 0,
    unknown: [],
    ...rest,
  } as StreamStatus;
}

/** A model of these streams, with one process that serves. */
export function modelOf(...streams: readonly StreamStatus[]): ReadModel {
  return { streams, processes: [{ holder: 'host:1:abc', version: '1.0.0', sinceMs: NOW - HOUR }] };
}
