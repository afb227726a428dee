import type { Ms } from '../../model.ts';

/** What a log's id says. */
export interface LogIdParts {
  readonly layout: 0 | 1 | 2 | 3;
  /** Event time. */
  readonly eventMs: Ms;
  /** Signed 32-bit integer that orders the logs of one ms. */
  readonly tie: number;
  /** Base64url text of 20 or 24 characters that stays when storage is compacted. */
  readonly inner: string;
  /** UUID of the storage fragment (layouts 2 and 3). */
  readonly fragment?: string;
  /** Row in the fragment (layout 3). */
  readonly row?: number;
}

const NO_FRAGMENT = '00000000-0000-4000-8000-000000000000';

/** The id as Datadog writes it: base64url without padding. */
export function encodeLogId(parts: LogIdParts): string {
  const head = Buffer.alloc(13);
  head.writeUInt8(parts.layout, 0);
  head.writeBigUInt64BE(BigInt(parts.eventMs), 1);
  head.writeInt32BE(parts.tie, 9);
  const inner = Buffer.from(parts.inner, 'ascii');
  const fragment = Buffer.from(parts.fragment ?? NO_FRAGMENT, 'ascii');
  const tail =
    parts.layout < 2
      ? [words(0), inner]
      : parts.layout === 2
        ? [words(0, inner.length, 0), inner, words(fragment.length, 0), fragment]
        : [words(inner.length), inner, words(fragment.length), fragment, words(parts.row ?? 0)];
  return Buffer.concat([head, ...tail]).toString('base64url');
}

/** The parts of an id, or null if it is none of the four layouts. */
export function decodeLogId(id: string): LogIdParts | null {
  if (!/^[A-Za-z0-9_-]{40,200}$/.test(id)) return null;
  const bytes = Buffer.from(id, 'base64url');
  const layout = bytes[0];
  if (bytes.length < 37 || (layout !== 0 && layout !== 1 && layout !== 2 && layout !== 3)) return null;
  const eventMs = Number(bytes.readBigUInt64BE(1));
  if (!Number.isSafeInteger(eventMs)) return null;
  const head: Pick<LogIdParts, 'layout' | 'eventMs' | 'tie'> = { layout, eventMs, tie: bytes.readInt32BE(9) };
  if (layout < 2) return { ...head, inner: bytes.toString('latin1', 17) };
  const innerAt = layout === 2 ? 25 : 17;
  const innerEnd = innerAt + bytes.readUInt32BE(layout === 2 ? 17 : 13);
  const fragmentAt = innerEnd + (layout === 2 ? 8 : 4);
  if (fragmentAt + 36 > bytes.length) return null;
  const fragment = bytes.toString('latin1', fragmentAt, fragmentAt + 36);
  const known = { ...head, inner: bytes.toString('latin1', innerAt, innerEnd), fragment };
  if (layout === 2) return known;
  return fragmentAt + 40 > bytes.length ? null : { ...known, row: bytes.readUInt32BE(fragmentAt + 36) };
}

/** An inner id: base64url of the intake time (48 bits, ms) and `unique` (12 bytes, or 9 in the old form). */
export function encodeInnerId(intakeMs: Ms, unique: Uint8Array): string {
  const intake = Buffer.alloc(6);
  intake.writeUIntBE(intakeMs, 0, 6);
  return Buffer.concat([intake, unique]).toString('base64url');
}

function words(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 4);
  for (const [index, value] of values.entries()) buffer.writeUInt32BE(value, index * 4);
  return buffer;
}
