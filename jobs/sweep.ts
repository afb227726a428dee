import { sweepStream } from '../src/operations/sweep.ts';
import type { StreamJob } from './job.ts';
import { readingReport } from './report.ts';

/** What is covered and old enough, read once more for entries that came very late. */
export const sweep: StreamJob = {
  name: 'sweep',
  perStream: true,
  schedule: (settings) => settings.sweepSchedule,
  timeoutMs: 6 * 3_600_000,
  atOnce: 4,
  run: async ({ app, signal, watch }, open) =>
    readingReport(
      await sweepStream(app, open, {
        signal,
        mayRequest: () => true,
        watch: (event) => watch(open.stream, event),
      }),
    ),
};
