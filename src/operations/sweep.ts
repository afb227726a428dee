import type { App, OpenStream } from '../app.ts';
import { planSweep } from '../sync/plan-sweep.ts';
import type { ReadResult } from './read.ts';
import { type ReadAsk, readStream } from './read.ts';
import type { SyncAsk } from './sync.ts';

/** What a sweep is asked for, beyond the settings. */
export type SweepAsk = Pick<SyncAsk, 'signal' | 'mayRequest'> & Pick<ReadAsk, 'watch'>;

/**
 * Reads once more what one stream read before its entries could all have come (`sweep_after`), as long as the API
 * shows it: what is found unchanged is settled, what is found new is stored and swept again by the next sweep.
 */
export function sweepStream(app: App, open: OpenStream, ask: SweepAsk): Promise<ReadResult> {
  const { sweepAfterMs, retentionMs } = open.settings;
  return readStream(app, open, {
    ...ask,
    job: 'sweep',
    plan: (progress, { nowMs, round }) => planSweep(progress, { nowMs, round, sweepAfterMs, retentionMs }),
    // A sweep owes nothing that was not asked for before.
    askedFrom: app.clock.now(),
    rolling: true,
    leadMs: 0,
    untilMs: null,
    again: null,
    settlesAfterMs: sweepAfterMs,
  });
}
