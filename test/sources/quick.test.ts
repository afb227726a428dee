import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { equalJson } from '../../src/json.ts';
import { createRedactor } from '../../src/redact.ts';
import { CONTAINER, FIELD as DATADOG_FIELD } from '../../src/sources/datadog/fields.ts';
import { createNormaliser as datadogNormaliser } from '../../src/sources/datadog/normalise.ts';
import { createQuickReader as datadogQuick } from '../../src/sources/datadog/quick.ts';
import { tables as datadogTables } from '../../src/sources/datadog/table.ts';
import { createTimestampReader } from '../../src/sources/datadog/timestamp.ts';
import type { Entries } from '../../src/sources/entries.ts';
import { FIELD as QSTASH_FIELD } from '../../src/sources/qstash/fields.ts';
import { createNormaliser as qstashNormaliser } from '../../src/sources/qstash/normalise.ts';
import { createQuickReader as qstashQuick } from '../../src/sources/qstash/quick.ts';
import { tables as qstashTables } from '../../src/sources/qstash/table.ts';
import type { Stage } from '../../src/sources/tables.ts';
import { hostileJson } from '../hostile.ts';
import { entriesOf, exactly, keeping } from './entries.ts';
import { partsOf, stored } from './stored.ts';

const NOW = Date.parse('2026-11-21T00:00:00Z');
const ID = 'AQAAAYQPdOGI7j3tBQAAAABBWVFQZE9iM0FBQm9Scm1Mc0JEM25BQUE';
const redactor = createRedactor(Buffer.alloc(32, 7));
const string = JSON.stringify;

/** What came of the entries, as Postgres would give it back. */
function outcome(
  { rows, rejects, unknown }: ReturnType<ReturnType<typeof keeping>>,
  stages: readonly Stage[],
) {
  return {
    rows: rows.map((row) => ({
      timeMs: row.timeMs,
      keys: partsOf(row).map((part) => part?.key ?? null),
      stored: stages.map((_, stage) => stored(row, stages, stage)),
    })),
    texts: rows.map((row) => row.rawText()),
    rejects: rejects.map(({ reason, timeMs }) => ({ reason, timeMs })),
    rejected: rejects.map(({ rawText }) => rawText),
    unknown,
  };
}

function expectSame(
  entries: Entries,
  normaliser: () => ReturnType<typeof keeping>,
  stages: readonly Stage[],
) {
  const { texts, rejected, ...quick } = outcome(normaliser()(entries), stages);
  const {
    texts: exactTexts,
    rejected: exactRejected,
    ...exact
  } = outcome(normaliser()(exactly(entries)), stages);
  expect(quick).toEqual(exact);
  for (const [index, text] of [...texts, ...rejected].entries())
    expect(equalJson(text, [...exactTexts, ...exactRejected][index] as string)).toBe(true);
}

/** Values as the services send them, and others that look like them. */
const common = fc.constantFrom(
  ...[
    '"a"',
    '""',
    '"é ü 😀"',
    '"a\\nb"',
    '"\\u00e9"',
    '"\\u0000"',
    '"\\ud800"',
    '"aGVsbG8="',
    '"aGVsbG8"',
    '"a-_="',
  ],
  ...['0', '12', '-0', '1.5', '2147483648', '9007199254740993', '1777634400083', 'null', 'true'],
  ...['{}', '[]', '["a","b"]', '["a",1]', '["\\n","\\u0000"]', '{"A":["b"]}', '{"A":["b"],"A":["c"]}'],
  ...[
    '{"Authorization":["s"]}',
    '{"x":{"COOKIE":"s"}}',
    '{"a":1e400}',
    '{"n":[12345678901234567890]}',
    '{"é":["ü"]}',
  ],
  ...['{"a":"\\u0000"}', '{"a":"\\n"}', '{"\\u0061":1}', '{ "a" : [ "b" ] }'],
);
const value = fc.oneof({ weight: 4, arbitrary: common }, { weight: 1, arbitrary: hostileJson });

function members(names: readonly string[]): fc.Arbitrary<string> {
  const name = fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...names) },
    fc.constantFrom('newer', 'Time', '\\u0074ime'),
  );
  return fc
    .uniqueArray(fc.tuple(name, value), { selector: ([one]) => one, maxLength: 12 })
    .map((pairs) => pairs.map(([one, text]) => `,"${one}":${text}`).join(''));
}

describe('what is read quickly is the very row that is read exactly', () => {
  const state = fc.constantFrom('CREATED', 'ACTIVE', 'ERROR', 'DELIVERED', 'NEWER');
  const qstashEntry = fc
    .tuple(fc.constantFrom('msg_1', 'msg_2', 'é'), fc.nat(3), state, members([...QSTASH_FIELD.keys()]))
    .map(
      ([id, ms, at, rest]) => `{"time":${NOW - ms},"messageId":${string(id)},"state":${string(at)}${rest}}`,
    );

  test('for QStash', () => {
    fc.assert(
      fc.property(fc.array(qstashEntry, { minLength: 1, maxLength: 8 }), (texts) => {
        const entries = entriesOf(`{"events":[${texts.join()}]}`, ['events']);
        const normaliser = () => keeping(qstashNormaliser({ redactor, nowMs: () => NOW }));
        expectSame(entries, normaliser, qstashTables.stages);
      }),
      { numRuns: 1_000 },
    );
  });

  test.each(['v1', 'v2'] as const)('for Datadog %s', (transport) => {
    const id = fc.constantFrom(ID, ID, ID, 'other', 'é', 'x\\n');
    const timestamp = fc.constantFrom(
      '2022-10-25T14:03:49.000Z',
      '2022-10-25T14:03:49.000Z',
      '2022-10-25T14:03:49Z',
      'x',
    );
    const beside = fc.constantFrom('', '', ',"type":"log"', ',"type":"log"', ',"type":"x"', ',"newer":1');
    const entry = fc
      .tuple(id, timestamp, beside, members([...DATADOG_FIELD.keys()]))
      .map(
        ([one, at, more, rest]) =>
          `{"id":"${one}","${CONTAINER[transport]}":{"timestamp":"${at}"${rest}}${more}}`,
      );
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 8 }), (texts) => {
        const entries = entriesOf(`{"logs":[${texts.join()}]}`, ['logs'], CONTAINER[transport]);
        const normaliser = () => keeping(datadogNormaliser({ redactor, nowMs: () => NOW, transport }));
        expectSame(entries, normaliser, datadogTables.stages);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('the usual entry is read quickly', () => {
  test.each([
    ['bare', `{"time":${NOW},"messageId":"m","state":"ACTIVE","url":"https://e.com"}`, true],
    [
      'with all that one has',
      `{"time":${NOW},"messageId":"m","state":"ERROR","error":"a\\n\\"b\\"","url":"u","header":{"Authorization":["x"]},
      "body":"aGVsbG8=","responseStatus":500,"responseBody":"bm8=","responseHeaders":{"Set-Cookie":["x"]},
      "nextDeliveryTime":${NOW},"method":"POST","maxRetries":3,"endpointName":"e","duration":12}`.replaceAll(
        /\n\s*/g,
        '',
      ),
      true,
    ],
    ['of a state that is not known', `{"time":${NOW},"messageId":"m","state":"NEWER"}`, false],
    ['with a field that is not known', `{"time":${NOW},"messageId":"m","newer":1}`, false],
    ['with a NUL', `{"time":${NOW},"messageId":"m","error":"\\u0000"}`, false],
  ])('of QStash, %s', (_, text, quickly) => {
    const { tape } = entriesOf(`{"events":[${text}]}`, ['events']);
    expect(qstashQuick(redactor)(tape as never, 0, NOW) !== null).toBe(quickly);
  });

  test.each([
    ['bare', '', true],
    [
      'with all that one has',
      ',"message":"a\\n\\"b\\"","host":"h","service":"s","status":"info","tags":["a:b"],"attributes":{"n":12345678901234567890,"é":{"a":"\\n"}}',
      true,
    ],
    ['with a field that is not known', ',"newer":1', false],
    ['with a NUL', ',"attributes":{"a":"\\u0000"}', false],
  ])('of Datadog, %s', (_, rest, quickly) => {
    const text = `{"id":"${ID}","content":{"timestamp":"2022-10-25T14:03:49.000Z"${rest}}}`;
    const { tape } = entriesOf(`{"logs":[${text}]}`, ['logs'], 'content');
    const read = datadogQuick('v1', createTimestampReader(), redactor);
    expect(read(tape as never, 0, NOW) !== null).toBe(quickly);
  });
});
