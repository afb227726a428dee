import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { nameTable } from '../src/tape/names.ts';
import { scanPage } from '../src/tape/scan.ts';
import {
  endMember,
  entryText,
  firstMember,
  isOdd,
  KIND,
  kindOf,
  memberInteger,
  memberJson,
  memberText,
  nameFrom,
  nameTo,
  type Tape,
} from '../src/tape/tape.ts';

const KEYS = ['events', 'logs'];

function scan(text: string | Buffer, container: string | null = null) {
  return scanPage(Buffer.from(text), KEYS, container);
}

/** What the tape says of an entry, member by member. */
function told(tape: Tape, index: number, inner = false): Record<string, unknown> {
  const said: Record<string, unknown> = {};
  for (let at = firstMember(tape, index, inner); at < endMember(tape, index, inner); at++) {
    const name = tape.bytes.toString('utf8', nameFrom(tape, at), nameTo(tape, at));
    const kind = kindOf(tape, at);
    said[name] =
      kind <= KIND.escaped
        ? memberText(tape, at)
        : kind === KIND.integer
          ? memberInteger(tape, at)
          : JSON.parse(memberJson(tape, at));
  }
  return said;
}

describe('a scanned page', () => {
  test('tells each entry, its members and those of its container, and the envelope without the entries', () => {
    const entries = [
      '{"id":"a\\n","n":-12,"content":{"m":"é","o":{"x":[1,2.5]}},"t":true}',
      '{}',
      '{"s":""}',
    ];
    const scanned = scan(`{"cursor":"c","logs":[ ${entries.join(' , ')} ],"meta":{"a":[]}}`, 'content');
    expect(scanned?.envelope).toEqual({ cursor: 'c', logs: [], meta: { a: [] } });
    const tape = scanned?.tape as Tape;
    expect(entries.map((_, index) => entryText(tape, index))).toEqual(entries);
    expect(entries.map((_, index) => told(tape, index))).toEqual(entries.map((text) => JSON.parse(text)));
    expect(told(tape, 0, true)).toEqual({ m: 'é', o: { x: [1, 2.5] } });
    expect(told(tape, 1, true)).toEqual({});
  });

  test.each([
    ['{"events":[{}],"logs":[{}]}'],
    ['{"events":[{}],"events":[{}]}'],
    ['{"a":1,"a":2,"logs":[{}]}'],
    ['{"\\u0061":1,"logs":[{}]}'],
    ['{"logs":[1]}'],
    ['{"logs":{}}'],
    ['[{"logs":[]}]'],
    ['{}'],
    ['\ufeff{"logs":[]}'],
    ['{"logs":[{"a":"\ue000"}]}'],
    ['{"logs":[{"a":"\u0007"}]}'],
    ['{"logs":[{\n}]}'],
  ])('is left to others where it is %s', (text) => {
    expect(scan(text)).toBeNull();
  });

  test('is left to others where it is no UTF-8', () => {
    expect(scan(Buffer.from('{"logs":[{"a":"\xff"}]}', 'latin1'))).toBeNull();
  });

  test.each([
    ['{"a":1,"a":1}', true],
    ['{"o":{"a":1,"b":{"a":1},"a":2}}', true],
    ['{"o":{"b":{"a":1},"a":2}}', false],
    ['{"\\u0061":1}', true],
    ['{"o":{"\\"":1}}', true],
    ['{"n":1e1000}', true],
    ['{"n":1e999}', false],
    [`{"n":${'1'.repeat(401)}}`, true],
    [`{${Array.from({ length: 257 }, (_, n) => `"k${n}":1`).join()}}`, true],
    [`{${Array.from({ length: 256 }, (_, n) => `"k${n}":1`).join()}}`, false],
  ])('says of %s whether it is odd: %s', (text, odd) => {
    const scanned = scan(`{"logs":[{},${text},{}]}`);
    expect([0, 1, 2].map((index) => isOdd(scanned?.tape as Tape, index))).toEqual([false, odd, false]);
  });

  test.each([
    ['0', KIND.integer],
    ['-1', KIND.integer],
    ['999999999999999', KIND.integer],
    ['1000000000000000', KIND.number],
    ['-0', KIND.number],
    ['1.5', KIND.number],
    ['1e2', KIND.number],
    ['null', KIND.word],
    ['"a"', KIND.text],
    ['"\\n"', KIND.escaped],
    ['[]', KIND.array],
  ])('gives %s the kind %i', (text, kind) => {
    const tape = scan(`{"logs":[{"v":${text}}]}`)?.tape as Tape;
    expect(kindOf(tape, 0)).toBe(kind);
  });

  test('is JSON exactly where JSON.parse says so, whatever byte is changed, left out or doubled', () => {
    const page =
      '{"cursor":"x\\"y","logs":[{"id":"a\\u00e9","n":-1.5e3,"o":{"k":[true,false,null,0,-2],"e":{}},"s":"\\\\"},{"b":[[],[1]]}],"z":12}';
    let valid = 0;
    fc.assert(
      fc.property(
        fc.nat(page.length - 1),
        fc.constantFrom('', ...'"\\{}[]:,.-+eEtfn0 19u/', '""', ',,', '\\"', '\\u00', ' '),
        fc.boolean(),
        (at, put, over) => {
          const text = page.slice(0, at) + put + page.slice(over ? at + 1 : at);
          let parsed: Record<string, unknown> | null = null;
          try {
            parsed = JSON.parse(text);
          } catch {}
          const scanned = scan(text);
          if (scanned === null) return;
          valid += 1;
          expect(parsed, text).not.toBeNull();
          const logs = parsed?.logs as Record<string, unknown>[];
          expect({ ...parsed, logs: [] }).toEqual(scanned.envelope);
          expect(logs.map((_, index) => JSON.parse(entryText(scanned.tape, index)))).toEqual(logs);
          for (const [index, log] of logs.entries()) {
            if (!isOdd(scanned.tape, index)) expect(told(scanned.tape, index)).toEqual(log);
          }
        },
      ),
      { numRuns: 10_000 },
    );
    expect(valid).toBeGreaterThan(1_000);
  });

  test('never refuses a page of common JSON', () => {
    const value = fc.jsonValue({ maxDepth: 5, stringUnit: 'grapheme' });
    fc.assert(
      fc.property(fc.array(fc.dictionary(fc.string(), value)), (logs) => {
        const text = JSON.stringify({ logs });
        if (text.includes('\ue000')) return;
        const scanned = scan(text);
        expect(scanned, text).not.toBeNull();
        expect(logs.map((_, index) => JSON.parse(entryText(scanned?.tape as Tape, index)))).toEqual(
          JSON.parse(text).logs,
        );
      }),
      { numRuns: 500 },
    );
  });
});

test('a name table finds its names, and nothing else', () => {
  const names = ['time', 'emit', 'messageId', 'state', 'a', 'ab'];
  const table = nameTable(names);
  const found = (name: string) => table.find(scan(`{"logs":[{"${name}":1}]}`)?.tape as Tape, 0);
  expect(names.map(found)).toEqual([0, 1, 2, 3, 4, 5]);
  expect(['', 'tim', 'timee', 'tixe', 'A', 'é'].map(found)).toEqual([-1, -1, -1, -1, -1, -1]);
});
