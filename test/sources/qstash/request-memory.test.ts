import { expect, test } from 'vitest';
import { createRedactor } from '../../../src/redact.ts';
import { createNormaliser } from '../../../src/sources/qstash/normalise.ts';
import { entriesOf, exactly, keep } from '../entries.ts';
import { partsOf } from '../stored.ts';

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
