import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalJson } from '../../../src/json.ts';
import { createRedactor, type Redactor } from '../../../src/redact.ts';
import { CONTAINER, type Transport } from '../../../src/sources/datadog/fields.ts';
import { createNormaliser } from '../../../src/sources/datadog/normalise.ts';
import { rebuildDatadog } from '../../../src/sources/datadog/rebuild.ts';
import { tables } from '../../../src/sources/datadog/table.ts';
import { hostileJson, hostileString, nested, objectText } from '../../hostile.ts';
import { entriesOf, keeping } from '../entries.ts';
import { stored } from '../stored.ts';

const NOW = Date.parse('2026-11-21T00:00:00Z');
const ID = 'AQAAAYQPdOGI7j3tBQAAAABBWVFQZE9iM0FBQm9Scm1Mc0JEM25BQUE';
const TIMESTAMP = '"timestamp":"2022-10-25T14:03:49.000Z"';
const key = Buffer.alloc(32, 7);
const open = createRedactor(key, []);

function rebuilt(texts: readonly string[], transport: Transport, redactor: Redactor = open): string[] {
  const normalise = keeping(createNormaliser({ redactor, nowMs: () => NOW, transport }));
  const { rows, rejects } = normalise(
    entriesOf(`{"logs":[${texts.join(',')}]}`, ['logs'], CONTAINER[transport]),
  );
  expect(rejects).toEqual([]);
  return rows.map((row) => {
    const log = stored(row, tables.stages, 0);
    if (log === null) throw new Error('no row');
    return rebuildDatadog(log, transport);
  });
}

function entryText(transport: Transport, members: string, beside = ''): string {
  const container = transport === 'v1' ? 'content' : 'attributes';
  const type = transport === 'v1' ? '' : '"type":"log",';
  return `{"id":"${ID}",${type}"${container}":{${TIMESTAMP}${members === '' ? '' : `,${members}`}}${beside}}`;
}

const INNER = [
  'message',
  'host',
  'service',
  'status',
  'tags',
  'attributes',
  'source',
  'somethingNew',
  'logkeep:raw',
  'logkeep:entry',
  'logkeep:absent',
  '__proto__',
  '\n',
  '\\',
];
const OUTER = ['type', 'links', 'logkeep:raw', 'content', 'attributes', '__proto__', 'id', '\n', '\\'];
const names = (known: readonly string[]) =>
  fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...known).map((name) => JSON.stringify(name)) },
    hostileString,
  );
const fitting = fc.constantFrom(
  '"a"',
  '["source:go","Env:prod","source:go"]',
  '{"id":12345678901234567890}',
  '{"a":{"b":[1]}}',
);
const members = (known: readonly string[]) =>
  fc.array(fc.tuple(names(known), fc.oneof(hostileJson, fitting)), { maxLength: 6 });
const timestamp = fc.constantFrom(
  '"2022-10-25T14:03:49.000Z"',
  '"2022-10-25T14:03:49Z"',
  '"2022-10-25T16:03:49.000123+02:00"',
  '"2022-10-25 14:03:49.000z"',
  '"\\u0032022-10-25T14:03:49.000Z"',
);
const decided = (name: string) => (member: readonly [string, string]) => JSON.parse(member[0]) !== name;
const entry = (transport: Transport) =>
  fc.tuple(members(INNER), members(OUTER), timestamp, fc.boolean()).map(([inner, outer, time, twice]) => {
    const container = transport === 'v1' ? 'content' : 'attributes';
    const log = objectText([
      ...(twice ? ([['"timestamp"', '5']] as const) : []),
      ...inner.filter(decided('timestamp')),
      ['"timestamp"', time],
    ]);
    return objectText([...outer, ['"id"', `"${ID}"`], [JSON.stringify(container), log]]);
  });

describe.each(['v1', 'v2'] as const)('I7: a Datadog log can be rebuilt from its row (%s)', (transport) => {
  test('whatever it holds', () => {
    fc.assert(
      fc.property(fc.array(entry(transport), { minLength: 1, maxLength: 4 }), (texts) => {
        const results = rebuilt(texts, transport);
        for (const [index, text] of texts.entries()) {
          const result = results[index] ?? '';
          if (!equalJson(result, text)) throw new Error(`rebuilt ${JSON.stringify(result)}`);
        }
      }),
      { numRuns: 2000 },
    );
  });

  test.each([
    ['with nothing but its time', ''],
    ['with empty values', '"message":"","host":"","service":"","tags":[],"attributes":{},"status":""'],
    [
      'with explicit nulls',
      '"message":null,"host":null,"service":null,"tags":null,"attributes":null,"status":null',
    ],
    [
      'with values of the wrong type',
      '"message":{"a":1},"host":5,"tags":"a,b","attributes":[1],"status":["x"]',
    ],
    ['with tags that are not all text', '"tags":["a",null,"b",1]'],
    ['with tags repeated and unordered', '"tags":["b","a","b","source:x","no colon"]'],
    [
      'with 64-bit integers',
      '"attributes":{"dd":{"trace_id":12345678901234567890,"span":-9223372036854775808}}',
    ],
    ['with 1e400', '"attributes":{"a":1e400,"b":[1e-9999]}'],
    ['with keys repeated', '"attributes":{"a":1,"a":2},"host":"a","host":"b"'],
    ['nested 10,000 deep', `"attributes":{"a":${nested(5000)}},"message":${nested(5000)}`],
    [
      'with NUL and lone surrogates',
      '"message":"a\\u0000b\\ud800","tags":["\\u0000"],"attributes":{"\\u0000":"\\udfff"}',
    ],
    [
      'with our own marks',
      '"message":"\ue0000000","attributes":{"\\ue000":"\ue000e000"},"logkeep:entry":{"a":1}',
    ],
    ['with a severity', '"status":"error"'],
    ['with a source beside the tags', '"source":"go","tags":["source:nodejs"]'],
    ['with a message of 1 MB', `"message":"${'line\\n'.repeat(200_000)}"`],
    ['with unknown fields', '"somethingNew":{"a":[null]},"logkeep:raw":1'],
  ])('%s', (_, inner) => {
    const text = entryText(transport, inner);
    const [result = ''] = rebuilt([text], transport);
    expect(equalJson(result, text), result.slice(0, 1000)).toBe(true);
  });

  test.each([
    ['fields beside the log', ',"links":{"self":"x"},"big":12345678901234567890,"deep":1e9999'],
    [
      'the log given twice',
      ',"content":{"timestamp":"2022-10-25T14:03:49.000Z"},"attributes":{"timestamp":"2022-10-25T14:03:49.000Z"}',
    ],
    ['the id given twice', `,"id":"${ID}"`],
    ['another type', ',"type":"event"'],
  ])('with %s', (_, beside) => {
    const text = entryText(transport, '"message":"m"', beside);
    const [result = ''] = rebuilt([text], transport);
    expect(equalJson(result, text), result).toBe(true);
  });

  test('without its type', () => {
    const text = entryText(transport, '"message":"m"').replace('"type":"log",', '');
    expect(equalJson(rebuilt([text], transport)[0] ?? '', text)).toBe(true);
  });

  test('but for hidden names in what is kept beside the columns', () => {
    const redactor = createRedactor(key);
    const text = (secret: string) =>
      entryText(
        transport,
        `"new":{"authorization":${secret},"a":[{"Cookie":[${secret}]}]},"x-api-key":${secret},"big":{"api-key":${secret},"n":1e9999}`,
        `,"beside":{"set-cookie":${secret}}`,
      );
    const [result = ''] = rebuilt([text('"hunter2"')], transport, redactor);
    expect(result).not.toContain('hunter2');
    expect(equalJson(result, text(JSON.stringify(redactor.hide('hunter2')))), result).toBe(true);
  });
});
