import { expect, test } from 'vitest';
import { giveBytesBack, takeBytes } from '../../src/sources/spare-bytes.ts';

test('memory given back is taken again where it is long enough, and by one taker alone', () => {
  const first = takeBytes(100_000);
  expect(first.length).toBeGreaterThanOrEqual(100_000);
  giveBytesBack(first.subarray(3, 50));
  const longer = takeBytes(first.length + 1);
  const again = takeBytes(90_000);
  const other = takeBytes(90_000);
  expect(longer.buffer).not.toBe(first.buffer);
  expect(again.buffer).toBe(first.buffer);
  expect(again.length).toBe(first.length);
  expect(other.buffer).not.toBe(first.buffer);
});

test('no memory at all can be asked for', () => {
  expect(takeBytes(0).length).toBeGreaterThan(0);
});

test('only so much is kept: what is very long, or one too many, is left to the collector', () => {
  const huge = takeBytes(5 * 1024 * 1024);
  giveBytesBack(huge);
  expect(takeBytes(4.5 * 1024 * 1024).buffer).not.toBe(huge.buffer);
  const many = Array.from({ length: 60 }, () => takeBytes(1024 * 1024));
  for (const bytes of many) giveBytesBack(bytes);
  const taken = new Set(Array.from({ length: 60 }, () => takeBytes(1024 * 1024).buffer));
  const kept = many.filter(({ buffer }) => taken.has(buffer)).length;
  expect(kept).toBeGreaterThan(8);
  expect(kept).toBeLessThanOrEqual(12);
});

test('short memory makes room for longer', () => {
  const short = Array.from({ length: 10 }, () => takeBytes(1_000));
  for (const bytes of short) giveBytesBack(bytes);
  const long = takeBytes(1_200_000);
  giveBytesBack(long);
  expect(takeBytes(1_200_000).buffer).toBe(long.buffer);
});
