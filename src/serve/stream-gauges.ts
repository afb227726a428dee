import { Gauge, type Registry } from 'prom-client';
import type { StreamStatus } from '../store/status.ts';

/** What the read model says of a stream; null: nothing to say now. */
interface Reading {
  readonly name: string;
  readonly help: string;
  value(status: StreamStatus): number | null;
}

const READINGS: readonly Reading[] = [
  {
    name: 'logkeep_stream_lag_seconds',
    help: 'From the end of the newest coverage (from what was asked for, if nothing is covered) to now.',
    value: ({ nowMs, coveredToMs, askedFromMs }) => Math.max(0, nowMs - (coveredToMs ?? askedFromMs)) / 1000,
  },
  {
    name: 'logkeep_stream_expires_in_seconds',
    help: 'Until the oldest time that is asked for and not read expires upstream; negative: it has begun to.',
    value: ({ expiresInMs }) => expiresInMs / 1000,
  },
  {
    name: 'logkeep_stream_stored_entries',
    help: 'Entries stored, as counted by all runs.',
    value: ({ rows }) => rows,
  },
  {
    name: 'logkeep_stream_quarantined_entries',
    help: 'Entries that wait in quarantine.',
    value: ({ quarantined }) => quarantined,
  },
  {
    name: 'logkeep_stream_open_windows',
    help: 'Windows planned and not yet read to the end, of all jobs; counted up to 100.',
    value: ({ windows }) => windows.length,
  },
  {
    name: 'logkeep_stream_backfill_missing_seconds',
    help: 'Event time that open backfills have still to read.',
    value: ({ backfill }) => (backfill?.missingMs ?? 0) / 1000,
  },
  {
    name: 'logkeep_stream_failing_runs',
    help: 'Syncs that failed, one after the other, since the last one that was done.',
    value: ({ failing }) => failing?.runs ?? 0,
  },
  {
    name: 'logkeep_stream_quota_limit_requests',
    help: "Requests that a window of the API's quota allows, as last reported.",
    value: ({ quota }) => quota.limit,
  },
  {
    name: 'logkeep_stream_quota_remaining_requests',
    help: "Requests left in the window of the API's quota, as last reported; absent once that window is over.",
    value: ({ nowMs, quota: { remaining, resetMs } }) =>
      resetMs !== null && resetMs <= nowMs ? null : remaining,
  },
  {
    name: 'logkeep_stream_quota_reset_timestamp_seconds',
    help: "When the last reported window of the API's quota ends, in seconds since the epoch.",
    value: ({ quota }) => (quota.resetMs === null ? null : quota.resetMs / 1000),
  },
];

const GAP_KINDS = ['hole', 'expired', 'oversize'];

/** Gauges of the streams' states, the same in every process: aggregate them with max, not with sum. */
export interface StreamGauges {
  /** Shows these streams and no others; none: nothing is known, so nothing is shown. */
  set(streams: readonly StreamStatus[]): void;
}

/** Registers the gauges; the one label is the stream's name from the settings. */
export function createStreamGauges(registry: Registry): StreamGauges {
  const registers = [registry];
  const readings = READINGS.map(({ name, help, value }) => ({
    gauge: new Gauge({ name, help, labelNames: ['stream'], registers }),
    value,
  }));
  const gaps = new Gauge({
    name: 'logkeep_stream_gaps',
    help: 'Spans of the time asked for that are missing: hole (not read), expired (lost), oversize (an entry beyond the body cap).',
    labelNames: ['stream', 'kind'],
    registers,
  });
  const gapSeconds = new Gauge({
    name: 'logkeep_stream_gap_seconds',
    help: 'Length of the spans of the time asked for that are missing.',
    labelNames: ['stream', 'kind'],
    registers,
  });
  return {
    set(streams) {
      for (const { gauge, value } of readings) {
        gauge.reset();
        for (const status of streams) {
          const reading = value(status);
          if (reading !== null) gauge.set({ stream: status.stream }, reading);
        }
      }
      gaps.reset();
      gapSeconds.reset();
      for (const { stream, gaps: found } of streams) {
        for (const kind of GAP_KINDS) {
          const gap = found.find((one) => one.kind === kind);
          gaps.set({ stream, kind }, gap?.count ?? 0);
          gapSeconds.set({ stream, kind }, (gap?.lengthMs ?? 0) / 1000);
        }
      }
    },
  };
}
