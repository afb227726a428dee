import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Cursor } from '../../src/model.ts';
import type { Page, Row } from '../../src/sources/source.ts';
import { BatchInHand } from '../../src/sync/batch.ts';
import type { BatchContent } from '../../src/sync/ledger.ts';

const MIB = 1024 * 1024;

function inHand(): BatchInHand {
  return new BatchInHand((): BatchContent => {
    let fetched = 0;
    return {
      get fetched() {
        return fetched;
      },
      add: () => {
        fetched += 1;
      },
      most: 5_000,
      endPage: (release) => release(),
    };
  });
}

function page(entries: number, changes: Partial<Page> = {}): Page {
  const rows = Array.from(
    { length: entries },
    (_, n): Row => ({
      timeMs: n,
      key: String(n),
      parts: () => ({ entry: [], shared: [] }),
      rawText: () => '{}',
    }),
  );
  return {
    entries: rows,
    bytes: 1,
    next: 'more' as Cursor,
    dateMs: null,
    readTo: null,
    unknown: [],
    ...changes,
  };
}

/** Whether the promise resolves within `ms`. */
const within = (promise: Promise<void>, ms: number) =>
  Promise.race([promise.then(() => true), delay(ms).then(() => false)]);

test('a batch is full at 5000 entries, rejects counted, and not before', () => {
  const hand = inHand();
  hand.add(page(4_998), 0);
  expect(hand.full).toBe(false);
  const reject = { reason: 'no_time', timeMs: null, rawText: '{}' } as const;
  hand.add(page(0, { entries: [...page(1).entries, reject] }), 0);
  expect(hand.full).toBe(true);
});

test('a batch is full at 16 MiB of bodies, and not before', () => {
  const hand = inHand();
  hand.add(page(1, { bytes: 10 * MIB }), 0);
  hand.add(page(1, { bytes: 6 * MIB - 1 }), 0);
  expect(hand.full).toBe(false);
  hand.add(page(1, { bytes: 1 }), 0);
  expect(hand.full).toBe(true);
});

test('a batch is full, and due, a second after its first page', async () => {
  const hand = inHand();
  hand.add(page(1), 0);
  await delay(400);
  hand.add(page(1), 0);
  const due = hand.due();
  expect(hand.full).toBe(false);
  expect(await within(due.promise, 100)).toBe(false);
  const begun = performance.now();
  expect(await within(due.promise, 30_000)).toBe(true);
  expect(performance.now() - begun).toBeLessThan(15_000);
  // A timer may ring a fraction of a millisecond early.
  await delay(5);
  expect(hand.full).toBe(true);
});

test('a wait for quota makes what is in hand due at once', async () => {
  const hand = inHand();
  hand.add(page(1), 0);
  const due = hand.due();
  hand.wake();
  expect(await Promise.race([due.promise.then(() => 'due'), delay(500).then(() => 'late')])).toBe('due');
  due.cancel();
});

test('a wait for quota that began just before the page was in hand makes it due at once; one that is over does not', async () => {
  const hand = inHand();
  hand.wake();
  hand.add(page(1), 0);
  const due = hand.due();
  expect(await Promise.race([due.promise.then(() => 'due'), delay(500).then(() => 'late')])).toBe('due');
  due.cancel();
  const next = hand.due();
  expect(await within(next.promise, 100)).toBe(false);
  next.cancel();
});

test('an empty hand is never due, whoever wakes it, and never full', async () => {
  const hand = inHand();
  const due = hand.due();
  hand.wake();
  expect(await within(due.promise, 1_300)).toBe(false);
  expect([hand.empty, hand.full]).toEqual([true, false]);
  due.cancel();
});

test('what is handed over is of all pages, with the cursor and times of the last; then the hand is empty', () => {
  const hand = inHand();
  hand.add(page(3, { next: 'a' as Cursor, readTo: 10, unknown: ['field:x'] }), 100);
  hand.add(page(2, { next: 'b' as Cursor, readTo: 20, unknown: ['field:x', 'state:Y'] }), 200);
  hand.add(page(0, { next: 'c' as Cursor, readTo: 30 }), 300);
  const { content, ...rest } = hand.take();
  expect(content.fetched).toBe(5);
  expect(rest).toEqual({
    unknown: ['field:x', 'state:Y'],
    pages: 3,
    cursor: 'c',
    readTo: 30,
    readAt: 300,
    lastEntryAt: 1,
  });
  expect([hand.empty, hand.full]).toEqual([true, false]);
  expect(hand.take().content.fetched).toBe(0);
});
