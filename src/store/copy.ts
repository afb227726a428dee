import { once } from 'node:events';
import type pg from 'pg';
import { from as copyFrom } from 'pg-copy-streams';
import type { ColumnType, Stage, Utf8, Value } from '../sources/tables.ts';

const SIGNATURE = Buffer.from('PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0', 'latin1');
const TRAILER = -1;
const TEXT_OID = 25;
/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
const SLICE_BYTES = 256 * 1024;

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

  constructor(stage: Stage) {
    this.stage = stage;
    this.#writes = stage.columns.map((column) => WRITE[column.type]);
    this.#compared = stage.columns.map((column) => column.volatile !== true);
    this.clear();
  }

  /** Begins anew; what `encoded` gave before is overwritten. */
  clear(): void {
    this.#writer.at = 0;
    this.#writer.bytes(SIGNATURE);
  }

  get empty(): boolean {
    return this.#writer.at === SIGNATURE.length;
  }

  /** Adds a row and returns where it begins. */
  append(values: readonly Value[]): number {
    const writer = this.#writer;
    const start = writer.at;
    const writes = this.#writes;
    writer.int16(writes.length);
    for (let i = 0; i < writes.length; i++) {
      const value = values[i];
      if (value === null || value === undefined) writer.int32(-1);
      else (writes[i] as Write)(writer, value as never);
    }
    return start;
  }

  /** Whether the row at `at` is the one that `values` would make, but for volatile columns. */
  holds(at: number, values: readonly Value[]): boolean {
    const writer = this.#writer;
    const start = this.append(values);
    const bytes = writer.done();
    let [a, b] = [at + 2, start + 2];
    let equal = true;
    for (const compared of this.#compared) {
      const [aEnd, bEnd] = [valueEnd(bytes, a), valueEnd(bytes, b)];
      if (compared && !bytes.subarray(a, aEnd).equals(bytes.subarray(b, bEnd))) equal = false;
      a = aEnd;
      b = bEnd;
    }
    writer.at = start;
    return equal;
  }

  /** All rows between signature and trailer; valid until the next change. */
  encoded(): Buffer {
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

type Write = (writer: BinaryWriter, value: never) => void;

const WRITE: Readonly<Record<ColumnType, Write>> = {
  text: (writer, value: string | Utf8) => {
    if (typeof value === 'string') writer.text(value);
    else writer.slice(value);
  },
  jsonb: (writer, value: string | Utf8) => {
    if (typeof value === 'string') writer.jsonb(value);
    else writer.jsonbSlice(value);
  },
  'text[]': (writer, value: readonly string[]) => writer.textArray(value),
  timestamptz: (writer, value: number) => writer.timestamp(value),
  uuid: (writer, value: string) => writer.uuid(value),
  bytea: (writer, value: Uint8Array) => writer.sizedBytes(value),
  int4: (writer, value: number) => {
    writer.int32(4);
    writer.int32(value);
  },
  int8: (writer, value: number | bigint) => {
    writer.int32(8);
    writer.int64(BigInt(value));
  },
  bool: (writer, value: boolean) => {
    writer.int32(1);
    writer.int8(value ? 1 : 0);
  },
};

/** A buffer that grows; every integer big-endian, as Postgres wants it. */
class BinaryWriter {
  #buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  at = 0;

  done(): Buffer {
    return this.#buffer.subarray(0, this.at);
  }

  #room(bytes: number): void {
    if (this.at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.at + bytes));
    this.#buffer.copy(grown, 0, 0, this.at);
    this.#buffer = grown;
  }

  int8(value: number): void {
    this.#room(1);
    this.#buffer[this.at++] = value;
  }

  int16(value: number): void {
    this.#room(2);
    this.at = this.#buffer.writeInt16BE(value, this.at);
  }

  int32(value: number): void {
    this.#room(4);
    this.at = this.#buffer.writeInt32BE(value, this.at);
  }

  int64(value: bigint): void {
    this.#room(8);
    this.at = this.#buffer.writeBigInt64BE(value, this.at);
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#buffer.set(value, this.at);
    this.at += value.length;
  }

  sizedBytes(value: Uint8Array): void {
    this.int32(value.length);
    this.bytes(value);
  }

  uuid(hex: string): void {
    this.#room(20);
    this.at = this.#buffer.writeInt32BE(16, this.at);
    if (this.#buffer.write(hex, this.at, 'hex') !== 16)
      throw new Error(`uuid ${hex}: expected 32 hex digits`);
    this.at += 16;
  }

  text(value: string): void {
    this.#room(4 + value.length * 3);
    const length = this.#buffer.write(value, this.at + 4, 'utf8');
    this.#buffer.writeInt32BE(length, this.at);
    this.at += 4 + length;
  }

  slice({ bytes, from, to }: Utf8): void {
    this.#room(4 + to - from);
    this.at = this.#buffer.writeInt32BE(to - from, this.at);
    this.at += bytes.copy(this.#buffer, this.at, from, to);
  }

  jsonbSlice({ bytes, from, to }: Utf8): void {
    this.#room(5 + to - from);
    this.at = this.#buffer.writeInt32BE(to - from + 1, this.at);
    this.#buffer[this.at++] = 1;
    this.at += bytes.copy(this.#buffer, this.at, from, to);
  }

  jsonb(value: string): void {
    this.#room(5 + value.length * 3);
    const length = this.#buffer.write(value, this.at + 5, 'utf8');
    this.#buffer.writeInt32BE(length + 1, this.at);
    this.#buffer[this.at + 4] = 1;
    this.at += 5 + length;
  }

  textArray(values: readonly string[]): void {
    this.#room(4);
    const start = this.at;
    this.at += 4;
    this.int32(values.length === 0 ? 0 : 1);
    this.int32(0);
    this.int32(TEXT_OID);
    if (values.length > 0) {
      this.int32(values.length);
      this.int32(1);
      for (const value of values) this.text(value);
    }
    this.#buffer.writeInt32BE(this.at - start - 4, start);
  }

  timestamp(ms: number): void {
    const micros = (ms - POSTGRES_EPOCH_MS) * 1000;
    if (!Number.isSafeInteger(micros)) {
      // Beyond 1714 and 2285 a double has no room for microseconds.
      this.int32(8);
      this.int64(BigInt(ms - POSTGRES_EPOCH_MS) * 1000n);
      return;
    }
    // In two halves: they need more than 32 bits and less than a double's 53, and a BigInt costs time.
    this.#room(12);
    this.#buffer.writeInt32BE(8, this.at);
    this.#buffer.writeInt32BE(Math.floor(micros / 4_294_967_296), this.at + 4);
    this.#buffer.writeUInt32BE(micros - Math.floor(micros / 4_294_967_296) * 4_294_967_296, this.at + 8);
    this.at += 12;
  }
}
