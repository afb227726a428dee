import { afterEach, expect, test } from 'vitest';
import { FAULT_KINDS, type Fault, type FaultKind } from '../../src/sandbox/faults.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askQstash, askV1, askV2, manualClock, NOON } from './ask.ts';

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

const HOUR = { from: NOON - 3_600_000, to: NOON };
const V1 = { time: HOUR, sort: 'asc', limit: 2 };
const V2 = { filter: { from: 'now-1h', to: 'now' }, sort: 'timestamp', page: { limit: 2 } };

/** Six entries of each API, one a minute. */
async function open(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ clock: manualClock(), ...options });
  opened.push(sandbox);
  const numbers = [1, 2, 3, 4, 5, 6];
  sandbox.qstash.add(
    numbers.map((n) => ({ entry: { time: NOON - n * 60_000, messageId: `msg_${n}`, state: 'CREATED' } })),
  );
  sandbox.datadog.add(
    numbers.map((n) => ({ content: { message: `${n}` }, atMs: NOON - 600_000 + n * 60_000 })),
  );
  return sandbox;
}

function happened(sandbox: Sandbox, kind: FaultKind): number {
  return sandbox.faults.counts()[kind];
}

/** Cursor of the first page of each transport. */
async function cursors(sandbox: Sandbox): Promise<{ qstash: string; v1: string; v2: string }> {
  return {
    qstash: (await askQstash(sandbox, { count: 2 })).body.cursor ?? '',
    v1: (await askV1(sandbox, V1)).body.nextLogId ?? '',
    v2: (await askV2(sandbox, V2)).body.meta?.page?.after ?? '',
  };
}

const ids = (events: readonly Record<string, unknown>[]): string =>
  events.map(({ messageId }) => messageId).join();
const texts = (logs: readonly { content: Record<string, unknown> }[]): string =>
  logs.map(({ content }) => content.message).join();
const data = (logs: readonly { attributes: Record<string, unknown> }[]): string =>
  logs.map(({ attributes }) => attributes.message).join();

test('a 429 on request has the quota headers, unless told otherwise, and asks to come again soon', async () => {
  const sandbox = await open();
  sandbox.faults.next(
    'qstash',
    { kind: 'rate_limit' },
    { kind: 'rate_limit', headers: false, body: 'text', retryAfterS: 3 },
  );
  const first = await askQstash(sandbox);
  expect([first.status, first.body.error]).toEqual([429, 'Too Many Requests']);
  expect(first.headers.get('burst-ratelimit-remaining')).toBe('0');
  expect(first.headers.get('burst-ratelimit-reset')).toBe(`${NOON / 1000 + 1}`);
  const second = await askQstash(sandbox);
  expect([second.status, second.text]).toEqual([429, 'Too Many Requests']);
  expect(second.headers.get('burst-ratelimit-reset')).toBeNull();
  expect(second.headers.get('retry-after')).toBe('3');

  sandbox.faults.next(
    'datadog',
    { kind: 'rate_limit', resetS: 7 },
    { kind: 'rate_limit', body: 'short', headers: false },
    { kind: 'rate_limit', body: 'pending' },
  );
  const full = await askV1(sandbox, V1);
  expect([
    full.status,
    full.headers.get('x-ratelimit-remaining'),
    full.headers.get('x-ratelimit-reset'),
  ]).toEqual([429, '0', '7']);
  const short = await askV2(sandbox, V2);
  expect([short.status, short.body]).toEqual([429, { errors: ['Too many requests'] }]);
  expect(short.headers.get('x-ratelimit-limit')).toBeNull();
  const pending = await askV1(sandbox, V1);
  expect(pending.body).toEqual({ errors: ['resource_exhausted(RateLimited: Too many pending queries)'] });
  expect((await askV1(sandbox, V1)).status).toBe(200);
  expect(happened(sandbox, 'rate_limit')).toBe(5);
});

test('a server error and a wrong 200 have HTML bodies', async () => {
  const sandbox = await open();
  for (const ask of [() => askQstash(sandbox), () => askV1(sandbox, V1), () => askV2(sandbox, V2)]) {
    const api = ask.toString().includes('askQstash') ? 'qstash' : 'datadog';
    sandbox.faults.next(
      api,
      { kind: 'unavailable', status: 502 },
      { kind: 'not_json' },
      { kind: 'unavailable' },
    );
    const [bad, odd, down] = [await ask(), await ask(), await ask()];
    expect([bad.status, odd.status, down.status]).toEqual([502, 200, 503]);
    for (const { text, headers } of [bad, odd, down]) {
      expect(text).toMatch(/^<html>/);
      expect(headers.get('content-type')).toBe('text/html');
    }
    expect((await ask()).status).toBe(200);
  }
});

test('a reset, a cut body and silence reach the client as a broken answer', async () => {
  const sandbox = await open();
  const broken: Fault[] = [{ kind: 'reset' }, { kind: 'reset', when: 'body' }, { kind: 'cut' }];
  for (const fault of broken) {
    sandbox.faults.next('qstash', fault);
    await expect(askQstash(sandbox)).rejects.toThrow();
    sandbox.faults.next('datadog', fault);
    await expect(askV1(sandbox, V1)).rejects.toThrow();
  }
  sandbox.faults.next('qstash', { kind: 'silent' });
  const url = `${sandbox.url}/v2/logs?qstash_token=${sandbox.env.QSTASH_TOKEN}`;
  await expect(fetch(url, { signal: AbortSignal.timeout(100) })).rejects.toThrow(/timeout/);
  expect([happened(sandbox, 'reset'), happened(sandbox, 'cut'), happened(sandbox, 'silent')]).toEqual([
    4, 2, 1,
  ]);
  expect((await askQstash(sandbox)).body.events).toHaveLength(6);
});

test('a cut body gave its head and a first half', async () => {
  const sandbox = await open();
  sandbox.faults.next('qstash', { kind: 'cut' }, { kind: 'reset', when: 'body' });
  for (let n = 0; n < 2; n++) {
    const answer = await fetch(`${sandbox.url}/v2/logs?qstash_token=${sandbox.env.QSTASH_TOKEN}`, {
      headers: { 'accept-encoding': 'identity' },
    });
    expect(answer.status).toBe(200);
    let got = 0;
    await expect(
      (async () => {
        for await (const chunk of answer.body ?? []) got += chunk.length;
      })(),
    ).rejects.toThrow();
    const promised = Number(answer.headers.get('content-length'));
    expect(got).toBe(promised >> 1);
  }
});

test('a slow answer is right, and late', async () => {
  const sandbox = await open();
  sandbox.faults.next('datadog', { kind: 'slow', ms: 150 });
  const startedMs = performance.now();
  expect((await askV1(sandbox, V1)).body.logs).toHaveLength(2);
  expect(performance.now() - startedMs).toBeGreaterThanOrEqual(145);
});

test('a partial 200 says so by its status, or by warnings', async () => {
  const sandbox = await open();
  sandbox.faults.next(
    'datadog',
    { kind: 'partial' },
    { kind: 'partial' },
    { kind: 'partial', how: 'status' },
  );
  const v1 = await askV1(sandbox, V1);
  expect([v1.status, v1.body.status === 'done', v1.body.nextLogId, texts(v1.body.logs)]).toEqual([
    200,
    false,
    null,
    '1',
  ]);
  const warned = await askV2(sandbox, V2);
  expect([warned.status, warned.body.meta?.status, data(warned.body.data)]).toEqual([200, 'done', '1']);
  expect(warned.body.meta?.warnings).toHaveLength(1);
  const late = await askV2(sandbox, V2);
  expect([late.body.meta?.status, late.body.meta?.warnings]).toEqual(['timeout', undefined]);
});

test('a query that takes too long is told in the words that users pasted', async () => {
  const sandbox = await open();
  for (const [body, words] of [
    ['deadline', 'deadline_exceeded(Request timeout)'],
    ['request', 'request_timeout(Request timeout)'],
    ['query', 'deadline_exceeded(The query timed out)'],
  ] as const) {
    sandbox.faults.next('datadog', { kind: 'query_timeout', body, status: 400 });
    const answer = await askV2(sandbox, V2);
    expect([answer.status, answer.body]).toEqual([400, { errors: [words] }]);
  }
  sandbox.faults.next('datadog', { kind: 'query_timeout' });
  expect((await askV1(sandbox, V1)).status).toBe(504);
});

test('a repeated cursor comes with the right page; a repeated page with its old cursor', async () => {
  const sandbox = await open();
  const at = await cursors(sandbox);
  sandbox.faults.next('qstash', { kind: 'repeat_cursor' }, { kind: 'repeat_page' });
  const same = await askQstash(sandbox, { count: 2, cursor: at.qstash });
  expect([same.body.cursor, ids(same.body.events)]).toEqual([at.qstash, 'msg_3,msg_4']);
  const again = await askQstash(sandbox, { count: 2, cursor: at.qstash });
  expect(again.text).toBe(same.text);

  sandbox.faults.next('datadog', { kind: 'repeat_cursor' }, { kind: 'repeat_page' });
  const same1 = await askV1(sandbox, { ...V1, startAt: at.v1 });
  expect([same1.body.nextLogId, texts(same1.body.logs)]).toEqual([at.v1, '3,4']);
  expect((await askV1(sandbox, { ...V1, startAt: at.v1 })).text).toBe(same1.text);

  sandbox.faults.next('datadog', { kind: 'repeat_cursor' }, { kind: 'repeat_page' });
  const same2 = await askV2(sandbox, { ...V2, page: { limit: 2, cursor: at.v2 } });
  expect([same2.body.meta?.page?.after, data(same2.body.data)]).toEqual([at.v2, '3,4']);
  expect((await askV2(sandbox, { ...V2, page: { limit: 2, cursor: at.v2 } })).text).toBe(same2.text);
  expect([happened(sandbox, 'repeat_cursor'), happened(sandbox, 'repeat_page')]).toEqual([3, 3]);
  const kinds = sandbox.faults.happened().map(({ kind }) => kind);
  expect(kinds).toEqual(Array(3).fill(['repeat_cursor', 'repeat_page']).flat());
});

test('an empty page has a cursor behind which every entry is', async () => {
  const sandbox = await open();
  const at = await cursors(sandbox);
  sandbox.faults.next('qstash', { kind: 'empty_page' }, { kind: 'empty_page' });
  for (const [cursor, behind] of [
    [null, 'msg_1,msg_2,msg_3'],
    [at.qstash, 'msg_3,msg_4,msg_5'],
  ]) {
    const empty = await askQstash(sandbox, { count: 3, ...(cursor && { cursor }) });
    expect(empty.body.events).toEqual([]);
    expect(empty.body.cursor).not.toBe(cursor);
    const next = await askQstash(sandbox, { count: 3, cursor: empty.body.cursor ?? '' });
    expect(ids(next.body.events)).toBe(behind);
  }

  sandbox.faults.next('datadog', { kind: 'empty_page' }, { kind: 'empty_page' });
  const empty1 = await askV1(sandbox, { ...V1, startAt: at.v1 });
  expect(empty1.body.logs).toEqual([]);
  const empty2 = await askV2(sandbox, { ...V2, page: { limit: 2, cursor: at.v2 } });
  expect(empty2.body.data).toEqual([]);
  expect(texts((await askV1(sandbox, { ...V1, startAt: empty1.body.nextLogId })).body.logs)).toBe('3,4');
  const page = { limit: 2, cursor: empty2.body.meta?.page?.after };
  expect(page.cursor).not.toBe(at.v2);
  expect(data((await askV2(sandbox, { ...V2, page })).body.data)).toBe('3,4');
});

test('a cursor that is ignored brings the first page; one that is lost brings a 400', async () => {
  const sandbox = await open();
  const at = await cursors(sandbox);
  sandbox.faults.next('qstash', { kind: 'start_over' }, { kind: 'bad_cursor' });
  expect(ids((await askQstash(sandbox, { count: 2, cursor: at.qstash })).body.events)).toBe('msg_1,msg_2');
  expect((await askQstash(sandbox, { count: 2, cursor: at.qstash })).status).toBe(400);

  sandbox.faults.next('datadog', { kind: 'start_over' }, { kind: 'bad_cursor' });
  expect(texts((await askV1(sandbox, { ...V1, startAt: at.v1 })).body.logs)).toBe('1,2');
  const bad = await askV1(sandbox, { ...V1, startAt: at.v1 });
  expect([bad.status, bad.body.error?.message]).toEqual([400, `Invalid event id '${at.v1}'`]);

  const page = { limit: 2, cursor: at.v2 };
  sandbox.faults.next('datadog', { kind: 'start_over' }, { kind: 'bad_cursor' });
  expect(data((await askV2(sandbox, { ...V2, page })).body.data)).toBe('1,2');
  expect((await askV2(sandbox, { ...V2, page })).status).toBe(400);
});

test('compaction in the middle of a chain gives the page asked for under other raw ids', async () => {
  const sandbox = await open();
  const at = await cursors(sandbox);
  sandbox.faults.next('datadog', { kind: 'compact' }, { kind: 'compact' });
  const v1 = await askV1(sandbox, { ...V1, startAt: at.v1 });
  expect(texts(v1.body.logs)).toBe('3,4');
  expect(v1.body.logs[0]?.id).not.toBe(at.v1);
  const v2 = await askV2(sandbox, { ...V2, page: { limit: 2, cursor: at.v2 } });
  expect(data(v2.body.data)).toBe('3,4');
  expect(v2.body.data[0]?.id).not.toBe(v1.body.logs[0]?.id);
  expect(happened(sandbox, 'compact')).toBe(2);
});

test('unknown fields and envelopes change what is around the entries alone', async () => {
  const sandbox = await open();
  const [plain, plain1] = [await askQstash(sandbox), await askV1(sandbox, V1)];
  sandbox.faults.next('qstash', { kind: 'unknown_field' }, { kind: 'unknown_envelope' });
  const field = await askQstash(sandbox);
  expect(field.body.events).toEqual(plain.body.events);
  expect(Object.keys(field.body)).not.toEqual(Object.keys(plain.body));
  expect(Object.keys((await askQstash(sandbox)).body)).toEqual(['results']);
  sandbox.faults.next(
    'datadog',
    { kind: 'unknown_field' },
    { kind: 'unknown_envelope' },
    { kind: 'unknown_envelope' },
  );
  const field1 = await askV1(sandbox, V1);
  expect(field1.body.logs).toEqual(plain1.body.logs);
  expect(Object.keys(field1.body)).not.toEqual(Object.keys(plain1.body));
  expect((await askV1(sandbox, V1)).body.logs).toBeUndefined();
  expect((await askV2(sandbox, V2)).body.data).toBeUndefined();
});

test('an entry of an unknown kind joins the far end of the window, and the truth', async () => {
  const sandbox = await open();
  sandbox.faults.next('qstash', { kind: 'unknown_entry' });
  const { events } = (await askQstash(sandbox, { fromDate: NOON - 3_600_000, toDate: NOON })).body;
  expect(events.map(({ state }) => state).at(-1)).toBe('PAUSED');
  expect(sandbox.qstash.truth()).toHaveLength(7);

  sandbox.faults.next('datadog', { kind: 'unknown_entry' }, { kind: 'unknown_entry' });
  const { logs } = (await askV1(sandbox, { ...V1, limit: 100 })).body;
  expect(logs).toHaveLength(7);
  expect(Object.keys(logs.at(-1)?.content ?? {})).toContain('severity_number');
  const down = await askV2(sandbox, { ...V2, sort: '-timestamp', page: { limit: 100 } });
  expect(Object.keys(down.body.data.at(-1)?.attributes ?? {})).toContain('severity_number');
  expect(sandbox.datadog.truth()).toHaveLength(8);
});

test('the Date header can be wrong or missing', async () => {
  const sandbox = await open();
  sandbox.faults.next('datadog', { kind: 'wrong_date', byMs: -3_600_000 }, { kind: 'no_date' });
  expect((await askV1(sandbox, V1)).headers.get('date')).toBe('Sun, 01 Mar 2026 11:00:00 GMT');
  expect((await askV1(sandbox, V1)).headers.get('date')).toBeNull();
  expect((await askV1(sandbox, V1)).headers.get('date')).toBe('Sun, 01 Mar 2026 12:00:00 GMT');
});

test('good credentials can be refused', async () => {
  const sandbox = await open();
  sandbox.faults.next('qstash', { kind: 'refuse' });
  sandbox.faults.next('datadog', { kind: 'refuse' }, { kind: 'refuse', status: 401 });
  expect([
    (await askQstash(sandbox)).status,
    (await askV1(sandbox, V1)).status,
    (await askV2(sandbox, V2)).status,
  ]).toEqual([401, 403, 401]);
  expect((await askV2(sandbox, V2)).status).toBe(200);
});

test('a fault that cannot happen yet waits for its chance while later ones pass', async () => {
  const sandbox = await open();
  sandbox.faults.next('qstash', { kind: 'bad_cursor' }, { kind: 'no_date' });
  const first = await askQstash(sandbox, { count: 2 });
  expect([first.status, first.headers.get('date')]).toEqual([200, null]);
  expect((await askQstash(sandbox, { count: 2, cursor: first.body.cursor ?? '' })).status).toBe(400);

  sandbox.faults.next('qstash', { kind: 'repeat_cursor' });
  const last = await askQstash(sandbox, { cursor: first.body.cursor ?? '' });
  expect([last.body.cursor, happened(sandbox, 'repeat_cursor')]).toEqual([undefined, 0]);
  const middle = await askQstash(sandbox, { count: 1, cursor: first.body.cursor ?? '' });
  expect([middle.body.cursor, happened(sandbox, 'repeat_cursor')]).toEqual([first.body.cursor, 1]);
});

test('a fault comes after as many requests and as often as the script says', async () => {
  const sandbox = await open();
  sandbox.faults.add({ api: 'qstash', after: 2, times: 3, fault: { kind: 'unavailable' } });
  await askV1(sandbox, V1);
  const statuses: number[] = [];
  for (let n = 0; n < 7; n++) statuses.push((await askQstash(sandbox)).status);
  expect(statuses).toEqual([200, 200, 503, 503, 503, 200, 200]);
  expect(happened(sandbox, 'unavailable')).toBe(3);
});

test('a script for every n-th request, and its end', async () => {
  const sandbox = await open();
  sandbox.faults.every(3, { kind: 'no_date' }, 'qstash');
  const dated: boolean[] = [];
  for (let n = 0; n < 7; n++) {
    if (n === 6) sandbox.faults.clear();
    await askV1(sandbox, V1);
    await askV2(sandbox, V2);
    dated.push((await askQstash(sandbox)).headers.has('date'));
  }
  expect(dated).toEqual([true, true, false, true, true, false, true]);
  expect(happened(sandbox, 'no_date')).toBe(2);
});

test('random faults come by the seed with the given probability and are counted', async () => {
  const play = async (seed: number): Promise<string> => {
    const sandbox = await open({ qstash: { quota: null } });
    const faults: Fault[] = [{ kind: 'rate_limit' }, { kind: 'unavailable' }, { kind: 'bad_cursor' }];
    sandbox.faults.random({ probability: 0.3, faults, api: 'qstash', seed });
    const statuses: number[] = [];
    for (let n = 0; n < 60; n++) statuses.push((await askQstash(sandbox)).status);
    const faulted = statuses.filter((status) => status !== 200).length;
    expect(faulted).toBeGreaterThan(8);
    expect(faulted).toBeLessThan(30);
    const counts = sandbox.faults.counts();
    expect(counts.rate_limit + counts.unavailable).toBe(faulted);
    expect(counts.bad_cursor).toBe(0);
    return statuses.join();
  };
  const first = await play(5);
  expect(await play(5)).toBe(first);
  expect(await play(6)).not.toBe(first);
});

test('a fault of the other API is refused at once', async () => {
  const sandbox = await open();
  expect(() => sandbox.faults.next('qstash', { kind: 'compact' })).toThrow(/compact/);
  expect(Object.keys(sandbox.faults.counts()).sort()).toEqual(Object.keys(FAULT_KINDS).sort());
});

test('the request log says what was asked, what was answered and which fault happened', async () => {
  const sandbox = await open();
  sandbox.faults.next('datadog', { kind: 'reset' }, { kind: 'cut' });
  const qstash = await askQstash(sandbox, { count: 2, state: 'CREATED' });
  await expect(askV1(sandbox, V1)).rejects.toThrow();
  await expect(askV1(sandbox, { ...V1, startAt: 'x' })).rejects.toThrow();
  const [first, second, third] = sandbox.requests();
  expect(first).toEqual({
    atMs: NOON,
    api: 'qstash',
    method: 'GET',
    path: '/v2/logs',
    params: { count: '2', state: 'CREATED' },
    body: '',
    cursor: null,
    status: 200,
    fault: null,
    bytes: Buffer.byteLength(qstash.text),
    entries: 2,
  });
  expect(second).toMatchObject({ api: 'datadog', status: null, fault: 'reset', entries: 2 });
  expect(JSON.parse(second?.body ?? '')).toEqual(V1);
  expect(third).toMatchObject({ cursor: 'x', status: 400, fault: 'cut', entries: 0 });
});
