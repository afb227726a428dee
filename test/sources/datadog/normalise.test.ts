import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { equalJson } from '../../../src/json.ts';
import { createRedactor } from '../../../src/redact.ts';
import { CONTAINER, type Transport } from '../../../src/sources/datadog/fields.ts';
import { createNormaliser } from '../../../src/sources/datadog/normalise.ts';
import { rebuildDatadog } from '../../../src/sources/datadog/rebuild.ts';
import { tables } from '../../../src/sources/datadog/table.ts';
import { NO_ENTRIES, readEntries } from '../../../src/sources/entries.ts';
import { nested } from '../../hostile.ts';
import { entriesOf, keeping } from '../entries.ts';
import { stored } from '../stored.ts';

const NOW = Date.parse('2026-11-21T00:00:00Z');
const ID = 'AQAAAYQPdOGI7j3tBQAAAABBWVFQZE9iM0FBQm9Scm1Mc0JEM25BQUE';
const INNER = 'AYQPdOb3AABoRrmLsBD3nAAA';
const redactor = createRedactor(Buffer.alloc(32, 7));

function read(entries: string, transport: Transport = 'v1') {
  const normalise = keeping(createNormaliser({ redactor, nowMs: () => NOW, transport }));
  const result = normalise(entriesOf(`{"logs":[${entries}]}`, ['logs'], CONTAINER[transport]));
  return { ...result, stored: result.rows.map((row) => stored(row, tables.stages, 0)) };
}

const LOG = `"timestamp":"2022-10-25T14:03:49.000Z","message":"m","host":"h","service":"s",
  "tags":["env:prod","source:go","source:java"],"attributes":{"id":12345678901234567890}`;

describe('a Datadog log as a row', () => {
  test('has its columns from the log, its identity and intake time from the id, its source from the tags', () => {
    const { stored: rows, rejects, unknown } = read(`{"id":"${ID}","content":{${LOG}}}`);
    expect(rows).toEqual([
      {
        event_id: INNER,
        id: ID,
        timestamp: Date.parse('2022-10-25T14:03:49Z'),
        host: 'h',
        service: 's',
        status: null,
        source: 'go',
        message: 'm',
        tags: ['env:prod', 'source:go', 'source:java'],
        attributes: '{"id": 12345678901234567890}',
        intake_time: 1_666_706_630_391,
        extra: null,
        escaped: false,
      },
    ]);
    expect([rejects, unknown]).toEqual([[], []]);
  });

  test('is the same through v1 and v2, but for the severity', () => {
    const [v1] = read(`{"id":"${ID}","content":{${LOG},"new":1}}`, 'v1').stored;
    const [v2] = read(
      `{"id":"${ID}","type":"log","attributes":{"status":"warn",${LOG},"new":1}}`,
      'v2',
    ).stored;
    expect(v2).toEqual({ ...v1, status: 'warn' });
  });

  test('has the same identity when the rest of its id changes', () => {
    const compacted = Buffer.from(ID, 'base64url');
    const fragment = '01980d34-7ae8-4c8e-b1e3-54d9bc81f215';
    const layout3 = Buffer.concat([
      Buffer.from([3]),
      compacted.subarray(1, 13),
      Buffer.from([0, 0, 0, 24]),
      compacted.subarray(17),
      Buffer.from([0, 0, 0, 36]),
      Buffer.from(fragment),
      Buffer.from([0, 0, 0, 9]),
    ]).toString('base64url');
    const { rows, stored: all } = read(
      `{"id":"${ID}","content":{${LOG}}},{"id":"${layout3}","content":{${LOG}}}`,
    );
    expect(rows[1]?.key).toBe(rows[0]?.key);
    expect(all.map((row) => row?.id)).toEqual([ID, layout3]);
  });

  test.each([
    ['does not decode', 'AwAAAZgN', '2022-10-25T14:03:49.000Z'],
    ['says another time', ID, '2022-10-25T14:03:49.001Z'],
  ])('is identified by its raw id, and that is reported, where that %s', (_, id, timestamp) => {
    const entry = `{"id":"${id}","content":{"timestamp":"${timestamp}"}}`;
    const { stored: rows, unknown } = read(`${entry},${entry}`);
    expect(rows[0]).toMatchObject({ event_id: id, id, intake_time: null });
    expect(unknown).toEqual(['id:undecoded']);
  });

  test.each([
    ['2022-10-25T14:03:49.123Z', 123, null],
    ['2022-10-25T14:03:49Z', 0, '{"timestamp": "2022-10-25T14:03:49Z"}'],
    ['2022-10-25T16:03:49.1239+02:00', 123, '{"timestamp": "2022-10-25T16:03:49.1239+02:00"}'],
    ['2022-10-25t14:03:49.5z', 500, '{"timestamp": "2022-10-25t14:03:49.5z"}'],
  ])('keeps the spelling of %s', (timestamp, ms, extra) => {
    const [row] = read(`{"id":"x","content":{"timestamp":"${timestamp}"}}`).stored;
    expect(row).toMatchObject({ timestamp: Date.parse('2022-10-25T14:03:49Z') + ms, extra });
  });

  test.each([
    ['not_an_object', '1'],
    ['not_an_object', '[]'],
    ['not_an_object', 'null'],
    ['not_an_object', '"x"'],
    ['no_id', `{"content":{"timestamp":"2022-10-25T14:03:49.000Z"}}`],
    ['no_id', `{"id":"","content":{"timestamp":"2022-10-25T14:03:49.000Z"}}`],
    ['no_id', `{"id":5,"content":{"timestamp":"2022-10-25T14:03:49.000Z"}}`],
    ['too_large', `{"id":"${'é'.repeat(501)}","content":{"timestamp":"2022-10-25T14:03:49.000Z"}}`],
    ['no_time', '{"id":"x"}'],
    ['no_time', '{"id":"x","content":null}'],
    ['no_time', '{"id":"x","content":[]}'],
    ['no_time', '{"id":"x","content":{}}'],
    ['no_time', '{"id":"x","content":{"timestamp":1666706629000}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"yesterday"}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"1"}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"2022-10-25T14:03:4999Z"}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"2022-02-30T00:00:00.000Z"}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"2022-10-25T24:00:00.000Z"}}'],
    ['no_time', '{"id":"x","content":{"timestamp":"2022-10-25T14:03:60.000Z"}}'],
    ['time_out_of_bounds', '{"id":"x","content":{"timestamp":"1999-12-31T23:59:59.999Z"}}'],
    ['time_out_of_bounds', '{"id":"x","content":{"timestamp":"2026-11-23T00:00:00.000Z"}}'],
    ['time_out_of_bounds', '{"id":"x","content":{"timestamp":"0001-01-01T00:00:00Z"}}'],
    ['no_id', nested(5000)],
    ['not_an_object', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
  ])('waits in quarantine with its whole text where there is no row to make: %#, %s', (reason, text) => {
    const good = `{"id":"${ID}","content":{${LOG}}}`;
    const { rows, rejects } = read(`${good},${text},${good}`);
    expect(rows.length).toBe(2);
    expect(rejects.map((reject) => reject.reason)).toEqual([reason]);
    expect(equalJson(rejects[0]?.rawText ?? '', text)).toBe(true);
  });

  test('reports a field that is not known once, wherever it stands', () => {
    const normalise = keeping(createNormaliser({ redactor, nowMs: () => NOW }));
    const page = `{"logs":[{"id":"${ID}","links":1,"content":{${LOG},"new":1}},{"id":"${ID}","content":{${LOG},"new":2}}]}`;
    expect(normalise(entriesOf(page, ['logs'], 'content')).unknown).toEqual(['field:new', 'field:links']);
    expect(normalise(entriesOf(page, ['logs'], 'content')).unknown).toEqual([]);
  });

  test('its raw text for quarantine, and that of a reject, hide what redaction names', () => {
    const secret = '"attributes":{"http":{"headers":{"Authorization":["hunter2"],"cookie":{"a":"hunter2"}}}}';
    const { rows, rejects } = read(
      `{"id":"x","content":{${LOG},${secret}}},{"id":"x","content":{${secret}}}`,
    );
    expect(rows[0]?.rawText()).toContain('REDACTED:hmac:');
    for (const text of [rows[0]?.rawText(), rejects[0]?.rawText]) expect(text).not.toContain('hunter2');
  });

  test.each([
    ['v1_go_TestLogsList', 'v1'],
    ['v1_ts_search-test-logs', 'v1'],
    ['v1_scn_Logs_Search_test_logs_returns_OK_response', 'v1'],
    ['v2_go_TestLogsListGet', 'v2'],
  ] as const)('I7: every log of the recorded exchanges %s comes back equal', (name, transport) => {
    const url = new URL(`../../fixtures/datadog/${name}.json`, import.meta.url);
    const { interactions } = JSON.parse(readFileSync(url, 'utf8')) as {
      interactions: readonly { readonly response_body: unknown }[];
    };
    const normalise = keeping(createNormaliser({ redactor, nowMs: () => NOW, transport }));
    let logs = 0;
    for (const { response_body: body } of interactions) {
      const keys = [transport === 'v1' ? 'logs' : 'data'];
      const text = JSON.stringify(body);
      // Some exchanges end with an answer that has none.
      const entries =
        readEntries({ body: Buffer.from(text), text }, keys, CONTAINER[transport]).entries ?? NO_ENTRIES;
      const { rows, rejects, unknown } = normalise(entries);
      expect([rejects, unknown]).toEqual([[], []]);
      for (const [index, row] of rows.entries()) {
        logs += 1;
        const back = rebuildDatadog(stored(row, tables.stages, 0) ?? {}, transport);
        expect(equalJson(back, JSON.stringify(entries.raw(index).value)), back).toBe(true);
      }
    }
    expect(logs).toBeGreaterThan(0);
  });
});
