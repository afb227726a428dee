import { describe, expect, test } from 'vitest';
import { equalJson } from '../../../src/json.ts';
import { createRedactor } from '../../../src/redact.ts';
import { createNormaliser } from '../../../src/sources/qstash/normalise.ts';
import { tables } from '../../../src/sources/qstash/table.ts';
import type { Row } from '../../../src/sources/source.ts';
import { nested } from '../../hostile.ts';
import { entriesOf, keeping } from '../entries.ts';
import { partsOf, stored } from '../stored.ts';

const TIME = 1_777_634_400_083;
const key = Buffer.alloc(32, 7);

function normaliser(hidden?: readonly string[]) {
  return keeping(createNormaliser({ redactor: createRedactor(key, hidden), nowMs: () => TIME }));
}

function read(entries: string, normalise = normaliser()) {
  const result = normalise(entriesOf(`{"events":[${entries}]}`, ['events']));
  const part = (stage: number) => result.rows.map((row) => stored(row, tables.stages, stage));
  return { ...result, logs: part(0), requests: part(1), messages: part(2) };
}

const text = (members: string) => `{"time":${TIME},"messageId":"msg_1",${members}}`;
/** Which request an entry shares. */
const requestKey = (row: Row | undefined) => row && partsOf(row)[1]?.key;
const REQUEST =
  '"header":{"A":["b"],"Authorization":["hunter2"]},"body":"aGVsbG8=","method":"POST","maxRetries":3,' +
  '"queueName":"q","labels":["l","m"],"host":"example.com","flowControlKey":"f","rate":5,"timeout":900000';

describe('a QStash entry as rows', () => {
  test('has what differs by entry in one, and what was sent in the other', () => {
    const { logs, requests, messages, rejects, unknown } = read(
      text(`"state":"ERROR","url":"https://e.com/a","error":"status 500","responseStatus":500,"responseBody":"bm8=",
        "responseHeaders":{"Date":["x"]},"nextDeliveryTime":${TIME + 5},"duration":12,${REQUEST}`),
    );
    expect(logs[0]).toEqual({
      entry_id: expect.stringMatching(/^[0-9a-f]{32}$/),
      time: TIME,
      message_id: 'msg_1',
      state: 'ERROR',
      url: 'https://e.com/a',
      error: 'status 500',
      response_status: 500,
      response_headers: '{"Date": ["x"]}',
      response_body: Buffer.from('no'),
      next_delivery_time: TIME + 5,
      duration_ms: '12',
      request_hash: requests[0]?.hash,
      extra: null,
      escaped: false,
    });
    const entryId = logs[0]?.entry_id;
    expect(messages[0]).toEqual({
      message_id: 'msg_1',
      created_at: null,
      first_active_at: null,
      url: 'https://e.com/a',
      queue_name: 'q',
      schedule_id: null,
      topic_name: null,
      endpoint_name: null,
      labels: ['l', 'm'],
      state: 'ERROR',
      state_at: TIME,
      state_rank: 3,
      state_id: entryId,
      finished_at: null,
      last_error: 'status 500',
      error_at: TIME,
      error_rank: 3,
      error_id: entryId,
      last_response_status: 500,
    });
    const hidden = createRedactor(key).hide('hunter2');
    expect(requests[0]).toMatchObject({
      message_id: 'msg_1',
      method: 'POST',
      header: `{"Authorization": ["${hidden}"], "A": ["b"]}`,
      body: Buffer.from('hello'),
      queue_name: 'q',
      labels: ['l', 'm'],
      max_retries: 3,
      timeout_ms: '900000',
      host: 'example.com',
      flow_control_key: 'f',
      rate: 5,
      period: null,
      extra: null,
      escaped: false,
    });
    expect([rejects, unknown]).toEqual([[], []]);
  });

  test('has no request where it says nothing about one', () => {
    const { logs, requests } = read(text('"state":"CREATED","error":"x"'));
    expect(requests).toEqual([null]);
    expect(logs[0]?.request_hash).toBeNull();
  });

  test('names the one label of older entries among the labels of the message', () => {
    expect(read(text('"label":"only"')).messages[0]?.labels).toEqual(['only']);
    expect(read(text('"label":"a","labels":["a","b"]')).messages[0]?.labels).toEqual(['a', 'b']);
  });

  test('shares one request among the entries of a message, over pages too, until it differs', () => {
    const normalise = normaliser();
    const { rows } = read(
      ['CREATED', 'ACTIVE', 'DELIVERED'].map((state) => text(`"state":"${state}",${REQUEST}`)).join(),
      normalise,
    );
    const [next] = read(text(`"state":"FAILED",${REQUEST}`), normalise).rows;
    expect(new Set([...rows, next].map((row) => requestKey(row))).size).toBe(1);
    expect(new Set(rows.map((row) => row.key)).size).toBe(3);
    for (const other of [
      '"extraHeader":1',
      '"path":"/"',
      '"labels":["l"]',
      '"header":{"A":["b"]}',
      '"body":""',
    ]) {
      const name = other.slice(0, other.indexOf(':'));
      const without = REQUEST.replace(
        new RegExp(`${name}:(\\{[^}]*\\}|\\[[^\\]]*\\]|"[^"]*"|\\d+),\\s*`),
        '',
      );
      const [row] = read(text(`${without},${other}`), normalise).rows;
      expect(requestKey(row) === requestKey(next), other).toBe(other.startsWith('"extra'));
    }
  });

  test("the request's hash does not depend on the order of fields, on state, or on what is hidden", () => {
    const hash = (entry: string, hidden?: readonly string[]) =>
      read(entry, normaliser(hidden)).requests[0]?.hash;
    const first = hash(text('"state":"ACTIVE","header":{"A":["1"],"B":["2"]},"body":"","method":"GET"'));
    expect(hash(text('"method":"GET","body":"","header":{"B":["2"],"A":["1"]},"state":"DELIVERED"'))).toBe(
      first,
    );
    expect(hash(text('"header":{"A":["1"],"B":["2"]},"body":"","method":"GET"'), ['a'])).toBe(first);
    expect(hash(text('"header":{"A":["1"],"B":["3"]},"body":"","method":"GET"'), ['b'])).not.toBe(first);
    expect(hash(text('"header":{"A":["1"],"B":["2"]},"body":"","host":"GET"'))).not.toBe(first);
  });

  test('is identified by its stable fields alone', () => {
    const id = (members: string) => read(text(members)).logs[0]?.entry_id;
    const first = id('"state":"ERROR","url":"u","error":"e","responseStatus":500');
    expect(
      id('"url":"u","responseStatus":500,"error":"e","state":"ERROR","new":1,"duration":7,"header":{}'),
    ).toBe(first);
    expect(id('"state":"ERROR","url":"u","error":"e","responseStatus":5e2')).toBe(first);
    const others = [
      '"state":"RETRY","url":"u","error":"e","responseStatus":500',
      '"state":"ERROR","url":"u","error":"e","responseStatus":"500"',
      '"state":"ERROR","url":"u","error":"e","responseStatus":null',
      '"state":"ERROR","url":"u","error":"e"',
      '"state":"ERROR","url":"ue","error":"","responseStatus":500',
      '"state":"ERROR","url":"u","error":"e","responseStatus":500,"endpointName":""',
      '"state":"ERROR","url":"u","error":"e","responseStatus":500,"nextDeliveryTime":0',
      '"state":"ERROR","url":"u","error":"\\ud800","responseStatus":500',
      '"state":"ERROR","url":"u","error":"\\ud801","responseStatus":500',
      '"state":"ERROR","url":"u","error":"\\ufffd","responseStatus":500',
      '"state":"ERROR","url":"u","error":"e","responseStatus":12345678901234567890',
      '"state":"ERROR","url":"u","error":"e","responseStatus":12345678901234567891',
    ];
    expect(new Set([first, ...others.map(id)]).size).toBe(others.length + 1);
  });

  test('ranks the states of one ms in the order they happen in, unknown ones lowest, and reports those once', () => {
    const states = [
      'NEW_ONE',
      'CREATED',
      'ACTIVE',
      'ERROR',
      'RETRY',
      'CANCEL_REQUESTED',
      'CANCELED',
      'FAILED',
      'DELIVERED',
    ];
    const { messages, unknown } = read(
      [...states, 'NEW_ONE'].map((state) => text(`"state":"${state}"`)).join(),
    );
    const ranks = messages.slice(0, -1).map((message) => Number(message?.state_rank));
    expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    expect(new Set(ranks).size).toBe(states.length);
    expect(unknown).toEqual(['state:NEW_ONE']);
    for (const odd of ['toString', '__proto__']) {
      expect(read(text(`"state":"${odd}"`)).messages[0]).toMatchObject({ state_rank: 0, state: odd });
    }
    expect(read(text('"state":"CANCELLED"')).messages[0]?.state_rank).toBe(
      read(text('"state":"CANCELED"')).messages[0]?.state_rank,
    );
  });

  test.each([
    ['not_an_object', '1'],
    ['not_an_object', 'null'],
    ['not_an_object', '[{}]'],
    ['not_an_object', `${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['no_id', `{"time":${TIME}}`],
    ['no_id', `{"time":${TIME},"messageId":""}`],
    ['no_id', `{"time":${TIME},"messageId":7}`],
    ['too_large', `{"time":${TIME},"messageId":"${'\\u0000'.repeat(200)}"}`],
    ['no_time', '{"messageId":"m"}'],
    ['no_time', `{"messageId":"m","time":"${TIME}"}`],
    ['no_time', '{"messageId":"m","time":1777634400083.5}'],
    ['no_time', '{"messageId":"m","time":1777634400083.00000000000000001}'],
    ['no_time', '{"messageId":"m","time":1e400}'],
    ['no_time', '{"messageId":"m","time":null}'],
    ['time_out_of_bounds', '{"messageId":"m","time":946684799999}'],
    ['time_out_of_bounds', `{"messageId":"m","time":${TIME + 2 * 86_400_000}}`],
    ['time_out_of_bounds', '{"messageId":"m","time":-1e300}'],
    ['no_id', `{"a":${nested(5000)}}`],
  ])('waits in quarantine with its whole text where there is no row to make: %#, %s', (reason, bad) => {
    const { rows, rejects } = read(`${text('"state":"A"')},${bad},${text('"state":"B"')}`);
    expect(rows.length).toBe(2);
    expect(rejects.map((reject) => reject.reason)).toEqual([reason]);
    expect(equalJson(rejects[0]?.rawText ?? '', bad)).toBe(true);
  });

  test.each(['946684800000', String(TIME + 2 * 86_400_000 - 1), '1777634400083.0', '1.777634400083e12'])(
    'is made of time %s',
    (time) => {
      expect(read(`{"messageId":"m","time":${time}}`).rows[0]?.timeMs).toBe(Number(time));
    },
  );

  test('says when something in it was escaped, whichever row it is in', () => {
    const escaped = (members: string) => {
      const { logs, requests } = read(text(members));
      return [logs[0]?.escaped, requests[0]?.escaped];
    };
    expect(escaped('"error":"\\u0000","host":"h"')).toEqual([true, false]);
    expect(escaped('"queueName":"\\u0000"')).toEqual([true, true]);
    expect(escaped('"new":{"\\u0000":1},"host":"h"')).toEqual([true, false]);
    expect(escaped('"error":"\\u00e9 \\ud83d\\ude00","host":"h"')).toEqual([false, false]);
  });

  test('I11: no value that redaction names reaches a row, in whatever form it comes', () => {
    const secret = 'hunter2';
    const forms = [
      `{"Authorization":["${secret}"]}`,
      `{"Authorization":"${secret}"}`,
      `{"authorization":{"a":"${secret}"}}`,
      `{"\\u0061uthorization":["${secret}"]}`,
      `{"Upstash-Forward-Cookie":["${secret}"],"n":1e9999}`,
      `{"Cookie":["x"],"Cookie":["${secret}"]}`,
      `{"x":[{"y":{"set-cookie":["${secret}"]}}]}`,
      `[{"api-key":"${secret}"}]`,
      `{"a":${nested(300)},"b":{"authorization":["${secret}"]}}`,
    ];
    const whole = `"authorization":"${secret}","Cookie":["${secret}"],"api-key":{"a":"${secret}","n":1e9999}`;
    expect(read(text(whole)).logs[0]?.extra).not.toContain(secret);
    for (const form of forms) {
      for (const field of [
        'header',
        'responseHeaders',
        'responseHeader',
        'callbackHeaders',
        'failureCallbackHeaders',
        'new',
        'authorization',
      ]) {
        const { rows } = read(text(`"${field}":${form},"state":1`));
        const all = rows.flatMap((row) => [
          row.rawText(),
          ...partsOf(row).flatMap((part) => part?.values ?? []),
        ]);
        expect(all.join('\n'), `${field}: ${form}`).not.toContain(secret);
      }
    }
  });
});
