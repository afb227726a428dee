import { once } from 'node:events';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { Part, Stage, Value } from '../sources/tables.ts';
import { BinaryWriter, WRITE, type Write } from './binary.ts';
import { KeyIndex } from './key-index.ts';
import { RowIndex } from './row-index.ts';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = -1;
const SLICE_BYTES = 256 * 1024;
/** The first columns of an entry's stage are its key. */
const KEY_COLUMNS = 2;

/** Rows of one stage in Postgres's binary COPY format, ready to send. */
export function encodeRows(stage: Stage, rows: Iterable<readonly Value[]>): Buffer {
  const buffer = new StageBuffer(stage);
  for (const values of rows) buffer.append(values);
  return buffer.encoded();
}

/** Rows of one stage, encoded as they come. */
export class StageBuffer {
  readonly stage: Stage;
  readonly #writes: readonly Write[];
  readonly #compared: readonly boolean[];
  readonly #writer = new BinaryWriter();
  readonly #index: RowIndex;
  /** Which of the rows each part went to, by its key. */
  readonly #parts = new KeyIndex();
  /** What is folded, filled again batch by batch: what lives as long as a batch is dear to collect. */
  readonly #rows: Value[][] = [];
  #rowsUsed = 0;
  /** Tells batches apart. */
  #batch = {};

  constructor(stage: Stage) {
    this.stage = stage;
    this.#writes = stage.columns.map((column) => WRITE[column.type]);
    this.#compared = stage.columns.map((column) => column.volatile !== true);
    const keyColumns = Math.min(KEY_COLUMNS, stage.columns.length);
    this.#index = new RowIndex((bytes, start) => {
      let at = start + 2;
      for (let column = 0; column < keyColumns; column += 1) at = valueEnd(bytes, at);
      return at;
    });
    this.clear();
  }

  /** Begins anew; what `encoded` gave before is overwritten. */
  clear(): void {
    this.#writer.at = 0;
    this.#writer.bytes(SIGNATURE);
    this.#index.clear();
    this.#forgetShared();
    this.#batch = {};
  }

  get empty(): boolean {
    return this.#writer.at === SIGNATURE.length && this.#rowsUsed === 0;
  }

  /** Adds a row. */
  append(values: readonly Value[]): void {
    const writer = this.#writer;
    const writes = this.#writes;
    writer.int16(writes.length);
    for (let i = 0; i < writes.length; i++) {
      const value = values[i];
      if (value === null || value === undefined) writer.int32(-1);
      else (writes[i] as Write)(writer, value as never);
    }
  }

  /** Adds a row unless one of its key was added so: then it is `known`, or a `clash` if they differ but in volatile columns. */
  appendUnique(values: readonly Value[]): 'added' | 'known' | 'clash' {
    const writer = this.#writer;
    const start = writer.at;
    this.append(values);
    const twin = this.#index.place(writer.buffer, start);
    if (twin < 0) return 'added';
    const known = this.#isSame(twin, start);
    writer.at = start;
    return known ? 'known' : 'clash';
  }

  /** Adds the row of a part that entries share: once for each key, or what the stage folds of all of them. */
  share(part: Part): void {
    const { fold } = this.stage;
    if (fold === undefined) {
      if (part.takenBy === this.#batch) return;
      part.takenBy = this.#batch;
    }
    const row = this.#parts.place(part.key, this.#rowsUsed);
    if (row >= 0) fold?.(this.#rows[row] as Value[], part.values);
    else if (fold === undefined) this.append(part.values);
    else this.#keep(part.values);
  }

  #keep(values: readonly Value[]): void {
    const row = this.#rows[this.#rowsUsed] ?? [];
    for (let column = 0; column < values.length; column += 1) row[column] = values[column] as Value;
    this.#rows[this.#rowsUsed] = row;
    this.#rowsUsed += 1;
  }

  #writeShared(): void {
    for (let index = 0; index < this.#rowsUsed; index += 1) this.append(this.#rows[index] as Value[]);
    this.#forgetShared();
  }

  #forgetShared(): void {
    // What the rows hold may be long.
    for (let index = 0; index < this.#rowsUsed; index += 1) this.#rows[index]?.fill(null);
    this.#rowsUsed = 0;
    this.#parts.clear();
  }

  #isSame(row: number, other: number): boolean {
    const bytes = this.#writer.buffer;
    let [a, b] = [row + 2, other + 2];
    for (const compared of this.#compared) {
      const [aEnd, bEnd] = [valueEnd(bytes, a), valueEnd(bytes, b)];
      if (compared && bytes.compare(bytes, b, bEnd, a, aEnd) !== 0) return false;
      a = aEnd;
      b = bEnd;
    }
    return true;
  }

  /** All rows between signature and trailer; valid until the next change. */
  encoded(): Buffer {
    this.#writeShared();
    const end = this.#writer.at;
    this.#writer.int16(TRAILER);
    const all = this.#writer.done();
    this.#writer.at = end;
    return all;
  }
}

function valueEnd(bytes: Buffer, at: number): number {
  return at + 4 + Math.max(0, bytes.readInt32BE(at));
}

/** Copies encoded rows into the stage over `client`, which is inside a transaction. */
export async function copyRows(client: pg.PoolClient, stage: Stage, encoded: Buffer): Promise<void> {
  const names = stage.columns.map((column) => column.name).join(', ');
  const stream = client.query(copyFrom(`copy pg_temp.${stage.name} (${names}) from stdin (format binary)`));
  const failed = new Promise<never>((_, reject) => stream.once('error', reject));
  const finished = once(stream, 'finish');
  finished.catch(() => {});
  failed.catch(() => {});
  for (let at = 0; at < encoded.length; at += SLICE_BYTES) {
    if (!stream.write(encoded.subarray(at, at + SLICE_BYTES))) {
      await Promise.race([once(stream, 'drain'), failed]);
    }
  }
  stream.end();
  await Promise.race([finished, failed]);
}
