import { afterEach, expect, test } from 'vitest';
import { decodeLogId, encodeInnerId, encodeLogId } from '../../src/sandbox/datadog/id.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askV1, askV2, getV2, type ManualClock, manualClock, NOON, walkV1 } from './ask.ts';

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

const HOUR = { from: new Date(NOON - 3_600_000).toISOString(), to: new Date(NOON).toISOString() };

async function open(
  options: SandboxOptions['datadog'] = {},
): Promise<{ sandbox: Sandbox; clock: ManualClock }> {
  const clock = manualClock();
  const sandbox = await startSandbox({ clock, datadog: { quota: null, ...options } });
  opened.push(sandbox);
  return { sandbox, clock };
}

/** `count` logs, one a second from half an hour before noon on. */
function fill(sandbox: Sandbox, count: number): void {
  sandbox.datadog.add(
    Array.from({ length: count }, (_, n) => ({
      content: { timestamp: new Date(NOON - 1_800_000 + n * 1000).toISOString(), message: `log ${n}` },
    })),
  );
}

const messages = (logs: readonly { content: Record<string, unknown> }[]): unknown[] =>
  logs.map(({ content }) => content.message);

test('v1 gives ten logs, newest first, when neither limit nor sort is said', async () => {
  const { sandbox } = await open();
  fill(sandbox, 30);
  const { body } = await askV1(sandbox, { time: HOUR });
  expect(messages(body.logs)).toEqual(Array.from({ length: 10 }, (_, n) => `log ${29 - n}`));
});

test('v1 pages through startAt, which is inclusive, to a nextLogId of null, in both orders', async () => {
  for (const sort of ['asc', 'desc'] as const) {
    const { sandbox } = await open();
    fill(sandbox, 10);
    const first = await askV1(sandbox, { time: HOUR, sort, limit: 4 });
    const second = await askV1(sandbox, { time: HOUR, sort, limit: 4, startAt: first.body.nextLogId });
    expect(second.body.logs[0]?.id).toBe(first.body.nextLogId);
    expect(first.body.logs.map(({ id }) => id)).not.toContain(first.body.nextLogId);
    const { logs, pages } = await walkV1(sandbox, { time: HOUR, sort, limit: 4 });
    const all = Array.from({ length: 10 }, (_, n) => `log ${n}`);
    expect(messages(logs)).toEqual(sort === 'asc' ? all : all.reverse());
    expect(pages).toBe(3);
  }
});

test('a last page that is exactly full ends the chain', async () => {
  const { sandbox } = await open();
  fill(sandbox, 4);
  expect((await askV1(sandbox, { time: HOUR, limit: 4 })).body.nextLogId).toBeNull();
});

test('each switch of the end of a chain is honoured', async () => {
  const { sandbox: absent } = await open({ nextAtEnd: 'absent' });
  expect(Object.keys((await askV1(absent, { time: HOUR })).body)).toEqual(['status', 'requestId', 'logs']);
  const { sandbox: empty } = await open({ nextAtEnd: 'empty' });
  expect((await askV1(empty, { time: HOUR })).body.nextLogId).toBe('');
});

test('a startAt outside of the window is ignored without a word', async () => {
  const { sandbox } = await open();
  fill(sandbox, 10);
  const first = await askV1(sandbox, { time: HOUR, sort: 'asc', limit: 4 });
  const other = { from: HOUR.from, to: new Date(NOON - 1_799_000).toISOString() };
  const { status, body } = await askV1(sandbox, {
    time: other,
    sort: 'asc',
    limit: 4,
    startAt: first.body.nextLogId,
  });
  expect(status).toBe(200);
  expect(messages(body.logs)).toEqual(['log 0', 'log 1']);
});

test('more than a page of logs in one ms comes whole, by the signed tie-break', async () => {
  const { sandbox } = await open();
  sandbox.datadog.add(
    Array.from({ length: 2500 }, (_, n) => ({ content: { message: `${n}` }, atMs: NOON - 60_000 })),
  );
  const { logs, pages } = await walkV1(sandbox, { time: HOUR, sort: 'asc', limit: 1000 });
  expect(pages).toBe(3);
  expect(new Set(messages(logs)).size).toBe(2500);
  const ties = logs.map(({ id }) => decodeLogId(id)?.tie ?? Number.NaN);
  expect(ties).toEqual(ties.toSorted((a, b) => a - b));
  expect(ties[0]).toBeLessThan(0);
});

test('the order of ties is a switch', async () => {
  for (const ties of ['added', 'reversed'] as const) {
    const { sandbox } = await open({ ties });
    sandbox.datadog.add(
      Array.from({ length: 5 }, (_, n) => ({ content: { message: `${n}` }, atMs: NOON - 60_000 })),
    );
    const { body } = await askV1(sandbox, { time: HOUR, sort: 'asc' });
    expect(messages(body.logs).join('')).toBe(ties === 'added' ? '01234' : '43210');
  }
});

test('whether to is inclusive is a switch; from always is', async () => {
  for (const toInclusive of [true, false]) {
    const { sandbox } = await open({ toInclusive });
    fill(sandbox, 3);
    const time = { from: NOON - 1_800_000, to: NOON - 1_798_000 };
    for (const sort of ['asc', 'desc']) {
      expect((await askV1(sandbox, { time, sort })).body.logs).toHaveLength(toInclusive ? 3 : 2);
    }
  }
});

test('ids of every layout decode to event time, tie-break and intake, and page alike', async () => {
  for (const idLayout of [0, 1, 2, 3] as const) {
    const { sandbox } = await open({ idLayout });
    const atMs = NOON - 60_000;
    sandbox.datadog.add(
      [-5, 0, 7].map((tie) => ({ content: { message: `${tie}` }, atMs, tie, intakeMs: atMs + 321 })),
    );
    const { logs } = await walkV1(sandbox, { time: HOUR, sort: 'asc', limit: 1 });
    expect(messages(logs)).toEqual(['-5', '0', '7']);
    for (const { id, content } of logs) {
      const parts = decodeLogId(id);
      expect(parts).toMatchObject({ layout: idLayout, eventMs: atMs, tie: Number(content.message) });
      expect(Buffer.from(parts?.inner ?? '', 'base64url').readUIntBE(0, 6)).toBe(atMs + 321);
    }
  }
});

test('compaction changes raw ids, keeps inner ids and order, and a chain goes on through it', async () => {
  const { sandbox } = await open();
  fill(sandbox, 10);
  const before = sandbox.datadog.truth().map(({ id, inner, textV2 }) => ({ id, inner, textV2 }));
  const { logs } = await walkV1(sandbox, { time: HOUR, sort: 'asc', limit: 3 }, () =>
    sandbox.datadog.compact(),
  );
  expect(messages(logs)).toEqual(Array.from({ length: 10 }, (_, n) => `log ${n}`));
  const after = sandbox.datadog.truth();
  expect(after.map(({ inner }) => inner)).toEqual(before.map(({ inner }) => inner));
  for (const [n, { id, text, textV2, formerIds }] of after.entries()) {
    expect(id).not.toBe(before[n]?.id);
    expect(formerIds[0]).toBe(before[n]?.id);
    expect(new Set([...formerIds, id]).size).toBe(5);
    expect(textV2.replace(id, '')).toBe(before[n]?.textV2.replace(before[n]?.id ?? '', ''));
    expect(JSON.parse(text).id).toBe(id);
    expect(JSON.parse(textV2).id).toBe(id);
  }
});

test('compaction leaves ids without a fragment alone', async () => {
  const { sandbox } = await open({ idLayout: 1 });
  fill(sandbox, 2);
  const before = sandbox.datadog.truth().map(({ id }) => id);
  sandbox.datadog.compact();
  expect(sandbox.datadog.truth().map(({ id, formerIds }) => [id, ...formerIds].join())).toEqual(before);
});

test('what a startAt brings whose raw id is gone is a switch', async () => {
  const answers = { position: ['log 2'], start_over: ['log 0'], error: undefined } as const;
  for (const lostStartAt of ['position', 'start_over', 'error'] as const) {
    const { sandbox } = await open({ lostStartAt });
    fill(sandbox, 4);
    const first = await askV1(sandbox, { time: HOUR, sort: 'asc', limit: 2 });
    sandbox.datadog.compact();
    const second = await askV1(sandbox, { time: HOUR, sort: 'asc', limit: 1, startAt: first.body.nextLogId });
    expect(second.body.logs && messages(second.body.logs)).toEqual(answers[lostStartAt]);
    if (lostStartAt === 'error') expect(second.body.error?.code).toBe('InvalidArgument');
  }
});

test('takes times as RFC 3339 with any offset, as ms, and relative to now', async () => {
  const { sandbox } = await open();
  fill(sandbox, 5);
  for (const time of [
    HOUR,
    { from: '2026-03-01T13:00:00.000000+02:00', to: '2026-03-01T07:00:00-05:00' },
    { from: NOON - 3_600_000, to: `${NOON}` },
    { from: 'now - 1h', to: 'now' },
    { from: 'now-60m', to: 'now+2h', timezone: 'Europe/Paris' },
  ]) {
    expect((await askV1(sandbox, { time })).body.logs).toHaveLength(5);
  }
});

test('a request that says nothing sensible is answered 400 in v1 and v2 in their own shapes', async () => {
  const { sandbox } = await open();
  for (const wrong of [
    {},
    { time: { from: HOUR.from } },
    { time: { from: 'yesterday', to: HOUR.to } },
    { time: HOUR, limit: 1001 },
    { time: HOUR, limit: 0 },
    { time: HOUR, sort: 'upwards' },
    { time: HOUR, query: 'service:(web' },
    { time: HOUR, startAt: 'notanid' },
  ]) {
    const { status, body } = await askV1(sandbox, wrong);
    expect([status, body.error?.code], JSON.stringify(wrong)).toEqual([400, 'InvalidArgument']);
  }
  for (const wrong of [
    { filter: { from: 'yesterday' } },
    { page: { limit: 1001 } },
    { sort: 'asc' },
    { filter: { query: '"open' } },
    { page: { cursor: 'nonsense' } },
  ]) {
    const { status, body } = await askV2(sandbox, wrong);
    expect([status, body.errors?.length], JSON.stringify(wrong)).toEqual([400, 1]);
  }
});

test('a limit above the most is cut by switch', async () => {
  const { sandbox } = await open({ overMax: 'clamp', maxLimit: 3 });
  fill(sandbox, 5);
  expect((await askV1(sandbox, { time: HOUR, limit: 5000 })).body.logs).toHaveLength(3);
  expect(
    (await askV2(sandbox, { filter: { from: 'now-1h' }, page: { limit: 5000 } })).body.data,
  ).toHaveLength(3);
});

test('v2 pages by a cursor that is exclusive and present on the last page, and ends with no data', async () => {
  const { sandbox } = await open();
  fill(sandbox, 5);
  const ask = { filter: { from: 'now-1h', to: 'now' }, sort: 'timestamp' };
  const seen: unknown[] = [];
  let cursor: string | undefined;
  const sizes: number[] = [];
  do {
    const { body } = await askV2(sandbox, { ...ask, page: { limit: 2, ...(cursor && { cursor }) } });
    seen.push(...body.data.map(({ attributes }) => attributes.message));
    sizes.push(body.data.length);
    cursor = body.meta?.page?.after;
    const last = body.data.at(-1);
    if (cursor !== undefined) {
      expect(JSON.parse(Buffer.from(cursor, 'base64url').toString())).toEqual({ after: last?.id });
      expect(body.meta?.status).toBe('done');
    } else expect(body).toEqual({ data: [] });
  } while (cursor !== undefined);
  expect(seen).toEqual(['log 0', 'log 1', 'log 2', 'log 3', 'log 4']);
  expect(sizes).toEqual([2, 2, 1, 0]);
});

test('whether v2 gives a cursor with its last page is a switch', async () => {
  const { sandbox } = await open({ v2CursorAtEnd: false });
  fill(sandbox, 4);
  const ask = { filter: { from: 'now-1h' }, page: { limit: 2 } };
  const first = await askV2(sandbox, ask);
  const after = first.body.meta?.page?.after;
  const last = await askV2(sandbox, { ...ask, page: { limit: 2, cursor: after } });
  expect(last.body.data).toHaveLength(2);
  expect([last.body.meta?.page, last.body.links]).toEqual([undefined, undefined]);
});

test('what a bad v2 cursor brings is a switch', async () => {
  const answers = { start_over: 2, empty: 0 } as const;
  for (const badCursor of ['start_over', 'empty'] as const) {
    const { sandbox } = await open({ badCursor });
    fill(sandbox, 2);
    const { body } = await askV2(sandbox, { filter: { from: 'now-1h' }, page: { cursor: 'nonsense' } });
    expect(body.data).toHaveLength(answers[badCursor]);
  }
});

test('v2 looks back a quarter of an hour and newest first unless told otherwise', async () => {
  const { sandbox } = await open();
  sandbox.datadog.add([
    { content: { message: 'old' }, atMs: NOON - 901_000 },
    { content: { message: 'newer' }, atMs: NOON - 500_000 },
    { content: { message: 'newest' }, atMs: NOON - 100_000 },
  ]);
  const { body } = await askV2(sandbox, {});
  expect(body.data.map(({ attributes }) => attributes.message)).toEqual(['newest', 'newer']);
});

test('the next link of v2 leads to the next page', async () => {
  const { sandbox } = await open();
  fill(sandbox, 3);
  const query = 'log AND -service:(a OR b)';
  const { body } = await askV2(sandbox, {
    filter: { from: 'now-1h', query },
    page: { limit: 2 },
    sort: 'timestamp',
  });
  const next = new URL(body.links?.next ?? '');
  expect(next.origin).toBe(sandbox.url);
  const page = await getV2(sandbox, `${next.pathname}${next.search}`);
  expect(page.body.data.map(({ attributes }) => attributes.message)).toEqual(['log 2']);
});

test('v2 shows the severity that v1 lacks, unless the switch gives it to v1 too', async () => {
  for (const v1Status of [false, true]) {
    const { sandbox } = await open({ v1Status });
    sandbox.datadog.add([{ content: { message: 'm' }, status: 'error', atMs: NOON - 60_000 }]);
    expect((await askV1(sandbox, { time: HOUR })).body.logs[0]?.content.status).toBe(
      v1Status ? 'error' : undefined,
    );
    expect((await askV2(sandbox, {})).body.data[0]?.attributes.status).toBe('error');
    expect((await askV1(sandbox, { time: HOUR, query: 'status:error' })).body.logs).toHaveLength(1);
    expect((await askV1(sandbox, { time: HOUR, query: 'status:info' })).body.logs).toHaveLength(0);
  }
});

test('shows the live indexes, or those that are named, and other tiers only in v2', async () => {
  const { sandbox } = await open({ historicalIndexes: ['rehydrated'] });
  const atMs = NOON - 60_000;
  sandbox.datadog.add([
    { content: { message: 'main' }, atMs },
    { content: { message: 'other' }, atMs: atMs + 1, index: 'other' },
    { content: { message: 'old' }, atMs: atMs + 2, index: 'rehydrated' },
    { content: { message: 'flex' }, atMs: atMs + 3, tier: 'flex' },
  ]);
  const v1 = async (index?: string): Promise<unknown[]> =>
    messages((await askV1(sandbox, { time: HOUR, sort: 'asc', ...(index && { index }) })).body.logs);
  expect(await v1()).toEqual(['main', 'other']);
  expect(await v1('*')).toEqual(['main', 'other']);
  expect(await v1('main')).toEqual(['main']);
  expect(await v1('other, rehydrated')).toEqual(['other', 'old']);
  expect(await v1('nothing')).toEqual([]);
  const v2 = async (filter: object): Promise<unknown[]> =>
    (await askV2(sandbox, { filter, sort: 'timestamp' })).body.data.map(
      ({ attributes }) => attributes.message,
    );
  expect(await v2({ indexes: ['main', 'rehydrated'] })).toEqual(['main', 'old']);
  expect(await v2({ storage_tier: 'flex' })).toEqual(['flex']);
});

test('shows a log only when it has become visible, out of order, and drops it when it has expired', async () => {
  const { sandbox, clock } = await open({ retentionMs: 3_600_000 });
  sandbox.datadog.add([
    { content: { message: 'older' }, atMs: NOON - 10_000, visibleAtMs: NOON + 40_000 },
    { content: { message: 'newer' }, atMs: NOON - 5000, visibleAtMs: NOON + 1000 },
  ]);
  const seen = async (nowMs: number): Promise<string> => {
    clock.set(nowMs);
    const time = { from: NOON - 60_000, to: NOON };
    const shown = messages((await askV1(sandbox, { time, sort: 'asc' })).body.logs).join();
    expect(
      sandbox.datadog
        .truth({ visibleAt: nowMs })
        .map(({ text }) => JSON.parse(text).content.message)
        .join(),
    ).toBe(shown);
    return shown;
  };
  expect(await seen(NOON)).toBe('');
  expect(await seen(NOON + 1000)).toBe('newer');
  expect(await seen(NOON + 40_000)).toBe('older,newer');
  expect(await seen(NOON + 3_590_001)).toBe('newer');
});

test('makes logs visible 5 to 47 s after their intake by default', async () => {
  const { sandbox } = await open();
  fill(sandbox, 200);
  const lateness = sandbox.datadog.truth().map(({ visibleAtMs, intakeMs }) => visibleAtMs - intakeMs);
  expect(Math.min(...lateness)).toBeGreaterThanOrEqual(5000);
  expect(Math.min(...lateness)).toBeLessThan(8000);
  expect(Math.max(...lateness)).toBeLessThanOrEqual(47_000);
  expect(Math.max(...lateness)).toBeGreaterThan(44_000);
});

test('one quota of calendar-aligned windows serves v1 and v2; a 400 costs, a 403 and a 429 do not', async () => {
  const { sandbox, clock } = await open({ quota: { limit: 4, periodS: 60 } });
  clock.set(NOON + 20_500);
  const limits = (headers: Headers): (string | null)[] =>
    ['limit', 'period', 'remaining', 'reset', 'name'].map((name) => headers.get(`x-ratelimit-${name}`));
  expect(limits((await askV1(sandbox, { time: HOUR })).headers)).toEqual([
    '4',
    '60',
    '3',
    '40',
    'logs_public_search_api',
  ]);
  expect(limits((await askV2(sandbox, {})).headers)[2]).toBe('2');
  const bad = await askV1(sandbox, { time: HOUR, startAt: 'notanid' });
  expect([bad.status, limits(bad.headers)[2]]).toEqual([400, '1']);
  const stranger = { ...sandbox, env: { ...sandbox.env, DD_API_KEY: 'wrong' } };
  const forbidden = await askV2(stranger, {});
  expect([forbidden.status, limits(forbidden.headers)[0]]).toEqual([403, null]);
  expect(limits((await askV2(sandbox, {})).headers)[2]).toBe('0');
  for (let n = 0; n < 2; n++) {
    const refused = await askV1(sandbox, { time: HOUR });
    expect(refused.status).toBe(429);
    expect(refused.body).toMatchObject({ status: 'error', code: 429, errors: ['Too many requests'] });
    expect(limits(refused.headers).slice(2, 4)).toEqual(['0', '40']);
  }
  clock.set(NOON + 60_000);
  expect(limits((await askV2(sandbox, {})).headers).slice(2, 4)).toEqual(['3', '60']);
});

test('tools that we do not see use up their share of the quota as the window goes on', async () => {
  const { sandbox, clock } = await open({ quota: { limit: 10, periodS: 60, others: 8 } });
  expect((await askV2(sandbox, {})).headers.get('x-ratelimit-remaining')).toBe('9');
  clock.set(NOON + 30_000);
  expect((await askV2(sandbox, {})).headers.get('x-ratelimit-remaining')).toBe('4');
  clock.set(NOON + 59_000);
  expect((await askV2(sandbox, {})).headers.get('x-ratelimit-remaining')).toBe('0');
  expect((await askV2(sandbox, {})).status).toBe(429);
});

test('sends a planted text to the byte, in v1 whole and in v2 member by member', async () => {
  const { sandbox } = await open();
  const atMs = NOON - 60_000;
  const id = (n: number): string =>
    encodeLogId({ layout: 1, eventMs: atMs + n, tie: n, inner: encodeInnerId(atMs, Buffer.alloc(12, n)) });
  const content = (n: number, more: string): string =>
    `{"timestamp":"${new Date(atMs + n).toISOString()}",${more},"message":"\\u0000 \\ud800"}`;
  const members = [
    '"attributes":{"dd":{"trace_id":18446744073709551615},"huge":1e400,"zero":-0,"a":1,"a":2}',
    `"attributes":{"deep":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
    `"attributes":{"long":"${'x'.repeat(1_000_000)}"}`,
    '"tags":["A:b","A:b",  "no colon"],"attributes" : null,"host":7',
  ];
  const texts = members.map((more, n) => `{"id":"${id(n)}","content":${content(n, more)},"new":true}`);
  sandbox.datadog.add(texts.map((log) => ({ log })));
  const v1 = await askV1(sandbox, { time: HOUR, sort: 'asc' });
  // Not toContain: a failure would print megabytes.
  for (const text of texts) expect(v1.text.includes(text)).toBe(true);
  const v2 = await askV2(sandbox, {});
  for (const more of members)
    expect(v2.text.includes(more.replace('"attributes" : ', '"attributes":'))).toBe(true);
  expect(v2.body.data).toHaveLength(4);
  for (const { text, textV2 } of sandbox.datadog.truth()) {
    expect([v1.text.includes(text), v2.text.includes(textV2)]).toEqual([true, true]);
  }
  expect(
    (await askV1(sandbox, { time: HOUR, query: '@dd.trace_id:18446744073709551615' })).body.logs,
  ).toHaveLength(1);
  expect(
    (await askV1(sandbox, { time: HOUR, query: '@dd.trace_id:18446744073709551614' })).body.logs,
  ).toHaveLength(0);
});

test('a log whose id is odd or missing is planted too, and a chain leads past it', async () => {
  const { sandbox } = await open();
  const atMs = NOON - 60_000;
  sandbox.datadog.add([
    { content: { message: '0' }, atMs },
    { log: { id: 'odd!', content: { message: '1' } }, atMs: atMs + 1 },
    { log: { content: { message: '2' } }, atMs: atMs + 2 },
    { log: '{"id":17,"content":{"message":"3"}}', atMs: atMs + 3 },
    { content: { message: '4' }, atMs: atMs + 4 },
  ]);
  const { logs } = await walkV1(sandbox, { time: HOUR, sort: 'asc', limit: 1 });
  expect(messages(logs)).toEqual(['0', '1', '2', '3', '4']);
});

test('a path of neither API is not found', async () => {
  const { sandbox } = await open();
  for (const path of ['/v2/messages', '/api/v1/validate']) {
    expect((await fetch(`${sandbox.url}${path}`)).status).toBe(404);
  }
  expect(await (await fetch(sandbox.url)).text()).toContain('/v2/logs');
});
