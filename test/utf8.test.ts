import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { readUtf8 } from '../src/utf8.ts';
import { character } from './hostile.ts';

/** The bytes that a text was read from. */
function bytesOf(text: string): Buffer {
  const parts = Array.from(text, (mark) => {
    const code = mark.codePointAt(0) ?? 0;
    return code >= 0xdc80 && code <= 0xdcff ? Buffer.from([code - 0xdc00]) : Buffer.from(mark);
  });
  return Buffer.concat(parts);
}

describe('bytes read as UTF-8', () => {
  test.each([
    ['a byte that never occurs', [0xff], '\udcff'],
    ['a continuation without a beginning', [0x61, 0x80, 0x62], 'a\udc80b'],
    ['two of three bytes', [0xe2, 0x82, 0x22], '\udce2\udc82"'],
    ['three of four bytes at the end', [0xf0, 0x9f, 0x92], '\udcf0\udc9f\udc92'],
    ['a beginning before another one', [0xe2, 0xc3, 0xa9], '\udce2é'],
    ['an overlong slash', [0xc0, 0xaf], '\udcc0\udcaf'],
    ['an overlong slash of three bytes', [0xe0, 0x80, 0xaf], '\udce0\udc80\udcaf'],
    ['an overlong slash of four bytes', [0xf0, 0x80, 0x80, 0xaf], '\udcf0\udc80\udc80\udcaf'],
    ['a surrogate', [0xed, 0xb3, 0xbf], '\udced\udcb3\udcbf'],
    ['what lies beyond Unicode', [0xf4, 0x90, 0x80, 0x80], '\udcf4\udc90\udc80\udc80'],
    ['good text around it', [...Buffer.from('é€😀'), 0xff, ...Buffer.from('😀')], 'é€😀\udcff😀'],
    ['U+FFFD, which is as good as any other', [0xef, 0xbf, 0xbd], '\ufffd'],
  ])('keep each byte of what is none as a lone surrogate: %s', (_, bytes, text) => {
    expect(readUtf8(Buffer.from(bytes))).toBe(text);
  });

  test('say what any decoder says where they are valid, and otherwise differ where the bytes do', () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 6 }),
      fc.string({ unit: character, maxLength: 6 }).map((text) => Buffer.from(text)),
      fc.constantFrom([0xed, 0xa0], [0xf4, 0x8f, 0xbf], [0xe0, 0xa0], [0xf0, 0x90], [0xc2]).map(Buffer.from),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const bytes = Buffer.concat(pieces);
        const text = readUtf8(bytes);
        expect(bytesOf(text).equals(bytes)).toBe(true);
        if (text.isWellFormed()) expect(text).toBe(bytes.toString('utf8'));
        // What no decoder takes for a character becomes a surrogate, nothing else does.
        expect(text.replaceAll(/[\udc80-\udcff]/gu, '')).toBe(
          bytes.toString('utf8').replaceAll('\ufffd', ''),
        );
      }),
      { numRuns: 5000 },
    );
  });

  test('are read at once, however many of them are bad', () => {
    const bytes = Buffer.alloc(8_000_000, 0xff);
    expect(readUtf8(bytes)).toBe('\udcff'.repeat(bytes.length));
  });
});
