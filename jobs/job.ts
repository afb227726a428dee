import type { App, OpenStream } from '../src/app.ts';
import type { Config } from '../src/config.ts';
import type { LogkeepError } from '../src/errors.ts';
import type { Span } from '../src/model.ts';
import type { Stream, StreamSettings } from '../src/sources/source.ts';
import type { Outcome } from '../src/sync/ledger.ts';
import type { RunEvent } from '../src/sync/run.ts';

/** What a job may use. Everything is open already, and closed by whoever opened it. */
export interface JobContext {
  readonly app: App;
  readonly config: Config;
  /** Aborts when the process stops, the time limit is reached or another process has the job: finish the batch in hand. */
  readonly signal: AbortSignal;
  readonly watch: (stream: Stream, event: RunEvent) => void;
}

/** How one execution went: kept with the job and logged, so counts and names alone. */
export interface JobReport {
  readonly outcome: Outcome;
  readonly error: LogkeepError | null;
  /** From the first to the last of the windows that were read; null: none was, or it is not about windows. */
  readonly window: Span | null;
  /** Such as `{ new: 12, requests: 3 }`. */
  readonly counts: Readonly<Record<string, number>>;
}

interface JobBase {
  /** One word: the queue's name, and what `logkeep run` is given. */
  readonly name: string;
  /** The job is told to stop after this long; what is left, the next tick goes on with. */
  readonly timeoutMs: number;
  /** How many of its kind one process works on at once. */
  readonly atOnce: number;
}

/** A job of each stream: `schedule` is a cron expression in UTC. */
export interface StreamJob extends JobBase {
  readonly perStream: true;
  schedule(settings: StreamSettings): string;
  /**
   * How many may share its work on a stream now, one a lane, in all processes together; left out: one. Cheap where
   * there is nothing to do; throws LogkeepError.
   */
  lanes?(app: App, open: OpenStream): Promise<number>;
  run(context: JobContext, open: OpenStream): Promise<JobReport>;
}

/** A job of all streams together. */
export interface GlobalJob extends JobBase {
  readonly perStream: false;
  readonly schedule: string;
  run(context: JobContext): Promise<JobReport>;
}

/** Scheduled work. A tick says "catch up" and carries no work of its own: what is to do, the tables know. */
export type Job = StreamJob | GlobalJob;
