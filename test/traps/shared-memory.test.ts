import { expect, test } from 'vitest';
import { createRedactor } from '../../src/redact.ts';
import { readEntries } from '../../src/sources/entries.ts';
import { createNormaliser } from '../../src/sources/qstash/normalise.ts';
import { tables } from '../../src/sources/qstash/table.ts';
import { lazyPage } from '../../src/sources/stream.ts';
import { StagedBatch } from '../../src/store/staging.ts';
import { BatchInHand } from '../../src/sync/batch.ts';

const NOW = Date.parse('2026-05-20T00:00:00Z');
const SENT =
  '"header":{"Content-Type":["text/plain"]},"method":"POST","callback":"https://e.com/done","body":"aGVsbG8="';
const ANSWERED = '"responseHeaders":{"Server":["x"]},"responseStatus":200';
const ENTRIES = [1, 2, 3].map(
  (n) => `{"time":${NOW - n},"messageId":"msg_${n % 2}","state":"DELIVERED",${ANSWERED},${SENT}}`,
);
const PAGE = `{"events":[${ENTRIES.join()}]}`;

/**
 * What a batch makes of two pages whose memory stays, or becomes something else as soon as it is given back; at once, or
 * of rows that waited.
 */
function encoded(poisoned: boolean, waits: boolean): (Buffer | null)[] {
  const normalise = createNormaliser({ redactor: createRedactor(Buffer.alloc(32, 7)), nowMs: () => NOW });
  const batch = new StagedBatch(tables, undefined, { waits, isFirst: false });
  const hand = new BatchInHand({ from: NOW - 1_000, to: NOW }, () => batch);
  let released = 0;
  for (const text of [PAGE, PAGE.replaceAll('"POST"', '"PUT"')]) {
    const body = Buffer.from(text);
    const release = () => {
      released += 1;
      if (poisoned) body.fill('X');
    };
    const { entries } = readEntries({ body, text, release }, ['events'], null);
    if (entries === null) throw new Error('no entries');
    const frame = { next: null, dateMs: NOW, bytes: text.length, readTo: null };
    const before = released;
    hand.add(lazyPage(frame, entries, normalise));
    expect(released - before).toBe(waits ? 0 : 1);
  }
  hand.take();
  batch.make();
  expect(released).toBe(2);
  // The buffers are the batch's own until it is cleared.
  return batch.seal().map((stage) => stage.encoded && Buffer.from(stage.encoded));
}

test('nothing that a batch keeps lies in the memory of its pages', () => {
  const kept = encoded(false, false);
  expect(kept.every((stage) => stage !== null && stage.length > 100)).toBe(true);
  expect(encoded(true, false)).toEqual(kept);
  expect(encoded(true, true)).toEqual(kept);
});
