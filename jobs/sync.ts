import { syncStream } from '../src/operations/sync.ts';
import type { StreamJob } from './job.ts';
import { readingReport } from './report.ts';

/** Each stream from what is not covered yet up to now. */
export const sync: StreamJob = {
  name: 'sync',
  perStream: true,
  schedule: (settings) => settings.schedule,
  timeoutMs: 15 * 60_000,
  atOnce: 32,
  run: async ({ app, signal, watch }, open) =>
    readingReport(
      await syncStream(app, open, {
        since: null,
        untilMs: null,
        again: null,
        paced: true,
        signal,
        mayRequest: () => true,
        watch,
      }),
    ),
};
