import fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBase64, isBase64 } from '../../src/sources/fields.ts';

const digits = 'ABCYZabcyz0189+/-_= \n.';

test('base64 is told from its bytes just where it decodes and encodes back to the same text', () => {
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
      expect(told).toBe(decodeBase64(one) !== null);
      if (told) good += 1;
      else bad += 1;
    }),
    { numRuns: 5_000 },
  );
  expect(Math.min(good, bad)).toBeGreaterThan(500);
});
