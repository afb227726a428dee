import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalJson } from '../../../src/json.ts';
import { createRedactor, type Redactor } from '../../../src/redact.ts';
import { createNormaliser } from '../../../src/sources/qstash/normalise.ts';
import { rebuildQstash } from '../../../src/sources/qstash/rebuild.ts';
import { tables } from '../../../src/sources/qstash/table.ts';
import { hostileJson, hostileString, nested, objectText } from '../../hostile.ts';
import { entriesOf, keeping } from '../entries.ts';
import { stored } from '../stored.ts';

const TIME = 1_777_634_400_083;
const key = Buffer.alloc(32, 7);
const open = createRedactor(key, []);

function rebuilt(texts: readonly string[], redactor: Redactor = open): string[] {
  const normalise = keeping(createNormaliser({ redactor, nowMs: () => TIME }));
  const { rows, rejects } = normalise(entriesOf(`{"events":[${texts.join(',')}]}`, ['events']));
  expect(rejects).toEqual([]);
  return rows.map((row) => {
    const log = stored(row, tables.stages, 0);
    if (log === null) throw new Error('no log row');
    return rebuildQstash(log, stored(row, tables.stages, 1));
  });
}

const FIELDS = [
  'state',
  'error',
  'nextDeliveryTime',
  'url',
  'topicName',
  'endpointName',
  'header',
  'body',
  'responseStatus',
  'responseBody',
  'responseHeaders',
  'responseHeader',
  'timeout',
  'callbackHeaders',
  'maxRetries',
  'retryDelayExpression',
  'retryDelayExpr',
  'label',
  'labels',
  'period',
  'duration',
  'host',
  'somethingNew',
  'logkeep:raw',
  'logkeep:spelling',
  '__proto__',
  'constructor',
  '\\',
  '\n',
  'messageId',
  'time',
];
const name = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...FIELDS).map((field) => JSON.stringify(field)) },
  hostileString,
);
const fitting = fc.constantFrom(
  '"DELIVERED"',
  '200',
  '"aGVsbG8="',
  '"aGVsbG8"',
  '"aGVsbG9="',
  '"a-_="',
  '{"A":["b"]}',
  '["a","b\\u0000"]',
  '"REDACTED:0123"',
  '1777634400000',
);
const entry = fc
  .array(fc.tuple(name, fc.oneof(hostileJson, fitting)), { maxLength: 8 })
  .filter(
    (members) => !members.some(([field]) => /"(messageId|time)"/.test(JSON.stringify(JSON.parse(field)))),
  )
  .chain((members) =>
    fc.constantFrom(
      objectText([['"messageId"', '"msg_1"'], ['"time"', String(TIME)], ...members]),
      objectText([
        ...members,
        ['"time"', '7'],
        ['"messageId"', '"m\\ud800"'],
        ['"time"', '1777634400083.00'],
      ]),
    ),
  );

describe('I7: a QStash entry can be rebuilt from its rows', () => {
  test('whatever it holds', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 4 }), (texts) => {
        const results = rebuilt(texts);
        for (const [index, text] of texts.entries()) {
          const result = results[index] ?? '';
          if (!equalJson(result, text)) throw new Error(`rebuilt ${JSON.stringify(result)}`);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    [
      'as recorded',
      '"state":"ERROR","error":"status 500","header":{"A":["b"]},"body":"aGk=","responseStatus":500',
    ],
    [
      'with explicit nulls',
      '"state":null,"url":null,"body":null,"labels":null,"header":null,"duration":null',
    ],
    ['with empty values', '"state":"","body":"","labels":[],"header":{},"queueName":"","responseBody":""'],
    ['with values of the wrong type', '"state":1,"body":{"a":1},"labels":"a","header":[],"maxRetries":"3"'],
    ['with numbers out of range', '"maxRetries":2147483648,"duration":9223372036854775808,"period":1.5'],
    ['with 64-bit integers', '"duration":9223372036854775807,"timeout":-9223372036854775808'],
    ['with an absurd delivery time', '"nextDeliveryTime":-62135596800000'],
    ['with bodies that are not base64', '"body":"REDACTED:abc","responseBody":"aGk"'],
    ['with base64 whose last bits are not zero', '"body":"aGl="'],
    ['with base64 of the other alphabet', '"body":"-_-_","responseBody":"-_-_aGk="'],
    ['with the other spellings', '"responseHeader":{"a":["b"]},"retryDelayExpr":"1000 * n"'],
    [
      'with both spellings',
      '"responseHeader":{"a":["b"]},"responseHeaders":{},"retryDelayExpr":"1","retryDelayExpression":"2"',
    ],
    ['with the other spelling of a wrong type', '"responseHeader":[],"retryDelayExpr":5'],
    ['with fields repeated', '"state":"A","state":"B","header":{"a":1},"header":{},"new":1,"new":2'],
    ['with keys repeated within a header', '"header":{"a":["1"],"a":["2"]}'],
    ['with numbers in a header', '"header":{"a":12345678901234567890}'],
    ['with 1e400', '"new":1e400,"duration":1e400,"header":{"a":[1e999999]}'],
    ['nested 10,000 deep', `"new":${nested(5000)},"header":{"a":${nested(5000)}}`],
    ['with our own names', '"logkeep:raw":{"a":"b"},"logkeep:spelling":["x"]'],
    ['with names of JavaScript', '"__proto__":{"a":1},"constructor":1,"toString":null,"hasOwnProperty":2'],
    [
      'with NUL in names and values',
      '"a\\u0000":"\\u0000","labels":["\\u0000"],"header":{"\\u0000":["\\ud800"]},"url":"\ue000"',
    ],
    ['with keys that V8 may misread', '"x":{"a":0,"\\\\":1},"y":{"a":0,"\\n":1},"\\\\":0,"\\n":1'],
    ['with nothing else', '"x":0'],
  ])('%s', (_, members) => {
    const text = `{"messageId":"msg_1","time":${TIME},${members}}`;
    const [result = ''] = rebuilt([text]);
    expect(equalJson(result, text), result).toBe(true);
  });

  test('but for the header values that redaction names, at any depth', () => {
    const redactor = createRedactor(key);
    const secret = (members: string) => `{"messageId":"msg_1","time":${TIME},${members}}`;
    const hide = (value: string) => JSON.stringify(redactor.hide(value));
    const [result = ''] = rebuilt(
      [
        secret(
          `"header":{"Authorization":["a","b"],"X":["c"]},"responseHeaders":{"set-cookie":"d","Y":null},` +
            `"new":{"deep":[{"API-Key":5,"z":1e400}]},"cookie":null,"callbackHeaders":{"x":[{"cookie":["e"]}]}`,
        ),
      ],
      redactor,
    );
    const expected = secret(
      `"header":{"Authorization":[${hide('a')},${hide('b')}],"X":["c"]},"responseHeaders":{"set-cookie":${hide('d')},"Y":null},` +
        `"new":{"deep":[{"API-Key":${hide('5')},"z":1e400}]},"cookie":null,"callbackHeaders":{"x":[{"cookie":[${hide('e')}]}]}`,
    );
    expect(equalJson(result, expected), result).toBe(true);
  });
});
