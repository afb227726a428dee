import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canonicalJson, equalJson, parseEnvelope, parseExactly } from '../src/json.ts';
import { canonicalNumber, elementTexts, fieldTexts, inspect } from '../src/json-scan.ts';
import { hostileJson, nested } from './hostile.ts';

const page = (...entries: string[]) => `{"cursor":"1-0","events":[${entries.join(',')}]}`;
const entryTexts = (text: string) =>
  parseEnvelope(text, ['events', 'logs']).entries.map((entry) => entry.text);

describe('parseEnvelope', () => {
  test('gives the entries under the first key that holds an array, and the envelope beside', () => {
    const { envelope, key, entries } = parseEnvelope('{"events":null,"logs":[{"a":1},2],"cursor":"x"}', [
      'events',
      'logs',
    ]);
    expect(key).toBe('logs');
    expect(envelope.cursor).toBe('x');
    expect(entries.map((entry) => entry.value)).toEqual([{ a: 1 }, 2]);
  });

  test.each(['[]', '1', 'null', '{}', '{"events":{}}', '{"events":"[]"}'])(
    'finds no entries in %s, rather than zero',
    (text) => {
      expect(parseEnvelope(text, ['events', 'logs']).key).toBeNull();
    },
  );

  test('does not take a part for the whole where the key is repeated', () => {
    expect(parseEnvelope('{"events":[1],"events":[2]}', ['events']).key).toBeNull();
  });

  test('throws SyntaxError on a cut answer', () => {
    expect(() => parseEnvelope('{"events":[{"a":1', ['events'])).toThrow(SyntaxError);
  });

  test('needs no text where the value says it all', () => {
    expect(entryTexts(page('{"a":1,"b":[0.5,"x",null,true]}', '{"time":1700000000000}'))).toEqual([
      null,
      null,
    ]);
    expect(entryTexts(JSON.stringify(JSON.parse(page('{"a":{"b":1}}')), null, 2))).toEqual([null]);
    expect(entryTexts(`${page('{"a":"\\u003cb\\u003e\\u0026"}')}\n`)).toEqual([null]);
    expect(entryTexts(page('{"2":1,"1":1.0,"a":1e3,"b":"\\/"}'))).toEqual([null]);
    expect(entryTexts(page('{"a":0.30000000000000004,"b":-0}'))).toEqual([null, ...[]]);
  });

  test.each([
    ['an integer beyond 2^53', '{"id":12345678901234567890}'],
    ['a decimal that no double holds', '{"a":0.1000000000000000000001}'],
    ['a number beyond all doubles', '{"a":1e400}'],
    ['a number below all doubles', '{"a":1e-400}'],
    ['a repeated key', '{"a":1,"a":2}'],
    ['a key repeated in another spelling', '{"a":1,"\\u0061":2}'],
    ['a repeated key further down', '{"a":[{"b":{"c":1, "c" : 1}}]}'],
    ['a repeated __proto__', '{"__proto__":1,"__proto__":2}'],
    ['nesting 501 deep', `{"a":${'['.repeat(500)}${']'.repeat(500)}}`],
    ['nesting 10,000 deep', nested(5_000)],
  ])('keeps the exact text of an entry with %s, and of no other', (_, odd) => {
    expect(entryTexts(page('{"a":1}', odd, '{"b":"2"}'))).toEqual([null, odd, null]);
    expect(entryTexts(page(' {"a" : 1}', ` ${odd} `, '{"b":"2"} '))).toEqual([null, odd, null]);
  });

  test('says of strings that need escaping for Postgres that they are not known to be plain', () => {
    const plain = (text: string) => parseEnvelope(text, ['events']).entries[0]?.plain;
    expect(plain(page('{"a":"b"}'))).toBe(true);
    for (const json of ['"\\u0000"', '"\\uD800"', '"\ue000"', '"\\ue000"', '"\ud800"']) {
      expect(plain(page(`{"a":${json}}`)), json).toBe(false);
    }
  });

  test('whatever the entry: its text, or else its printed value, is equal to what came', () => {
    fc.assert(
      fc.property(fc.array(hostileJson, { maxLength: 4 }), (texts) => {
        const { entries } = parseEnvelope(page(...texts), ['events']);
        expect(entries.length).toBe(texts.length);
        for (const [index, { value, text }] of entries.entries()) {
          expect(equalJson(text ?? JSON.stringify(value), texts[index] ?? '')).toBe(true);
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe('equalJson', () => {
  test.each([
    ['{"a":1,"b":2}', '{ "b" : 2.0, "a" : 10e-1 }'],
    ['1e400', '10E+399'],
    ['-0', '0.00'],
    ['"a\\u0062\\/"', '"ab/"'],
    ['123456789012345678901234567890', '1.2345678901234567890123456789e29'],
    ['[[],{}]', ' [ [ ] , { } ] '],
    ['{"a":1,"b":0,"a":2}', '{"b":0,"a":1,"a":2}'],
    ['"\ud800"', '"\\ud800"'],
    ['"é\u2028\u007f😀"', '"\\u00e9\\u2028\\u007f\\ud83d\\ude00"'],
  ])('%s says the same as %s', (a, b) => {
    expect(equalJson(a, b)).toBe(true);
  });

  test.each([
    ['12345678901234567890', '12345678901234567891'],
    ['1e400', '1e401'],
    ['"1"', '1'],
    ['1', '-1'],
    ['{"a":1,"a":2}', '{"a":2}'],
    ['{"a":1,"a":2}', '{"a":2,"a":1}'],
    ['{"a":null}', '{}'],
    ['[1,2]', '[2,1]'],
    ['[[1],2]', '[[1,2]]'],
    ['{}', '[]'],
    ['"\\ud800"', '"\\ud801"'],
    ['0.1', '0.1000000000000000055511151231257827'],
  ])('%s does not say the same as %s', (a, b) => {
    expect(equalJson(a, b)).toBe(false);
  });

  test('holds for each JSON and itself in canonical spelling, and canonical is canonical', () => {
    fc.assert(
      fc.property(hostileJson, (text) => {
        const canonical = canonicalJson(text);
        expect(canonicalJson(canonical)).toBe(canonical);
      }),
    );
  });

  test('does not recurse: 100,000 levels are compared', () => {
    expect(equalJson(nested(50_000), nested(50_000))).toBe(true);
    expect(equalJson(nested(50_000), nested(50_001))).toBe(false);
  });
});

describe('parseExactly', () => {
  const same = (value: unknown, source: string) => canonicalNumber(String(value)) === canonicalNumber(source);
  const exactly = (_: string, value: unknown, context?: { source?: string }): unknown =>
    typeof value === 'number' && !same(value, context?.source ?? '') ? context?.source : value;

  test('gives each number as a double that says the same, or else its text; all else as JSON.parse does', () => {
    fc.assert(
      fc.property(hostileJson, (text) => {
        // Two parses by V8 (Node 26) may differ here: see `inspect`.
        fc.pre(!/"\\(?:u[\da-fA-F]{4}|.)"\s*:/.test(text));
        expect(parseExactly(text)).toStrictEqual(JSON.parse(text, exactly));
      }),
      { numRuns: 2000 },
    );
  });

  test('does not recurse: what lies under 100,000 levels is put right', () => {
    let value = parseExactly(nested(50_000).replace('0', '12858628035442739367'));
    while (typeof value === 'object') value = Object.values(value ?? {})[0];
    expect(value).toBe('12858628035442739367');
  });

  test('leaves a key __proto__ a key of its own', () => {
    expect(Object.entries(parseExactly('{"__proto__":12858628035442739367}') as object)).toEqual([
      ['__proto__', '12858628035442739367'],
    ]);
  });
});

describe('the scanner', () => {
  test('gives the raw text of each field, repeated ones in order, names unescaped', () => {
    const fields = fieldTexts(' { "a" : [1, {"b":"]}"}] ,"\\u0062":1.0,"a":"\\"", "c":{} } ');
    expect([...fields]).toEqual([
      ['a', ['[1, {"b":"]}"}]', '"\\""']],
      ['b', ['1.0']],
      ['c', ['{}']],
    ]);
  });

  test('gives the raw text of each element', () => {
    expect(elementTexts(' [ 1 , "a,]" , [2,3],{"a":[]}, null ] ')).toEqual([
      '1',
      '"a,]"',
      '[2,3]',
      '{"a":[]}',
      'null',
    ]);
    expect(elementTexts('[ ]')).toEqual([]);
  });

  test.each([
    ['{"a":[1,2.5,"1e400"]}', true, true],
    ['12345678901234567890', false, true],
    ['0.10000000000000000001', false, true],
    ['1e1001', false, false],
    ['1e-1001', false, false],
    ['1'.repeat(1001), false, false],
    ['{"a":{"b":1,"b":1}}', false, false],
    ['{"a":1,"b":{"a":1}}', true, true],
    ['"{\\"a\\":1,\\"a\\":1}"', true, true],
  ])('says of %s whether a value (%s) and jsonb (%s) hold it', (text, exact, storable) => {
    expect(inspect(text)).toEqual({ exact, storable });
  });
});
