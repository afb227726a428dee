import { createHmac, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createRedactor } from '../src/redact.ts';

test('digest is the HMAC-SHA256 that the crypto module computes, whatever the content and its length', () => {
  const key = randomBytes(32);
  const { digest } = createRedactor(key);
  const contents = [
    fc.string({ unit: 'binary' }),
    fc.integer({ min: 0, max: 20_000 }).map((n) => 'ä€😀'.repeat(n)),
  ];
  fc.assert(
    fc.property(fc.oneof(...contents), (content) => {
      const hex = createHmac('sha256', key).update(content).digest('hex');
      expect(digest(content)).toBe(hex);
      expect(digest(Buffer.from(content))).toBe(hex);
    }),
  );
});

test('hidden values stay comparable within a database and tell nothing across two', () => {
  const here = createRedactor(randomBytes(32));
  const there = createRedactor(randomBytes(32));
  expect(here.hide('Bearer a')).toBe(here.hide('Bearer a'));
  expect(here.hide('Bearer a')).not.toBe(here.hide('Bearer b'));
  expect(here.hide('Bearer a')).not.toBe(there.hide('Bearer a'));
  expect(here.hide('Bearer a')).not.toContain('Bearer');
});

test('a header is hidden whatever its case and whether QStash forwards it, and others are not', () => {
  const { hides } = createRedactor(randomBytes(32), ['X-Secret']);
  expect(
    ['x-secret', 'X-SECRET', 'Upstash-Forward-X-Secret', 'Upstash-Callback-Forward-X-Secret'].every(hides),
  ).toBe(true);
  expect(hides('x-secret-not')).toBe(false);
  expect(hides('Authorization')).toBe(false);
});
