import { backfillLanes, backfillStream } from '../src/operations/backfill.ts';
import type { StreamJob } from './job.ts';
import { readingReport } from './report.ts';

/** Backfills that were asked for and are not read to their end: each lane reads one window after the other. */
export const backfill: StreamJob = {
  name: 'backfill',
  perStream: true,
  schedule: () => '30 * * * * *',
  timeoutMs: 6 * 3_600_000,
  atOnce: 32,
  lanes: backfillLanes,
  run: async ({ app, signal, watch }, open) =>
    readingReport(await backfillStream(app, open, { signal, mayRequest: () => true, watch, readers: 1 })),
};
