import { describe, expect, test } from 'vitest';
import { createRedactor } from '../../src/redact.ts';
import { CONTAINER } from '../../src/sources/datadog/fields.ts';
import { createNormaliser } from '../../src/sources/datadog/normalise.ts';
import { readEntries } from '../../src/sources/entries.ts';
import { keeping } from '../sources/entries.ts';

const ID = 'AQAAAYQPdOGI7j3tBQAAAABBWVFQZE9iM0FBQm9Scm1Mc0JEM25BQUE';
const redactor = createRedactor(Buffer.alloc(32, 7));

/** The rows of a page of one log whose fields beside the timestamp are `fields`. */
function rowsOf(fields: string) {
  const log = `{"id":"${ID}","content":{"timestamp":"2022-10-25T14:03:49.000Z"${fields}}}`;
  const text = `{"logs":[${log}],"status":"done"}`;
  const { entries } = readEntries({ body: Buffer.from(text), text }, ['logs'], CONTAINER.v1);
  const normalise = keeping(createNormaliser({ redactor, nowMs: () => Date.parse('2026-11-21T00:00:00Z') }));
  return entries === null ? null : normalise(entries).rows;
}

test.each([
  ['"logs":null,', ''],
  ['"logs":{},', ''],
  ['', ',"logs":7'],
  ['"logs":[],', ''],
])('a page that says twice what it holds was not read: %s ... %s', (before, after) => {
  const log = `{"id":"${ID}","content":{"timestamp":"2022-10-25T14:03:49.000Z"}}`;
  const text = `{${before}"logs":[${log}]${after}}`;
  expect(readEntries({ body: Buffer.from(text), text }, ['logs'], CONTAINER.v1).entries).toBe(null);
});

describe('a page that nobody would print is read all the same', () => {
  test.each([300, 3_276, 3_277, 6_552, 6_553, 6_554, 7_000, 20_000, 60_000])(
    'with a log of %i unknown fields',
    (count) => {
      const fields = Array.from({ length: count }, (_, i) => `,"f${i}":${i}`).join('');
      const rows = rowsOf(fields);
      expect(rows).toHaveLength(1);
      expect(JSON.stringify(rows?.[0]?.parts().entry)).toContain(`\\"f${count - 1}\\":${count - 1}`);
    },
  );

  test.each(['\\n', '\\u4e2d', '\\\\', '\\"'])(
    'with a megabyte of %s in no more time than its length is worth',
    (unit) => {
      const time = (characters: number) => {
        const began = performance.now();
        expect(rowsOf(`,"message":"${unit.repeat(characters / unit.length)}"`)).toHaveLength(1);
        return performance.now() - began;
      };
      time(100_000);
      // Eight times as long: 64 times the time if each escape looked through all the rest.
      const [short, long] = [Math.min(time(125_000), time(125_000)), time(1_000_000)];
      expect(long).toBeLessThan(Math.max(300, 24 * short));
    },
  );
});
