import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Meter, Stream } from '../sources/source.ts';
import type { Ledger } from './ledger.ts';
import { createPace, LONG_WAIT_MS } from './pace.ts';

const RECORD_MS = 2_000;

/** What recording a run's spending needs. */
export interface SpendingOptions {
  readonly stream: Pick<Stream, 'id' | 'quota'>;
  readonly ledger: Pick<Ledger, 'spend'>;
  readonly log: Log;
  readonly meter: Readonly<Meter>;
  /** The API's clock minus ours, in ms; null: not known. */
  readonly skewMs: () => number | null;
}

/** What a run has spent and what it is at, recorded now and then for others to see; it also says that the run is alive. */
export class Spending {
  readonly #options: SpendingOptions;
  readonly #pace = createPace();
  #recordedAt = 0;
  #recording: Promise<void> = Promise.resolve();

  constructor(options: SpendingOptions) {
    this.#options = options;
  }

  /** Records, unless that was done just before. */
  note(): void {
    if (performance.now() - this.#recordedAt < RECORD_MS) return;
    this.#recordedAt = performance.now();
    const { log, stream } = this.#options;
    this.#recording = this.#record().catch((error: unknown) =>
      log.warn({ stream: stream.id, error: errorText(error) }, 'spend not recorded'),
    );
  }

  /** A wait for quota begins; a long one is recorded at once: whoever asks why nothing comes is to be told. */
  waits(waitMs: number): void {
    this.#pace.waits(waitMs);
    if (waitMs < LONG_WAIT_MS) return;
    this.#recordedAt = Number.NEGATIVE_INFINITY;
    this.note();
  }

  /** So much of the window (0 to 1; null: not known) is stored. */
  stored(windowId: string, share: number | null): void {
    this.#pace.stored(windowId, share);
    this.note();
  }

  /** Records the last state. Throws `database`. */
  async end(): Promise<void> {
    await this.#recording;
    await this.#record();
  }

  #record(): Promise<void> {
    const { ledger, stream, meter, skewMs } = this.#options;
    return ledger.spend(meter, stream.quota(), skewMs(), this.#pace.now());
  }
}
