import { isRow, type Reject, type Row } from '../sources/source.ts';
import type { Part, SourceTables, Value } from '../sources/tables.ts';
import { StageBuffer } from './copy.ts';

const DAY_MS = 86_400_000;

/**
 * A batch in the making: entries become binary COPY rows as they come, so that nothing else of a page need be kept.
 * Of several entries with one identity the first is the row; a later one that differs elsewhere is a clash and goes
 * to quarantine, one that does not is known.
 */
export class StagedBatch {
  readonly #buffers: readonly StageBuffer[];
  readonly #rejects: Reject[] = [];
  /** For each entry by its key where its row begins, to compare twins with. */
  readonly #entries = new Map<string, number>();
  readonly #shared: readonly Map<string, Value[] | null>[];
  readonly #days = new Set<number>();
  #fetched = 0;

  constructor(
    tables: SourceTables,
    buffers: readonly StageBuffer[] = tables.stages.map((stage) => new StageBuffer(stage)),
  ) {
    this.#buffers = buffers;
    this.#shared = tables.stages.map(() => new Map());
  }

  /** Entries taken so far, each counted once: rows, known ones and rejects. */
  get fetched(): number {
    return this.#fetched;
  }

  get rejects(): readonly Reject[] {
    return this.#rejects;
  }

  /** The UTC days that rows fall on, as the ms of their beginning. */
  get days(): Iterable<number> {
    return this.#days;
  }

  /** The keys of all entries that are to become rows. */
  keys(): string[] {
    return [...this.#entries.keys()];
  }

  get buffers(): readonly StageBuffer[] {
    return this.#buffers;
  }

  add(made: Row | Reject): void {
    this.#fetched += 1;
    if (isRow(made)) this.#addRow(made);
    else this.#rejects.push(made);
  }

  /** The stages with their rows encoded; null where there are none. Nothing may be added after it. */
  seal(): readonly { readonly stage: StageBuffer['stage']; readonly encoded: Buffer | null }[] {
    return this.#buffers.map((buffer, index) => {
      for (const folded of this.#shared[index]?.values() ?? []) {
        if (folded !== null) buffer.append(folded);
      }
      this.#shared[index]?.clear();
      return { stage: buffer.stage, encoded: buffer.empty ? null : buffer.encoded() };
    });
  }

  #addRow(row: Row): void {
    const entry = row.parts[0] as Part;
    const buffer = this.#buffers[0] as StageBuffer;
    const twin = this.#entries.get(entry.key);
    if (twin !== undefined) {
      if (!buffer.holds(twin, entry.values)) {
        this.#rejects.push({ reason: 'identity_clash', timeMs: row.timeMs, rawText: row.rawText() });
      }
      return;
    }
    this.#entries.set(entry.key, buffer.append(entry.values));
    this.#days.add(Math.floor(row.timeMs / DAY_MS) * DAY_MS);
    for (let index = 1; index < row.parts.length; index++) {
      const part = row.parts[index];
      if (part !== null && part !== undefined) this.#share(index, part);
    }
  }

  #share(index: number, part: Part): void {
    const shared = this.#shared[index] as Map<string, Value[] | null>;
    const buffer = this.#buffers[index] as StageBuffer;
    const { fold } = buffer.stage;
    const kept = shared.get(part.key);
    if (kept === undefined) {
      if (fold === undefined) buffer.append(part.values);
      shared.set(part.key, fold === undefined ? null : part.values.slice());
    } else if (kept !== null) fold?.(kept, part.values);
  }
}
