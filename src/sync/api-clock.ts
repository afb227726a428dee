import type { Clock } from '../clock.ts';
import type { Ms } from '../model.ts';
import type { Progress } from './ledger.ts';
import type { ReadContext } from './window.ts';

/** A clock that is off by less than this is not worth a request. */
const SKEW_MATTERS_MS = 5_000;
/** No honest claim ends after the API's own time; the clocks of its machines may differ by less than this. */
const FUTURE_MS = 60_000;

/** What time it is by the API, as far as its answers to one run have told. */
export class ApiClock {
  /** The API's clock minus ours, in ms, as of the last answer; null: nothing was told yet. */
  skewMs: number | null = null;
  /** As of the first answer of the last chain: by that one its claims were made. */
  #chainSkewMs: number | null = null;
  readonly #clock: Clock;
  readonly #startedMs: Ms;
  /** The end of the coverage was held against the API's clock. */
  #trusted = false;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startedMs = clock.now();
  }

  /** An answer came with this Date. */
  hear(dateMs: Ms, isFirst: boolean): void {
    this.skewMs = dateMs - this.#clock.now();
    if (isFirst) this.#chainSkewMs = this.skewMs;
  }

  /** Now, by the API's clock as soon as it is known. */
  now(): Ms {
    return this.#clock.now() + (this.skewMs ?? 0);
  }

  /**
   * When the run began: fixed, so that it ends. The API's clock counts as soon as it is known; when ours is ahead the
   * target comes back to what can be claimed, when ours is behind it goes on only for a difference that matters.
   */
  beginning(): Ms {
    const skew = this.#chainSkewMs ?? this.skewMs ?? 0;
    return this.#startedMs + (skew > 0 && skew < SKEW_MATTERS_MS ? 0 : skew);
  }

  /** Whether coverage, or what is asked for, lies after now: a wrong Date made it so, unless it is only our own clock that is behind. */
  isFuture({ askedFrom, covered }: Progress): boolean {
    return !this.#trusted && Math.max(askedFrom, covered.at(-1)?.to ?? 0) > this.#latestNow() + FUTURE_MS;
  }

  /** Asks the API for the time, with one request, where it has not told yet; else takes back what was claimed beyond it. */
  async resolveFuture(context: ReadContext): Promise<void> {
    const { stream, ledger, log, signal, meter } = context;
    if (this.skewMs === null) {
      this.skewMs = (await stream.probe(signal, meter)).skewMs;
      // Without a Date there is no telling; the first page will fail for it.
      this.#trusted = this.skewMs === null;
      return;
    }
    const nowMs = this.#latestNow();
    await ledger.retract(nowMs);
    this.#trusted = true;
    log.warn(
      { stream: stream.id, now: new Date(nowMs).toISOString() },
      'coverage ended, or what is asked for began, in the future: an answer with a wrong Date had it so; it is read again',
    );
  }

  /** Now, by whichever of the two clocks is ahead. */
  #latestNow(): Ms {
    return this.#clock.now() + Math.max(0, this.skewMs ?? 0);
  }
}
