import { base64Bytes, decodeInto } from '../base64.ts';
import type { ColumnType, Utf8 } from '../sources/tables.ts';

const TEXT_OID = 25;
/** Postgres counts microseconds from 2000-01-01. */
const POSTGRES_EPOCH_MS = 946_684_800_000;
/** From so many bytes on a native copy costs less. */
const NATIVE_FROM = 24;

/** Writes a value that is not null, its length first. */
export type Write = (writer: BinaryWriter, value: never) => void;

/** How a value of each type is written. */
export const WRITE: Readonly<Record<ColumnType, Write>> = {
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
  bytea: (writer, value: Uint8Array | Utf8) => {
    if (value instanceof Uint8Array) writer.sizedBytes(value);
    else writer.base64Slice(value);
  },
  int4: (writer, value: number) => {
    writer.int32(4);
    writer.int32(value);
  },
  int8: (writer, value: number | bigint) => {
    writer.int32(8);
    if (typeof value === 'bigint') writer.int64(value);
    else writer.safeInteger(value);
  },
  bool: (writer, value: boolean) => {
    writer.int32(1);
    writer.int8(value ? 1 : 0);
  },
};

const NIBBLE = new Int8Array(128).fill(-1);
for (const [value, digit] of [...'0123456789abcdef'].entries()) NIBBLE[digit.charCodeAt(0)] = value;

/** A buffer that grows; every integer big-endian, as Postgres wants it. */
export class BinaryWriter {
  #buffer = Buffer.allocUnsafeSlow(1024 * 1024);
  at = 0;

  /** What was written, and more behind it. */
  get buffer(): Buffer {
    return this.#buffer;
  }

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
    const buffer = this.#buffer;
    buffer[this.at++] = value >> 8;
    buffer[this.at++] = value;
  }

  int32(value: number): void {
    this.#room(4);
    this.#size(value, this.at);
    this.at += 4;
  }

  /** By hand, as are all short things here: a call costs more than a few bytes do. */
  #size(value: number, at: number): void {
    const buffer = this.#buffer;
    buffer[at] = value >> 24;
    buffer[at + 1] = value >> 16;
    buffer[at + 2] = value >> 8;
    buffer[at + 3] = value;
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
    const buffer = this.#buffer;
    this.#size(16, this.at);
    let at = this.at + 4;
    let wrong = hex.length === 32 ? 0 : -1;
    for (let digit = 0; digit < 32; digit += 2) {
      const value = ((NIBBLE[hex.charCodeAt(digit)] ?? -1) << 4) | (NIBBLE[hex.charCodeAt(digit + 1)] ?? -1);
      wrong |= value;
      buffer[at++] = value;
    }
    if (wrong < 0) throw new Error(`uuid ${hex}: expected 32 hex digits`);
    this.at = at;
  }

  text(value: string): void {
    this.#room(4 + value.length * 3);
    const length = this.#buffer.write(value, this.at + 4, 'utf8');
    this.#size(length, this.at);
    this.at += 4 + length;
  }

  slice({ bytes, from, to }: Utf8): void {
    this.#room(4 + to - from);
    this.#size(to - from, this.at);
    this.at += 4;
    this.#copy(bytes, from, to);
  }

  #copy(bytes: Buffer, from: number, to: number): void {
    const buffer = this.#buffer;
    if (to - from < NATIVE_FROM) for (let at = from; at < to; at++) buffer[this.at++] = bytes[at] as number;
    else this.at += bytes.copy(buffer, this.at, from, to);
  }

  base64Slice({ bytes, from, to }: Utf8): void {
    const length = base64Bytes(bytes, from, to);
    this.int32(length);
    this.#room(length);
    decodeInto(this.#buffer, this.at, bytes, from, to);
    this.at += length;
  }

  jsonbSlice({ bytes, from, to }: Utf8): void {
    this.#room(5 + to - from);
    this.#size(to - from + 1, this.at);
    this.at += 4;
    this.#buffer[this.at++] = 1;
    this.#copy(bytes, from, to);
  }

  jsonb(value: string): void {
    this.#room(5 + value.length * 3);
    const length = this.#buffer.write(value, this.at + 5, 'utf8');
    this.#size(length + 1, this.at);
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
    this.#size(this.at - start - 4, start);
  }

  /** In two halves: it needs more than 32 bits and less than a double's 53, and a BigInt costs time. */
  safeInteger(value: number): void {
    this.#room(8);
    const high = Math.floor(value / 4_294_967_296);
    this.#size(high, this.at);
    this.#size(value - high * 4_294_967_296, this.at + 4);
    this.at += 8;
  }

  timestamp(ms: number): void {
    const micros = (ms - POSTGRES_EPOCH_MS) * 1000;
    this.int32(8);
    if (Number.isSafeInteger(micros)) this.safeInteger(micros);
    // Beyond 1714 and 2285 a double has no room for microseconds.
    else this.int64(BigInt(ms - POSTGRES_EPOCH_MS) * 1000n);
  }
}
