import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Cursor, Ms, Span } from '../../src/model.ts';
import type { Page, Reject, Row } from '../../src/sources/source.ts';
import type { SourceTables } from '../../src/sources/tables.ts';
import { StagedBatch } from '../../src/store/staging.ts';
import { BatchInHand } from '../../src/sync/batch.ts';

const MIB = 1024 * 1024;
const DAY = 86_400_000;

const TABLES: SourceTables = {
  stages: [
    {
      name: 'stage_batch',
      columns: [
        { name: 'id', type: 'text' },
        { name: 'time', type: 'timestamptz' },
      ],
    },
  ],
  partitioned: [],
  merges: [],
  entries: { table: 'batch', time: 'time', key: 'id', newRow: [] },
  known: 'select true as whole where false',
};

/** A hand that fills the store's own batches; `taken` holds what they were given. */
function inHand(taken: (Row | Reject)[] = [], window: Span = { from: 0, to: 1_000 * DAY }): BatchInHand {
  return new BatchInHand(window, () => {
    const content = new StagedBatch(TABLES);
    const add = content.add.bind(content);
    content.add = (made) => {
      taken.push(made);
      add(made);
    };
    return content;
  });
}

function row(timeMs: Ms): Row {
  return {
    timeMs,
    key: `${timeMs}:${timeMs}`,
    parts: () => ({ entry: [String(timeMs), timeMs], shared: [] }),
    rawText: () => `{"time":${timeMs}}`,
  };
}

function page(entries: number, changes: Partial<Page> = {}): Page {
  const rows = Array.from({ length: entries }, (_, n) => row(n));
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
  hand.add(page(4_998));
  expect(hand.full).toBe(false);
  const reject = { reason: 'no_time', timeMs: null, rawText: '{}' } as const;
  hand.add(page(0, { entries: [...page(1).entries, reject] }));
  expect(hand.full).toBe(true);
});

test('a batch is full at 16 MiB of bodies, and not before', () => {
  const hand = inHand();
  hand.add(page(1, { bytes: 10 * MIB }));
  hand.add(page(1, { bytes: 6 * MIB - 1 }));
  expect(hand.full).toBe(false);
  hand.add(page(1, { bytes: 1 }));
  expect(hand.full).toBe(true);
});

test('a batch is full, and due, a second after its first page', async () => {
  const hand = inHand();
  hand.add(page(1));
  await delay(400);
  hand.add(page(1));
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
  hand.add(page(1));
  const due = hand.due();
  hand.wake();
  expect(await Promise.race([due.promise.then(() => 'due'), delay(500).then(() => 'late')])).toBe('due');
  due.cancel();
});

test('a wait for quota that began just before the page was in hand makes it due at once; one that is over does not', async () => {
  const hand = inHand();
  hand.wake();
  hand.add(page(1));
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
  hand.add(page(3, { next: 'a' as Cursor, readTo: 10, unknown: ['field:x'] }));
  hand.add(page(2, { next: 'b' as Cursor, readTo: 20, unknown: ['field:x', 'state:Y'] }));
  hand.add(page(0, { next: 'c' as Cursor, readTo: 30 }));
  const { content, ...rest } = hand.take();
  expect(content.fetched).toBe(5);
  expect(rest).toEqual({
    unknown: ['field:x', 'state:Y'],
    pages: 3,
    cursor: 'c',
    readTo: 30,
    lastEntryAt: 1,
  });
  expect([hand.empty, hand.full]).toEqual([true, false]);
  expect(hand.take().content.fetched).toBe(0);
});

test('an entry further than a day outside the window that was asked is a reject with its raw text, and not what the walk has got to', () => {
  const taken: (Row | Reject)[] = [];
  const window = { from: 100 * DAY, to: 103 * DAY };
  const hand = inHand(taken, window);
  const near = [window.from - DAY, window.from, window.to, window.to + DAY - 1].map(row);
  const far = [row(window.to + DAY), row(window.from - DAY - 1), row(0)];
  expect(hand.add(page(0, { entries: [...near, ...far] }))).toBe(window.to + DAY - 1);
  expect(taken.slice(0, 4)).toEqual(near);
  expect(taken.slice(4)).toEqual(
    far.map(({ timeMs, rawText }) => ({ reason: 'time_out_of_bounds', timeMs, rawText: rawText() })),
  );
  const { content, lastEntryAt } = hand.take();
  expect([content.fetched, lastEntryAt]).toEqual([7, window.to + DAY - 1]);
});

test('a batch is full with entries of a hundred UTC days, each of which takes locks of its own', () => {
  const hand = inHand();
  const days = (from: number, to: number) =>
    Array.from({ length: 2 * (to - from) }, (_, n) => row((from + n / 2) * DAY));
  hand.add(page(0, { entries: [...days(0, 60), ...days(0, 60)] }));
  hand.add(page(0, { entries: days(0, 99) }));
  expect(hand.full).toBe(false);
  hand.add(page(0, { entries: days(99, 100) }));
  expect(hand.full).toBe(true);
  hand.take();
  hand.add(page(0, { entries: days(99, 100) }));
  expect(hand.full).toBe(false);
});
