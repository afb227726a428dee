import type { Clock } from '../clock.ts';
import { LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { JobKind, Ms, Span, Spans } from '../model.ts';
import { createMeter, type Meter, type Stream } from '../sources/source.ts';
import { inSpan, markFailed } from '../trace.ts';
import { Again } from './again.ts';
import { ApiClock } from './api-clock.ts';
import { Headway } from './headway.ts';
import type { Lease, Ledger, Outcome, Progress, Stored } from './ledger.ts';
import type { Ask } from './plan.ts';
import { PRIORITY } from './priority.ts';
import { hull } from './spans.ts';
import { Spending } from './spending.ts';
import { addStored, noTotals, type RunCounts, type RunTotals } from './totals.ts';
import { traceLedger, traceStream } from './trace.ts';
import { createWhole, type Whole } from './whole.ts';
import { type ReadContext, readWindow, type WindowEnd } from './window.ts';

/**
 * What watchers are told. `held` names the process that has all there is to read; `waiting` is a wait for quota;
 * `retrying` tells that a request failed and is about to be sent again for the `retry`-th time;
 * `share` is how much of the window is read and `whole` how much of all that the run has to read, from 0 to 1, or null
 * where that is not known.
 */
export type RunEvent =
  | { readonly kind: 'window'; readonly window: Span; readonly whole: number | null }
  | ({
      readonly kind: 'stored';
      readonly window: Span;
      readonly share: number | null;
      readonly whole: number | null;
    } & RunCounts)
  | ({ readonly kind: 'retrying'; readonly retry: number; readonly error: LogkeepError } & RunCounts)
  | { readonly kind: 'waiting'; readonly waitMs: number }
  | { readonly kind: 'held'; readonly by: string };

/** What a run wants, and where it stands. */
export interface PlanAsk extends Ask {
  /** Now, by the API's clock as soon as it is known. */
  readonly nowMs: Ms;
  /** How often this run has planned before. */
  readonly round: number;
}

/** What a run of one stream needs. */
export interface RunOptions {
  readonly job: JobKind;
  /** Windows that the job wants read; asked again when those are read, until it wants none. No effects: it may be asked twice. */
  readonly plan: (progress: Progress, ask: PlanAsk) => Spans;
  readonly stream: Stream;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly log: Log;
  readonly settleMs: number;
  readonly retentionMs: number;
  readonly overlapMs: number;
  /** Read no further than this event time; null: up to now less the settle delay. */
  readonly untilMs: Ms | null;
  readonly again: Span | null;
  /** True: what is owed and in another job's hands is waited for, as is what is in those of its own job. */
  readonly waits?: boolean;
  /** How far before the asked time a first read begins, to have what is about to expire; asks nothing of coverage. */
  readonly leadMs: number;
  readonly signal: AbortSignal;
  readonly mayRequest: () => boolean;
  readonly watch: (event: RunEvent) => void;
}

/** How a run of one stream went. */
export interface RunResult {
  readonly outcome: Outcome;
  readonly error: LogkeepError | null;
  /** From the first to the last of the windows that were begun; null: none was. */
  readonly window: Span | null;
  readonly totals: Readonly<RunTotals>;
  readonly meter: Readonly<Meter>;
  /** The API's clock minus ours, in ms, as of the last answer. */
  readonly skewMs: number | null;
  /** What was to be read once more and is not even planned yet: the next run will not know of it. */
  readonly againLeft: Spans;
}

/**
 * Reads one stream from what is not covered yet up to its target, and ends the ledger's run. A failed call ends in
 * the result; a bug is thrown.
 */
export async function runStream(options: RunOptions): Promise<RunResult> {
  const { job, stream } = options;
  return inSpan('logkeep.run', { 'logkeep.job': job, 'logkeep.stream': stream.id }, async (span) => {
    const run = new StreamRun(options);
    const { outcome, error } = await run.toEnd();
    await run.close(outcome, error);
    const { window, totals, meter, skewMs, againLeft } = run;
    span.setAttributes({
      'logkeep.outcome': outcome,
      'logkeep.requests': meter.requests,
      'logkeep.new': totals.fresh,
    });
    if (error !== null) markFailed(span, error);
    return { outcome, error, window, totals, meter, skewMs, againLeft };
  });
}

class StreamRun {
  readonly totals = noTotals();
  readonly meter = createMeter();
  window: Span | null = null;
  readonly #options: RunOptions;
  readonly #time: ApiClock;
  readonly #context: ReadContext;
  readonly #again: Again;
  #rounds = 0;
  readonly #headway: Headway;
  #taken = 0;
  readonly #spending: Spending;
  readonly #whole: Whole;

  constructor(options: RunOptions) {
    this.#options = options;
    this.#time = new ApiClock(options.clock);
    this.#headway = new Headway(options.stream.id);
    this.#again = new Again(options.again);
    const { settleMs, retentionMs, clock, log, signal } = options;
    this.#spending = new Spending({ ...options, meter: this.meter, skewMs: () => this.skewMs });
    this.#whole = createWhole(options.stream.order, options.clock.now() - retentionMs);
    this.#context = {
      stream: traceStream(options.stream),
      ledger: traceLedger(options.ledger, options.stream.id),
      settleMs,
      retentionMs,
      clock,
      log,
      signal,
      mayRequest: () => this.#mayRequest(),
      meter: this.meter,
      priority: PRIORITY[options.job],
      onAnswer: (dateMs, isFirst) => this.#time.hear(dateMs, isFirst),
      onWait: (waitMs) => {
        options.watch({ kind: 'waiting', waitMs });
        this.#spending.waits(waitMs);
      },
      onRetry: (error, retry) => {
        options.watch({ kind: 'retrying', retry, error, totals: this.totals, meter: this.meter });
        this.#spending.note();
      },
      onStored: (lease, stored, share) => this.#stored(lease, stored, share),
    };
  }

  get skewMs(): number | null {
    return this.#time.skewMs;
  }

  get againLeft(): Spans {
    return this.#again.left;
  }

  async toEnd(): Promise<{ outcome: Outcome; error: LogkeepError | null }> {
    try {
      return { outcome: await this.#loop(), error: null };
    } catch (error) {
      if (error instanceof LogkeepError) return { outcome: 'failed', error };
      await this.close('failed', error as Error);
      throw error;
    }
  }

  async close(outcome: Outcome, error: Error | null): Promise<void> {
    try {
      await this.#spending.end();
      await this.#options.ledger.end(outcome, error);
    } catch (failure) {
      // The run's own failure is the one to report; what could not be recorded is closed by the next run.
      if (error === null) throw failure;
      this.#options.log.warn(
        { stream: this.#options.stream.id, error: String(failure) },
        'end of run not recorded',
      );
    }
  }

  async #loop(): Promise<Outcome> {
    const { ledger, signal, clock, watch, waits } = this.#options;
    for (;;) {
      if (signal.aborted) return 'stopped';
      let made = { planned: null as Progress | null, doubtful: false, wants: [] as Spans };
      const next = await ledger.next(
        (planned) => {
          const doubtful = this.#time.isFuture(planned);
          made = { ...made, planned, doubtful };
          return doubtful ? [] : this.#plan(planned);
        },
        (progress) => {
          // As if no window were in hand: what lies open is to be read too. What a try before has planned was rolled back.
          made = { planned: null, doubtful: false, wants: this.#plan({ ...progress, open: [] }) };
          this.#whole.wants(made.wants);
        },
      );
      const { planned, doubtful, wants } = made;
      if (doubtful) {
        if (this.skewMs === null && !this.#mayRequest()) return 'stopped';
        await this.#time.resolveFuture(this.#context);
        continue;
      }
      // An open window comes first, without a plan: what is asked for again is still to be read then.
      if (planned !== null) this.#again.planned(planned, waits === true ? wants : []);
      if (next.status !== 'leased') {
        const { by, forMs } = next.status === 'held' ? next : { by: this.#again.holder, forMs: 1_000 };
        if (by === null) return 'done';
        watch({ kind: 'held', by });
        this.#spending.note();
        await clock.sleep(Math.min(1_000, Math.max(50, forMs)), signal).catch(() => {});
        continue;
      }
      if (planned !== null) {
        this.#rounds++;
        this.#headway.planned(planned, this.#again.left);
      }
      this.window = hull([...(this.window === null ? [] : [this.window]), next.lease.window]);
      watch({ kind: 'window', window: next.lease.window, whole: this.#whole.share() });
      const end = await this.#window(next.lease);
      if (end === 'stopped') return 'stopped';
      if (end === 'done') this.totals.windows++;
      this.#headway.ended(end);
    }
  }

  #plan(progress: Progress): Spans {
    const { plan, overlapMs, stream, leadMs } = this.#options;
    return plan(progress, {
      targetMs: this.#targetMs(),
      overlapMs,
      pageSize: stream.pageSize,
      again: this.#again.left,
      leadMs,
      leadApart: stream.order === 'ascending',
      nowMs: this.#time.now(),
      round: this.#rounds,
    });
  }

  #window(lease: Lease): Promise<WindowEnd> {
    const { job, stream } = this.#options;
    const attributes = {
      'logkeep.job': job,
      'logkeep.stream': stream.id,
      'logkeep.window.from': new Date(lease.window.from).toISOString(),
      'logkeep.window.to': new Date(lease.window.to).toISOString(),
    };
    return inSpan('logkeep.window', attributes, async (span) => {
      const end = await readWindow(this.#context, lease);
      span.setAttribute('logkeep.window.end', end);
      return end;
    });
  }

  /** Where this run wants to get. */
  #targetMs(): Ms {
    const { settleMs, untilMs } = this.#options;
    return Math.min(this.#time.beginning() - settleMs, untilMs ?? Number.POSITIVE_INFINITY);
  }

  /** What was sent without asking is taken from the allowance first; what was taken and not sent yet will do. */
  #mayRequest(): boolean {
    for (; this.#taken < this.meter.requests; this.#taken++) this.#options.mayRequest();
    if (this.#taken > this.meter.requests) return true;
    if (!this.#options.mayRequest()) return false;
    this.#taken++;
    return true;
  }

  #stored(lease: Lease, stored: Stored, share: number | null): void {
    addStored(this.totals, stored);
    this.#headway.stored(stored.fresh);
    const { totals, meter } = this;
    this.#whole.reads(lease.window, share);
    const whole = this.#whole.share();
    this.#options.watch({ kind: 'stored', window: lease.window, share, whole, totals, meter });
    this.#spending.stored(lease.windowId, share);
  }
}
