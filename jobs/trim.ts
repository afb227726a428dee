import { trimHistory } from '../src/store/history.ts';
import type { GlobalJob } from './job.ts';

/** What runs leave behind, but their totals. */
export const trim: GlobalJob = {
  name: 'trim',
  perStream: false,
  schedule: '17 */5 * * * *',
  timeoutMs: 10 * 60_000,
  atOnce: 1,
  run: async ({ app, config, signal }) => {
    const { runs, closed } = await trimHistory(app.store, config.runHistoryMs, signal);
    return { outcome: 'done', error: null, window: null, counts: { runs, closed } };
  },
};
