import type { JobReport } from '../../jobs/job.ts';
import type { RunResult } from '../sync/run.ts';

/** What a job that read a stream reports. */
export function readingReport({ outcome, error, totals, meter }: RunResult): JobReport {
  const { windows, fetched, fresh, known, quarantined } = totals;
  const { requests, retries, waits, waitMs } = meter;
  return {
    outcome,
    error,
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
    },
  };
}
