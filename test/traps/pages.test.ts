import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isFailure } from '../../src/errors.ts';
import { parseEnvelope } from '../../src/json.ts';
import { createRedactor } from '../../src/redact.ts';
import { CONTAINER } from '../../src/sources/datadog/fields.ts';
import { createNormaliser } from '../../src/sources/datadog/normalise.ts';
import { type Entries, readEntries } from '../../src/sources/entries.ts';
import { scanPage } from '../../src/tape/scan.ts';
import { keeping } from '../sources/entries.ts';

const ID = 'AQAAAYQPdOGI7j3tBQAAAABBWVFQZE9iM0FBQm9Scm1Mc0JEM25BQUE';
const redactor = createRedactor(Buffer.alloc(32, 7));

/** The entries of an answer; null where it was not read. */
function entriesIn(text: string, keys: readonly string[], container: string | null): Entries | null {
  try {
    return readEntries({ body: Buffer.from(text), text }, keys, container).entries;
  } catch (error) {
    if (isFailure(error, 'protocol')) return null;
    throw error;
  }
}

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
  expect(entriesIn(text, ['logs'], CONTAINER.v1)).toBe(null);
});

describe('an answer that may hold its entries under either of two keys', () => {
  const KEYS = ['events', 'logs'];
  const read = (text: string) => entriesIn(text, KEYS, null);

  test.each([
    '{"events":[],"logs":[{"messageId":"a"}]}',
    '{"events":[{"messageId":"a"}],"logs":[]}',
    '{"logs":[{"messageId":"a"}],"events":[{"messageId":"b"}]}',
    '{"events":[7],"logs":[]}',
    '{"logs":{"a":1},"events":[{"messageId":"a"}]}',
    '{"events":[{"messageId":"a"}],"logs":"elsewhere"}',
    '{"events":[{"messageId":"a"}],"logs":0}',
    '{"events":[{"messageId":"a"}],"logs":[],"logs":null}',
    '{"events":[{"messageId":"a"}],"l\\u006fgs":[]}',
  ])('was not read where both say something: %s', (text) => {
    expect(read(text)).toBe(null);
    expect(parseEnvelope(text, KEYS).key).toBe(null);
    expect(scanPage(Buffer.from(text), KEYS, null)).toBe(null);
  });

  test.each(['{"events":null,"logs":[{},{}]}', '{"events":[{},{}],"logs":null}'])(
    'is read where one of them is null, which says nothing: %s',
    (text) => {
      expect(read(text)).toHaveLength(2);
      expect(parseEnvelope(text, KEYS).entries).toHaveLength(2);
      expect(scanPage(Buffer.from(text), KEYS, null)?.tape).toHaveLength(2);
    },
  );

  test('is read, quickly or patiently, exactly where each name comes once at most, one is an array and the other null', () => {
    const key = fc.constantFrom('events', 'logs', 'l\\u006fgs', 'cursor', 'more');
    const value = fc.constantFrom('null', '[]', '[{"a":1}]', '[{},{}]', '[1]', '{}', '1', '"x"', 'true');
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value), { maxLength: 4 }), (members) => {
        const text = `{${members.map(([name, json]) => `"${name}":${json}`).join()}}`;
        const names = members.map(([name]) => JSON.parse(`"${name}"`) as string);
        const said = members.filter(([, json], at) => KEYS.includes(names[at] ?? '') && json !== 'null');
        const [[, array] = ['', '']] = said;
        const whole = said.length === 1 && array.startsWith('[') && new Set(names).size === names.length;
        const length = whole ? (JSON.parse(array) as unknown[]).length : null;
        const patient = parseEnvelope(text, KEYS);
        expect(patient.key === null ? null : patient.entries.length).toBe(length);
        expect(read(text)?.length ?? null).toBe(length);
        const quick = scanPage(Buffer.from(text), KEYS, null);
        if (quick !== null) expect(quick.tape.length).toBe(length);
      }),
      { numRuns: 2000 },
    );
  });
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
