import type { App, OpenStream } from '../app.ts';
import { LogkeepError } from '../errors.ts';
import type { JobKind, Ms, Span } from '../model.ts';
import { createMeter, type Stream } from '../sources/source.ts';
import { readLateness } from '../store/lateness.ts';
import { openLedger } from '../store/progress.ts';
import { overlapFor } from '../sync/overlap.ts';
import { type RunOptions, type RunResult, runStream } from '../sync/run.ts';
import { noTotals } from '../sync/totals.ts';

/** What one run of one job wants of a stream. */
export interface ReadAsk {
  readonly job: JobKind;
  readonly plan: RunOptions['plan'];
  /** The earliest time that the stream owes from now on; a later one than before changes nothing. */
  readonly askedFrom: Ms;
  /** `askedFrom` is so long before now, not a fixed time. */
  readonly rolling?: boolean;
  readonly leadMs: number;
  readonly untilMs: Ms | null;
  readonly again: Span | null;
  /** See `RunOptions`. */
  readonly waits?: boolean;
  /** The age from which on what is read and found unchanged becomes settled; null: nothing does. */
  readonly settlesAfterMs: number | null;
  readonly signal: AbortSignal;
  readonly mayRequest: () => boolean;
  readonly watch: RunOptions['watch'];
}

/** How one run of one stream went. */
export interface ReadResult extends RunResult {
  readonly stream: Stream;
}

/** One run of one stream, whatever its job. A failed call is in the result; a bug is thrown. */
export async function readStream(app: App, open: OpenStream, asked: ReadAsk): Promise<ReadResult> {
  const { store, partitions, clock, log, holder } = app;
  const { stream, settings } = open;
  const { settleMs, retentionMs } = settings;
  const { job, askedFrom, rolling = false, settlesAfterMs, ...ask } = asked;
  try {
    const overlapMs = await overlapOf(app, open);
    const ledger = await openLedger({
      store,
      partitions,
      stream,
      askedFrom,
      rolling,
      retentionMs,
      nowMs: clock.now(),
      overlapMs,
      job,
      settlesAfterMs,
      holder,
    });
    const result = await runStream({
      ...ask,
      job,
      stream,
      ledger,
      clock,
      log,
      settleMs,
      retentionMs,
      overlapMs,
    });
    return { stream, ...result };
  } catch (error) {
    if (!(error instanceof LogkeepError)) throw error;
    const [totals, meter] = [noTotals(), createMeter()];
    const againLeft = ask.again === null ? [] : [ask.again];
    return { stream, outcome: 'failed', error, window: null, totals, meter, skewMs: null, againLeft };
  }
}

/** The overlap in force: as set, or with `overlap: auto` by how late entries have come so far. Throws `database`. */
async function overlapOf({ store }: App, { stream, settings }: OpenStream): Promise<number> {
  if (!settings.overlapAuto) return settings.overlapMs;
  return overlapFor(await readLateness(store.db, stream.id), settings);
}
