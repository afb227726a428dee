import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Clock } from '../clock.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Ms, Spans } from '../model.ts';
import type { Meter, Page, Stream } from '../sources/source.ts';
import { BatchInHand } from './batch.ts';
import { claimOf } from './claim.ts';
import { holdLease } from './hold.ts';
import type { Lease, Ledger, Stored } from './ledger.ts';
import { WalkTimer } from './outrun.ts';
import { restOf } from './rest.ts';
import { shareOf } from './share.ts';

/** What reading a window needs; the same for all windows of a run. */
export interface ReadContext {
  readonly stream: Stream;
  readonly ledger: Ledger;
  readonly settleMs: number;
  readonly retentionMs: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly meter: Meter;
  /** Who goes first where requests are short: `PRIORITY` of the run's job. */
  readonly priority: number;
  /** Takes one request from the run's allowance, unless the last was not sent yet; false when it is used up. */
  readonly mayRequest: () => boolean;
  /** A request failed, and is about to be sent again for the `retry`-th time. */
  readonly onRetry: (failure: LogkeepError, retry: number) => void;
  /** `isFirst`: of its chain, by whose Date the chain's claims go. */
  readonly onAnswer: (dateMs: Ms, isFirst: boolean) => void;
  /** A wait for quota begins. */
  readonly onWait: (waitMs: number) => void;
  /** `share`: how much of the window is read, from 0 to 1; null: not known. */
  readonly onStored: (lease: Lease, stored: Stored, share: number | null) => void;
}

/** How a window ended. `stopped`: on request, its cursor is kept. `replanned`: other windows took its place; `advanced`: shorter ones in all. */
export type WindowEnd = 'done' | 'replanned' | 'advanced' | 'stopped' | 'lost';

/**
 * Reads a leased window to its end, a batch at a time, the next pages being fetched while one is stored. Whatever
 * happens, complete pages in hand are stored first. Throws what stops the stream: `auth`, `request`, `protocol`,
 * `unavailable`, `database`.
 */
export async function readWindow(context: ReadContext, lease: Lease): Promise<WindowEnd> {
  const reading = new WindowReading(context, lease);
  const hold = holdLease(context, lease, (why) => reading.stop(why));
  try {
    return await reading.run();
  } catch (error) {
    if (isFailure(error, 'lease')) return 'lost';
    await hold.letGo(error);
    throw error;
  } finally {
    hold.end();
  }
}

class WindowReading {
  readonly #context: ReadContext;
  readonly #lease: Lease;
  readonly #abort = new AbortController();
  readonly #hand: BatchInHand;
  readonly #resumed: boolean;
  #chainAt: Ms | null;
  /** The latest Date of all answers: the retention counts from it, so that an answer with an older Date claims nothing that is gone. */
  #readAt = Number.NEGATIVE_INFINITY;
  #lastDate: { readonly dateMs: Ms; readonly localMs: Ms } | null = null;
  #doneTo: Ms | null;
  #sentTo: Ms | null; // what #doneTo is once all that is under way is stored
  #storing: Promise<void> = Promise.resolve();
  #storingBefore: Promise<void> = Promise.resolve();
  #pages = 0;
  readonly #walk: WalkTimer | null;
  #pieces: Spans | null = null;

  constructor(context: ReadContext, lease: Lease) {
    this.#context = context;
    this.#lease = lease;
    this.#hand = new BatchInHand(lease.window, () => context.ledger.openBatch());
    this.#walk =
      context.stream.order === 'descending'
        ? new WalkTimer(lease.window, context.retentionMs, context.clock)
        : null;
    this.#doneTo = this.#sentTo = lease.doneTo;
    const maxAgeMs = context.stream.cursorMaxAgeMs ?? Number.POSITIVE_INFINITY;
    this.#resumed = lease.cursor !== null && lease.chainAt !== null && (lease.cursorAgeMs ?? 0) <= maxAgeMs;
    this.#chainAt = this.#resumed ? lease.chainAt : null;
  }

  /** Reads no further, because of `why`. */
  stop(why: LogkeepError): void {
    this.#abort.abort(why);
  }

  async run(): Promise<WindowEnd> {
    const { cursor, window } = this.#lease;
    // An ascending window whose cursor is of no use any more goes on from what is committed, not from its start.
    if (cursor !== null && !this.#resumed)
      return this.#replan(restOf(this.#context.stream.order, window, this.#doneTo, 'cursor', null));
    let failure: unknown = null;
    let ended: 'chain' | 'stop' = 'stop';
    try {
      ended = await this.#pull();
    } catch (error) {
      failure = error;
    }
    await this.#settleStoring(failure);
    if (ended === 'chain') return 'done';
    if (!this.#hand.empty) await this.#store(false);
    await this.#storing;
    return this.#finish(failure);
  }

  async #pull(): Promise<'chain' | 'stop'> {
    const { stream, meter, priority, mayRequest, onRetry } = this.#context;
    const signal = AbortSignal.any([this.#context.signal, this.#abort.signal]);
    const pages = stream
      .read({
        window: this.#lease.window,
        cursor: this.#resumed ? this.#lease.cursor : null,
        cursorAgeMs: this.#lease.cursorAgeMs ?? 0,
        tooLongAtEnd: this.#lease.tooLongAtEnd ?? false,
        signal,
        meter,
        priority,
        mayRequest,
        onRetry,
        onWait: (waitMs) => {
          this.#hand.wake();
          this.#context.onWait(waitMs);
        },
      })
      [Symbol.asyncIterator]();
    try {
      if (!mayRequest()) return 'stop';
      let pending = pages.next();
      for (;;) {
        const result = await this.#nextPage(pending);
        if (result.done === true)
          throw new LogkeepError('protocol', `${stream.id}: the chain ended without a last page`);
        const page = result.value;
        const dateMs = this.#meet(page);
        const goesOn = page.next !== null && !signal.aborted && mayRequest();
        if (goesOn) {
          pending = pages.next();
          pending.catch(() => {});
          // One turn of the loop sends the request: the API works on it while this page becomes rows.
          await nextTurn();
        }
        const reachedMs = this.#hand.add(page);
        if (page.next === null) {
          await this.#store(true);
          await this.#storing;
          return 'chain';
        }
        this.#pieces = this.#walk?.pieces(reachedMs, dateMs) ?? null;
        if (!goesOn || this.#pieces !== null) return 'stop';
        if (this.#hand.full) await this.#store(false);
      }
    } finally {
      // Not awaited: a read that hangs must not hold up what is in hand; the signal ends it.
      pages.return?.(undefined).then(undefined, () => {});
    }
  }

  /** The next page; a batch that grows old meanwhile, or before a wait for quota, is stored without waiting for it. */
  async #nextPage(pending: Promise<IteratorResult<Page>>): Promise<IteratorResult<Page>> {
    for (;;) {
      const due = this.#hand.due();
      const first = await Promise.race([pending, due.promise.then(() => null)]).finally(due.cancel);
      if (first !== null) return first;
      await this.#store(false);
    }
  }

  /** Takes note of an answer and gives its time by the API's clock. */
  #meet(page: Page): Ms {
    const localMs = this.#context.clock.now();
    const last = this.#lastDate;
    const dateMs = page.dateMs ?? (last === null ? null : last.dateMs + (localMs - last.localMs));
    if (dateMs === null) {
      throw new LogkeepError(
        'protocol',
        `${this.#context.stream.id}: the first answer has no Date header, so nothing can be claimed as read`,
      );
    }
    this.#lastDate = { dateMs, localMs };
    const isFirst = this.#chainAt === null;
    this.#chainAt ??= dateMs;
    this.#readAt = Math.max(this.#readAt, this.#chainAt, dateMs);
    this.#pages++;
    this.#context.onAnswer(dateMs, isFirst);
    return dateMs;
  }

  /** Starts storing what is in hand; two batches are under way at most, one copied while the other is merged. */
  async #store(done: boolean): Promise<void> {
    await this.#storingBefore;
    this.#storingBefore = this.#storing;
    const batch = this.#hand.take();
    const { ledger, settleMs, retentionMs, stream } = this.#context;
    const chainAt = this.#chainAt as Ms;
    const claim = claimOf({
      window: this.#lease.window,
      doneTo: this.#sentTo,
      readTo: batch.readTo,
      chainAt,
      settleMs,
      ended: done,
    });
    const doneTo =
      batch.readTo === null
        ? null
        : Math.max(this.#sentTo ?? this.#lease.window.from, Math.min(batch.readTo, this.#lease.window.to));
    // Time before the retention is not owed: reading it says nothing about how far the rest is.
    const owed = {
      ...this.#lease.window,
      from: Math.max(this.#lease.window.from, this.#readAt - retentionMs),
    };
    this.#sentTo = doneTo ?? this.#sentTo;
    const share = shareOf(stream.order, owed, { ...batch, done });
    const storing = ledger
      .commit(this.#lease, { ...batch, readAt: this.#readAt, chainAt, claim, doneTo, done })
      .then(async (stored) => {
        this.#doneTo = doneTo ?? this.#doneTo;
        this.#context.onStored(this.#lease, stored, share);
        await ledger.note(batch.unknown);
        this.#context.log.debug(
          { stream: stream.id, window: this.#lease.windowId, pages: batch.pages, ...stored },
          'batch stored',
        );
      });
    this.#storing = storing;
    storing.catch((error: unknown) => this.#abort.abort(error));
  }

  /** A failed commit outweighs whatever the reading said after it. */
  async #settleStoring(failure: unknown): Promise<void> {
    await this.#storing;
    if (failure !== null && !(failure instanceof LogkeepError)) throw failure;
  }

  async #finish(failure: unknown): Promise<WindowEnd> {
    const { ledger, stream } = this.#context;
    if (isFailure(this.#abort.signal.reason, 'lease') || isFailure(failure, 'lease')) return 'lost';
    if (this.#pieces !== null) {
      this.#context.log.info(
        { stream: stream.id, window: this.#lease.windowId, pieces: this.#pieces.length },
        'window split: its oldest entries would expire before a walk from the newest gets there',
      );
      return this.#replan({ windows: this.#pieces, oversize: null });
    }
    if (failure === null || isFailure(failure, 'aborted')) {
      await ledger.release(this.#lease);
      return 'stopped';
    }
    const reason = restReason(failure);
    if (reason !== null) {
      const rest = restOf(
        stream.order,
        this.#lease.window,
        this.#doneTo,
        reason,
        (failure as LogkeepError).atMs,
      );
      if (rest !== null) {
        this.#context.log.info(
          {
            stream: stream.id,
            window: this.#lease.windowId,
            reason: (failure as LogkeepError).message,
            pages: this.#pages,
          },
          'window planned anew',
        );
        return this.#replan(rest);
      }
    }
    throw failure;
  }

  async #replan(rest: ReturnType<typeof restOf>): Promise<WindowEnd> {
    const { windows, oversize } = rest ?? { windows: [] as Spans, oversize: null };
    await this.#context.ledger.replan(this.#lease, windows, oversize);
    // An entry that is too large and on record is never met again: a run may pass any number of them.
    const { from } = this.#lease.window;
    return oversize !== null || (this.#doneTo ?? from) > from ? 'advanced' : 'replanned';
  }
}

function restReason(failure: unknown): Parameters<typeof restOf>[3] | null {
  const reasons = ['cursor', 'timeout', 'oversize'] as const;
  return reasons.find((reason) => isFailure(failure, reason)) ?? null;
}
