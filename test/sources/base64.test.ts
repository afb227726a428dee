import fc from 'fast-check';
import { expect, test } from 'vitest';
import { base64Bytes, decodeBase64, decodeInto, isBase64 } from '../../src/base64.ts';

const digits = 'ABCYZabcyz0189+/-_= \n.';

test('base64 is told from its bytes just where it decodes and encodes back to the same text, and decodes in place', () => {
  const text = fc.oneof(
    fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes).toString('base64')),
    fc.array(fc.constantFrom(...digits), { maxLength: 9 }).map((chars) => chars.join('')),
    fc
      .tuple(
        fc.constantFrom('', 'AAAA', 'QUJD'),
        fc.array(fc.constantFrom(...digits), { minLength: 4, maxLength: 4 }),
      )
      .map(([head, chars]) => head + chars.join('')),
  );
  let [good, bad] = [0, 0];
  fc.assert(
    fc.property(text, (one) => {
      const bytes = Buffer.from(`"${one}"`);
      const told = isBase64(bytes, 1, bytes.length - 1);
      const decoded = decodeBase64(one);
      expect(told).toBe(decoded !== null);
      if (decoded === null) {
        bad += 1;
        return;
      }
      good += 1;
      const into = Buffer.alloc(32, 0xee);
      decodeInto(into, 2, bytes, 1, bytes.length - 1);
      const end = 2 + base64Bytes(bytes, 1, bytes.length - 1);
      expect(into.subarray(2, end)).toEqual(decoded);
      expect([...into.subarray(0, 2), ...into.subarray(end)].every((byte) => byte === 0xee)).toBe(true);
    }),
    { numRuns: 5_000 },
  );
  expect(Math.min(good, bad)).toBeGreaterThan(500);
});
