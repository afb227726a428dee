import { expect, test } from 'vitest';
import type { Cursor } from '../../src/model.ts';
import { createCursorMemory } from '../../src/sources/cursor-memory.ts';

const MOST = 100;

/** How many cursors it took to see that the chain behind `before` pages leads in a circle of `length`. */
function seenAfter(before: number, length: number): number {
  const memory = createCursorMemory(MOST);
  const bound = 1_000 * (before + length);
  for (let page = 0; page < bound; page += 1) {
    const at = page < before ? page : before + ((page - before) % length);
    if (!memory.add(String(at) as Cursor)) return page;
  }
  return Number.POSITIVE_INFINITY;
}

test('a circle that fits into the memory is seen before it was walked twice more', () => {
  for (const length of [1, 2, 50, 99, 100])
    for (const before of [1, 60, 99, 100, 101, 12_345])
      expect(seenAfter(before, length)).toBeLessThanOrEqual(before + 2 * length);
});

test('a chain of any length that starts over is seen where it does', () => {
  for (const length of [1, 100, 101, 10_000]) expect(seenAfter(0, length)).toBe(length);
});

test('a circle of any length is seen in the end', () => {
  for (const length of [101, 150, 1_000, 9_999])
    for (const before of [1, 7, 5_000])
      expect(seenAfter(before, length)).toBeLessThanOrEqual(
        Math.max(MOST, 2 * Math.max(before, length)) + length,
      );
});

test('a chain of any length that leads in no circle is none', () => {
  const memory = createCursorMemory(MOST);
  for (let page = 0; page < 20_000; page += 1) expect(memory.add(String(page) as Cursor)).toBe(true);
});

test('what a chain was at long ago is forgotten', () => {
  // Remembered in full, it would be seen where the circle closes.
  expect(seenAfter(1, 10_000)).toBeGreaterThan(10_001);
});
