import { DAY_MS } from '../clock.ts';
import { isRow, type Reject, type Row } from '../sources/source.ts';
import type { SourceTables } from '../sources/tables.ts';
import type { BatchContent } from '../sync/ledger.ts';
import { StageBuffer } from './copy.ts';

/** Entries of a batch; of one that is to show whether anything is stored. */
const MOST = 5_000;
const MOST_OF_FIRST = 1_000;
/** Each day has partitions of its own, and each of these takes locks: thousands of them are more than a server has room for. */
const MOST_DAYS = 100;

/** Rows that wait to be made, and the page they lie in. */
interface WaitingPage {
  readonly rows: readonly Row[];
  readonly release: () => void;
}

/**
 * A batch in the making: entries become binary COPY rows as they come, so that nothing else of a page need be kept; or
 * they wait with their pages, where they may all prove to be stored, and then never become rows.
 * Of several entries with one identity the first is the row; a later one that differs elsewhere is a clash and goes
 * to quarantine, one that does not is known.
 */
export class StagedBatch implements BatchContent {
  readonly #buffers: readonly StageBuffer[];
  readonly #rejects: Reject[] = [];
  readonly #days = new Set<number>();
  /** The day of the row before, in days since the epoch. */
  #day = Number.NaN;
  readonly #waits: boolean;
  readonly #most: number;
  #waiting: WaitingPage[] = [];
  #page: Row[] = [];
  #fetched = 0;

  /** `waits`: rows are made when `make` is called, if at all. `isFirst`: of a run. */
  constructor(
    tables: SourceTables,
    buffers: readonly StageBuffer[] = tables.stages.map((stage) => new StageBuffer(stage)),
    { waits, isFirst } = { waits: false, isFirst: false },
  ) {
    this.#buffers = buffers;
    this.#waits = waits;
    this.#most = isFirst ? MOST_OF_FIRST : MOST;
  }

  /** Entries taken so far, each counted once: rows, known ones and rejects. */
  get fetched(): number {
    return this.#fetched;
  }

  get full(): boolean {
    return this.#fetched >= this.#most || this.#days.size >= MOST_DAYS;
  }

  get rejects(): readonly Reject[] {
    return this.#rejects;
  }

  /** The UTC days that rows fall on, as the ms of their beginning. */
  get days(): Iterable<number> {
    return this.#days;
  }

  get buffers(): readonly StageBuffer[] {
    return this.#buffers;
  }

  /** Whether rows wait for `make` or `forget`. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  add(made: Row | Reject): void {
    this.#fetched += 1;
    if (!isRow(made)) {
      this.#rejects.push(made);
      return;
    }
    const day = Math.floor(made.timeMs / DAY_MS);
    if (day !== this.#day) this.#days.add(day * DAY_MS);
    this.#day = day;
    if (this.#waits) this.#page.push(made);
    else this.#addRow(made);
  }

  endPage(release: () => void): void {
    if (this.#page.length === 0) {
      release();
      return;
    }
    this.#waiting.push({ rows: this.#page, release });
    this.#page = [];
  }

  /** The keys of the rows that wait. */
  keys(): string[] {
    return this.#waiting.flatMap(({ rows }) => rows.map((row) => row.key));
  }

  /** Makes what waits into rows. */
  make(): void {
    for (const { rows, release } of this.#takeWaiting()) {
      for (const row of rows) this.#addRow(row);
      release();
    }
  }

  /** Lets go what waits: all of it is stored. */
  forget(): void {
    this.#days.clear();
    for (const { release } of this.#takeWaiting()) release();
  }

  /** The stages with their rows encoded; null where there are none. Nothing may be added after it, nor wait. */
  seal(): readonly { readonly stage: StageBuffer['stage']; readonly encoded: Buffer | null }[] {
    if (this.waits) throw new Error('a batch was sealed whose rows are not made');
    return this.#buffers.map((buffer) => ({
      stage: buffer.stage,
      encoded: buffer.empty ? null : buffer.encoded(),
    }));
  }

  #takeWaiting(): readonly WaitingPage[] {
    const waiting = this.#waiting;
    this.#waiting = [];
    return waiting;
  }

  #addRow(row: Row): void {
    const { entry, shared } = row.parts();
    const added = (this.#buffers[0] as StageBuffer).appendUnique(entry);
    if (added === 'clash') {
      this.#rejects.push({ reason: 'identity_clash', timeMs: row.timeMs, rawText: row.rawText() });
    }
    if (added !== 'added') return;
    for (let index = 0; index < shared.length; index++) {
      const part = shared[index];
      if (part !== null && part !== undefined) (this.#buffers[index + 1] as StageBuffer).share(part);
    }
  }
}
