const EQUALS = 61;
/** By character code; -1: no digit. */
const SEXTET = new Int8Array(256).fill(-1);
for (const [value, digit] of [
  ...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
].entries()) {
  SEXTET[digit.charCodeAt(0)] = value;
}

/** Whether the ASCII from `from` to `to` is such as `decodeBase64` takes. */
export function isBase64(bytes: Uint8Array, from: number, to: number): boolean {
  if ((to - from) % 4 !== 0) return false;
  if (to === from) return true;
  const padding = paddingOf(bytes, to);
  const end = to - padding;
  let last = 0;
  for (let at = from; at < end; at += 1) {
    last = SEXTET[bytes[at] as number] as number;
    if (last < 0) return false;
  }
  // The bits of the last digit beyond the last byte must be 0.
  return (last & (padding === 2 ? 15 : padding === 1 ? 3 : 0)) === 0;
}

/** How many bytes the base64 from `from` to `to`, which `isBase64` took, decodes to. */
export function base64Bytes(bytes: Uint8Array, from: number, to: number): number {
  return to === from ? 0 : ((to - from) / 4) * 3 - paddingOf(bytes, to);
}

/** Decodes what `isBase64` took into `target`, from `at` on. */
export function decodeInto(
  target: Uint8Array,
  at: number,
  bytes: Uint8Array,
  from: number,
  to: number,
): void {
  let rest = base64Bytes(bytes, from, to);
  for (let next = at, digit = from; rest > 0; next += 3, digit += 4, rest -= 3) {
    const bits =
      (sextet(bytes, digit) << 18) |
      (sextet(bytes, digit + 1) << 12) |
      (sextet(bytes, digit + 2) << 6) |
      sextet(bytes, digit + 3);
    target[next] = bits >> 16;
    if (rest > 1) target[next + 1] = bits >> 8;
    if (rest > 2) target[next + 2] = bits;
  }
}

/** Of padding anything: no byte that is written has a part of it. */
function sextet(bytes: Uint8Array, at: number): number {
  return (SEXTET[bytes[at] as number] as number) & 63;
}

function paddingOf(bytes: Uint8Array, to: number): number {
  return bytes[to - 1] !== EQUALS ? 0 : bytes[to - 2] !== EQUALS ? 1 : 2;
}

/** The bytes of standard base64 that encodes back to the same text, else null. */
export function decodeBase64(text: string): Buffer | null {
  const { length } = text;
  if (length === 0) return Buffer.alloc(0);
  if (length % 4 !== 0) return null;
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  // The decoder also takes the URL's alphabet, and skips what is in no alphabet: the length then tells.
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== (length / 4) * 3 - padding || text.includes('-') || text.includes('_')) return null;
  const tail = bytes.length - (bytes.length % 3 || 3);
  return bytes.toString('base64', tail) === text.slice((tail / 3) * 4) ? bytes : null;
}
