import { setTimeout } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { createRedactor } from '../../../src/redact.ts';
import { createNormaliser } from '../../../src/sources/qstash/normalise.ts';
import { entriesOf, exactly, keep } from '../entries.ts';
import { partsOf } from '../stored.ts';

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;
const MIB = 1024 * 1024;
const NOW = Date.parse('2026-11-21T00:00:00Z');

/** Page after page of messages in turn, more of them than are remembered; some say something else the second time. */
function pages(): string[] {
  const entry = (message: number, time: number, sent: string) =>
    `{"time":${NOW - time},"messageId":"msg_${message}","state":"ACTIVE","method":"POST",${sent}}`;
  return Array.from({ length: 200 }, (_, page) => {
    const entries = Array.from({ length: 100 }, (_, n) => {
      const message = (page * 70 + n) % 6_500;
      const body = Buffer.from(`${message}:${message % 9 === 0 ? page : 0}`.repeat(10)).toString('base64');
      return entry(message, page * 100 + n, `"body":"${body}","label":"l${message}"`);
    });
    return `{"events":[${entries.join()}]}`;
  });
}

test('of more messages than are remembered each entry has the request that it says itself', () => {
  const options = { redactor: createRedactor(Buffer.alloc(32, 7)), nowMs: () => NOW };
  const [quick, exact] = [createNormaliser(options), createNormaliser(options)];
  const hashes = new Set<string>();
  for (const text of pages()) {
    const entries = entriesOf(text, ['events']);
    const [rows, others] = [keep(quick(entries).entries).rows, keep(exact(exactly(entries)).entries).rows];
    expect(rows).toHaveLength(100);
    const keys = rows.map((row) => partsOf(row)[1]?.key);
    expect(keys).toEqual(others.map((row) => partsOf(row)[1]?.key));
    for (const key of keys) hashes.add(key ?? '');
  }
  expect(hashes.size).toBeGreaterThan(6_500);
});

/** Two entries of a message each, the second with another body where `differs`. */
function pageOf(message: number, bytes: number, differs: boolean): string {
  const entry = (state: string, fill: number) =>
    `{"time":${NOW - 1},"messageId":"msg_${message}","state":"${state}","body":"${Buffer.alloc(bytes, fill).toString('base64')}"}`;
  return `{"events":[${entry('CREATED', message)},${entry('ACTIVE', differs ? message + 1 : message)}]}`;
}

test('what is remembered of messages is bounded in bytes, however long they are', async () => {
  const normalise = createNormaliser({ redactor: createRedactor(Buffer.alloc(32, 7)), nowMs: () => NOW });
  const held = async (): Promise<number> => {
    // What is let go by one collection is gone after the next.
    collect();
    await setTimeout(50);
    collect();
    return process.memoryUsage().arrayBuffers;
  };
  const before = await held();
  // Some fit into a slab, most of them are many times as long as one: 30 MiB in all.
  const [short, long] = [pageOf(1, 190_000, false), pageOf(1, MIB, false)];
  for (let message = 0; message < 30; message += 1) {
    const text = (message % 3 === 0 ? short : long).replaceAll('msg_1', `msg_${message}`);
    const entries = entriesOf(text, ['events']);
    for (const row of keep(normalise(entries).entries).rows) partsOf(row);
    entries.release();
  }
  // 8 MiB, and the page last read and what its digest was made of.
  await expect.poll(async () => (await held()) - before, { timeout: 10_000 }).toBeLessThan(16 * MIB);
  // Whoever remembers is still there.
  expect(normalise).toBeTypeOf('function');
});

test.each([100, 190_000, 300_000, 3 * MIB])(
  'a message of %i bytes has the request that each of its entries says itself',
  (bytes) => {
    const options = { redactor: createRedactor(Buffer.alloc(32, 7)), nowMs: () => NOW };
    const [quick, exact] = [createNormaliser(options), createNormaliser(options)];
    const hashes = new Set<string>();
    for (const [message, differs] of [
      [1, false],
      [2, true],
      [1, true],
    ] as const) {
      const entries = entriesOf(pageOf(message, bytes, differs), ['events']);
      const [rows, others] = [
        keep(quick(entries).entries).rows,
        keep(exact(exactly(entries)).entries).rows,
      ].map((read) => read.map((row) => partsOf(row)[1]));
      expect(rows).toHaveLength(2);
      expect(rows?.map((part) => part?.key)).toEqual(others?.map((part) => part?.key));
      for (const part of rows ?? []) hashes.add(part?.key ?? '');
    }
    // Messages 1 and 2 as each began, and as each went on.
    expect(hashes.size).toBe(4);
  },
);
