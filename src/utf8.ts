import { isUtf8 } from 'node:buffer';

/** What a byte that belongs to no character becomes: the lone surrogate U+DC80 to U+DCFF that ends in it. */
const STRAY = 0xdc00;

/**
 * The text of some bytes. Each byte 0xNN that is no valid UTF-8 becomes the lone surrogate U+DCNN (the "surrogateescape"
 * of Python), which valid bytes never give: other bytes are another text. That of valid ones is as usual.
 */
export function readUtf8(bytes: Buffer): string {
  return isUtf8(bytes) ? bytes.toString('utf8') : readStray(bytes);
}

function readStray(bytes: Buffer): string {
  // Two bytes a unit, written out: pieces of text put together would take ten times as much.
  const units = Buffer.allocUnsafe(bytes.length * 2);
  let length = 0;
  const put = (unit: number) => {
    units[length++] = unit & 0xff;
    units[length++] = unit >> 8;
  };
  for (let at = 0; at < bytes.length; ) {
    const size = characterSize(bytes, at);
    if (size === 0) {
      put(STRAY | (bytes[at] as number));
      at += 1;
      continue;
    }
    const code = characterAt(bytes, at, size);
    if (code < 0x10000) put(code);
    else {
      put(0xd800 + ((code - 0x10000) >> 10));
      put(0xdc00 + ((code - 0x10000) & 0x3ff));
    }
    at += size;
  }
  return units.toString('utf16le', 0, length);
}

/** How many bytes the character takes that begins at `at`; 0: none begins there. */
function characterSize(bytes: Buffer, at: number): number {
  const first = bytes[at] as number;
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const size = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  // Of some beginnings the rest would be overlong, a surrogate or beyond Unicode.
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80;
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf;
  const second = bytes[at + 1] ?? 0;
  if (second < least || second > most) return 0;
  for (let next = 2; next < size; next += 1) if (((bytes[at + next] ?? 0) & 0xc0) !== 0x80) return 0;
  return size;
}

/** The code point of the character that takes `size` bytes from `at` on. */
function characterAt(bytes: Buffer, at: number, size: number): number {
  const first = bytes[at] as number;
  if (size === 1) return first;
  let code = first & (0x7f >> size);
  for (let next = 1; next < size; next += 1) code = (code << 6) | ((bytes[at + next] as number) & 0x3f);
  return code;
}
