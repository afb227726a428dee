/** What a log's id says. */
export interface LogId {
  /** Event time; the timestamp that is reported beside the id. */
  readonly eventMs: number;
  /** Stays the same when storage is compacted, as the id as a whole may not. */
  readonly innerId: string;
  readonly intakeMs: number;
}

/** The layout, the event time in eight bytes, and four that order the logs of one ms. */
const HEAD = 13;
const INNER = 24;
const OLD_INNER = 20;
const FRAGMENT = 36;
/** The head, two lengths of four bytes, the inner id, the UUID of the storage fragment, and the row in it. */
const LAYOUT_3 = 85;
/** No id of a known layout is longer. */
export const MAX_ID_CHARS = 134;

const SEXTET = new Int8Array(256).fill(-1);
for (const [value, mark] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_',
].entries()) {
  SEXTET[mark.charCodeAt(0)] = value;
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
const scratch = Buffer.alloc(128);

/** Reads a log's id. Strict: null unless every bit is accounted for and it encodes back to the same text. */
export function decodeId(id: string): LogId | null {
  if (id.length < 50 || id.length > MAX_ID_CHARS) return null;
  const size = scratch.write(id, 0, 'base64url');
  if (size !== (id.length * 3) >> 2 || scratch.toString('base64url', 0, size) !== id) return null;
  const layout = scratch[0] ?? -1;
  const eventMs = scratch.readUInt32BE(1) * 2 ** 32 + scratch.readUInt32BE(5);
  if (!Number.isSafeInteger(eventMs)) return null;
  if (layout === 0 || layout === 1) {
    const chars = size - HEAD - 4;
    if ((chars !== INNER && chars !== OLD_INNER) || scratch.readUInt32BE(HEAD) !== 0) return null;
    const intakeMs = readIntake(HEAD + 4, chars);
    if (intakeMs < 0) return null;
    return { eventMs, innerId: latin1(HEAD + 4, size), intakeMs };
  }
  if (layout === 3) {
    if (size !== LAYOUT_3 || scratch.readUInt32BE(HEAD) !== INNER || scratch.readUInt32BE(41) !== FRAGMENT)
      return null;
    const intakeMs = readIntake(HEAD + 4, INNER);
    if (intakeMs < 0 || !UUID.test(latin1(45, 81))) return null;
    return { eventMs, innerId: latin1(HEAD + 4, HEAD + 4 + INNER), intakeMs };
  }
  return layout === 2 ? decodePadded(size, eventMs) : null;
}

/** Layout 2: lengths of 24 and 36, padded with zeros to some width or alignment (no recording shows which). */
function decodePadded(size: number, eventMs: number): LogId | null {
  const lengthAt = skipZeros(HEAD, size);
  const innerAt = skipZeros(lengthAt + 1, size);
  const fragmentLengthAt = skipZeros(innerAt + INNER, size);
  const fragmentAt = skipZeros(fragmentLengthAt + 1, size);
  if (scratch[lengthAt] !== INNER || scratch[fragmentLengthAt] !== FRAGMENT) return null;
  if (fragmentAt + FRAGMENT !== size) return null;
  const intakeMs = readIntake(innerAt, INNER);
  if (intakeMs < 0 || !UUID.test(latin1(fragmentAt, size))) return null;
  return { eventMs, innerId: latin1(innerAt, innerAt + INNER), intakeMs };
}

function skipZeros(start: number, size: number): number {
  let at = start;
  while (at < size && scratch[at] === 0) at += 1;
  return at;
}

function latin1(start: number, end: number): string {
  return scratch.toString('latin1', start, end);
}

/** The u48 that an inner id of `chars` characters begins with; -1 unless all are base64url. */
function readIntake(start: number, chars: number): number {
  let intakeMs = 0;
  for (let at = 0; at < chars; at += 1) {
    const sextet = SEXTET[scratch[start + at] ?? 0] ?? -1;
    if (sextet < 0) return -1;
    if (at < 8) intakeMs = intakeMs * 64 + sextet;
  }
  return intakeMs;
}
