import type { RunResult } from '../src/sync/run.ts';
import type { JobReport } from './job.ts';

/** What a job that read a stream reports. */
export function readingReport({ outcome, error, window, totals, meter }: RunResult): JobReport {
  const { windows, fetched, fresh, known, quarantined } = totals;
  const { requests, retries, waits, waitMs, bytes } = meter;
  return {
    outcome,
    error,
    window,
    counts: {
      windows,
      fetched,
      new: fresh,
      known,
      quarantined,
      requests,
      retries,
      waits,
      wait_ms: Math.round(waitMs),
      bytes,
    },
  };
}
