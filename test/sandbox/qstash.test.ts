import { afterEach, expect, test } from 'vitest';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askQstash, type ManualClock, manualClock, NOON, walkQstash } from './ask.ts';

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

/** A sandbox at noon with nothing in it. */
async function open(options: SandboxOptions = {}): Promise<{ sandbox: Sandbox; clock: ManualClock }> {
  const clock = manualClock();
  const sandbox = await startSandbox({ clock, ...options, qstash: { quota: null, ...options.qstash } });
  opened.push(sandbox);
  return { sandbox, clock };
}

/** `count` entries, one a second, the newest a minute before noon. */
function fill(sandbox: Sandbox, count: number, more: Record<string, unknown> = {}): void {
  sandbox.qstash.add(
    Array.from({ length: count }, (_, n) => ({
      entry: { time: NOON - 60_000 - n * 1000, messageId: `msg_${n}`, state: 'CREATED', ...more },
    })),
  );
}

test('pages newest first, a hundred at a time, to the last entry', async () => {
  const { sandbox } = await open();
  fill(sandbox, 250);
  const { entries, pages } = await walkQstash(sandbox);
  expect(pages).toBe(3);
  expect(entries.map(({ messageId }) => messageId)).toEqual(
    Array.from({ length: 250 }, (_, n) => `msg_${n}`),
  );
});

test('serves the same page under /v2/events', async () => {
  const { sandbox } = await open();
  fill(sandbox, 3);
  const [logs, events] = [await askQstash(sandbox), await askQstash(sandbox, {}, '/v2/events')];
  expect(events.text).toBe(logs.text);
  expect(events.body.events).toHaveLength(3);
});

test('takes fromDate and toDate as inclusive to the ms', async () => {
  const { sandbox } = await open();
  fill(sandbox, 10);
  const at = NOON - 60_000 - 5000;
  const same = await askQstash(sandbox, { fromDate: at, toDate: at });
  expect(same.body.events.map(({ messageId }) => messageId)).toEqual(['msg_5']);
  const none = await askQstash(sandbox, { fromDate: at + 1, toDate: at + 999 });
  expect(none.body.events).toEqual([]);
  const both = await askQstash(sandbox, { fromDate: at - 1000, toDate: at });
  expect(both.body.events.map(({ messageId }) => messageId)).toEqual(['msg_5', 'msg_6']);
});

test('the truth takes from as inclusive and to as exclusive', async () => {
  const { sandbox } = await open();
  fill(sandbox, 10);
  const from = NOON - 60_000 - 5000;
  const ids = sandbox.qstash.truth({ from, to: from + 2000 }).map(({ fields }) => fields.messageId);
  expect(ids).toEqual(['msg_5', 'msg_4']);
});

test('shows an entry only when it has become visible, and drops it when it has expired', async () => {
  const { sandbox, clock } = await open({ qstash: { retentionMs: 3_600_000 } });
  sandbox.qstash.add([
    { entry: { time: NOON, messageId: 'msg_late', state: 'CREATED' }, visibleAtMs: NOON + 600_000 },
  ]);
  const seen = async (nowMs: number): Promise<number> => {
    clock.set(nowMs);
    expect(sandbox.qstash.truth({ visibleAt: nowMs })).toHaveLength(
      (await askQstash(sandbox)).body.events.length,
    );
    return (await askQstash(sandbox)).body.events.length;
  };
  expect(await seen(NOON + 599_999)).toBe(0);
  expect(await seen(NOON + 600_000)).toBe(1);
  expect(await seen(NOON + 3_600_000)).toBe(1);
  expect(await seen(NOON + 3_600_001)).toBe(0);
});

test('makes entries visible late and out of order by default', async () => {
  const { sandbox, clock } = await open();
  for (let n = 0; n < 50; n++) {
    sandbox.qstash.add([{ entry: { time: NOON + n, messageId: `msg_${n}`, state: 'CREATED' } }]);
  }
  const truth = sandbox.qstash.truth();
  const lateness = truth.map(({ timeMs, visibleAtMs }) => visibleAtMs - timeMs);
  expect(Math.min(...lateness)).toBeGreaterThanOrEqual(300);
  expect(Math.max(...lateness)).toBeLessThanOrEqual(8000);
  clock.set(NOON + 4000);
  const { entries } = await walkQstash(sandbox);
  expect(entries.length).toBeGreaterThan(0);
  expect(entries.length).toBeLessThan(50);
  expect(Number(entries[0]?.time)).toBeGreaterThan(NOON + entries.length);
});

test('loses no entry of a thousand that share one ms, in any order of ties', async () => {
  for (const ties of ['written', 'reversed', 'shuffled'] as const) {
    const { sandbox } = await open({ qstash: { ties, disorderMs: 0 } });
    sandbox.qstash.add(
      Array.from({ length: 1000 }, (_, n) => ({
        entry: { time: NOON - 60_000, messageId: `msg_${n}`, state: 'CREATED' },
      })),
    );
    const ids = (await walkQstash(sandbox, { count: 7 })).entries.map(({ messageId }) => messageId);
    expect(new Set(ids).size).toBe(1000);
    expect(ids.length).toBe(1000);
    if (ties === 'written') expect(ids[0]).toBe('msg_999');
    if (ties === 'reversed') expect(ids[0]).toBe('msg_0');
    if (ties === 'shuffled')
      expect(ids.slice(0, 5)).not.toEqual(['msg_999', 'msg_998', 'msg_997', 'msg_996', 'msg_995']);
  }
});

test('orders by writing, so that a few entries stand out of the order of time', async () => {
  const { sandbox } = await open({ qstash: { disorderMs: 5 } });
  sandbox.qstash.add(
    Array.from({ length: 200 }, (_, n) => ({
      entry: { time: NOON - 60_000 + n, messageId: `msg_${n}`, state: 'CREATED' },
    })),
  );
  const { entries } = await walkQstash(sandbox, { count: 9, fromDate: NOON - 60_000, toDate: NOON - 59_801 });
  expect(entries).toHaveLength(200);
  const steps = entries.slice(1).map((entry, n) => Number(entry.time) - Number(entries[n]?.time));
  expect(steps.some((step) => step > 0)).toBe(true);
  expect(Math.max(...steps)).toBeLessThanOrEqual(5);
});

test('the cursor is the position of the last entry, and the page after it does not repeat it', async () => {
  const { sandbox } = await open({ qstash: { disorderMs: 0 } });
  fill(sandbox, 5);
  const first = await askQstash(sandbox, { count: 2 });
  expect(first.body.cursor).toBe(`${NOON - 61_000}-0`);
  const second = await askQstash(sandbox, { count: 2, cursor: first.body.cursor ?? '' });
  expect(second.body.events.map(({ messageId }) => messageId)).toEqual(['msg_2', 'msg_3']);
});

test('an entry that appears above the cursor in the middle of a walk is not in the walk', async () => {
  const { sandbox } = await open();
  fill(sandbox, 4);
  const first = await askQstash(sandbox, { count: 2 });
  sandbox.qstash.add([
    { entry: { time: NOON - 60_500, messageId: 'msg_new', state: 'CREATED' }, visibleAtMs: NOON },
  ]);
  const second = await askQstash(sandbox, { count: 9, cursor: first.body.cursor ?? '' });
  expect(second.body.events.map(({ messageId }) => messageId)).toEqual(['msg_2', 'msg_3']);
  expect((await walkQstash(sandbox)).entries).toHaveLength(5);
});

test('each switch of the end of a chain is honoured', async () => {
  const ends = { absent: undefined, empty: '', null: null } as const;
  for (const cursorAtEnd of ['absent', 'empty', 'null'] as const) {
    const { sandbox } = await open({ qstash: { cursorAtEnd } });
    fill(sandbox, 2);
    expect((await askQstash(sandbox, { count: 2 })).body.cursor).toBe(ends[cursorAtEnd]);
  }
  const { sandbox } = await open({ qstash: { emptyLastPage: true } });
  fill(sandbox, 2);
  const full = await askQstash(sandbox, { count: 2 });
  expect(full.body.cursor).toMatch(/^\d+-\d+$/);
  const empty = await askQstash(sandbox, { count: 2, cursor: full.body.cursor ?? '' });
  expect(empty.body).toEqual({ events: [] });
});

test('the envelope is events, or logs by switch', async () => {
  const { sandbox } = await open({ qstash: { envelope: 'logs' } });
  fill(sandbox, 1);
  const { body } = await askQstash(sandbox);
  expect(Object.keys(body)).toEqual(['logs']);
  expect(body.logs).toHaveLength(1);
});

test('a count above the most is cut, or refused by switch; the most is a switch', async () => {
  const { sandbox: cut } = await open({ qstash: { maxCount: 3 } });
  fill(cut, 5);
  expect((await askQstash(cut, { count: 1000 })).body.events).toHaveLength(3);
  const { sandbox: strict } = await open({ qstash: { overMax: 'error' } });
  expect((await askQstash(strict, { count: 101 })).status).toBe(400);
  expect((await askQstash(strict, { count: 100 })).status).toBe(200);
  expect((await askQstash(strict, { count: 'many' })).status).toBe(400);
});

test('a cursor that is none brings a 400, the first page, or nothing, by switch', async () => {
  const answers = { error: [400, undefined], start_over: [200, 2], empty: [200, 0] } as const;
  for (const badCursor of ['error', 'start_over', 'empty'] as const) {
    const { sandbox } = await open({ qstash: { badCursor } });
    fill(sandbox, 2);
    const { status, body } = await askQstash(sandbox, { cursor: 'nonsense' });
    expect([status, body.events?.length]).toEqual(answers[badCursor]);
    if (badCursor === 'error') expect(body.error).toBe('invalid cursor');
  }
});

test('a cursor older than its age is bad', async () => {
  const { sandbox, clock } = await open({ qstash: { cursorMaxAgeMs: 60_000 } });
  fill(sandbox, 4);
  const { cursor } = (await askQstash(sandbox, { count: 2 })).body;
  clock.set(NOON + 60_000);
  expect((await askQstash(sandbox, { count: 2, cursor: cursor ?? '' })).status).toBe(200);
  clock.set(NOON + 60_001);
  expect((await askQstash(sandbox, { count: 2, cursor: cursor ?? '' })).status).toBe(400);
});

test('every filter selects by its field, values of one name by OR, names by AND', async () => {
  const { sandbox } = await open();
  const common = { time: NOON - 60_000, state: 'CREATED', url: 'https://a.example/x' };
  const entries = [
    { ...common, messageId: 'a', state: 'ACTIVE', topicName: 'group', labels: ['one', 'two'] },
    { ...common, messageId: 'b', state: 'RETRY', scheduleId: 'scd_1', label: 'one' },
    { ...common, messageId: 'c', state: 'ERROR', queueName: 'q', callerIp: '192.0.2.1' },
    { ...common, messageId: 'd', state: 'FAILED', url: 'https://b.example/y', flowControlKey: 'k' },
    { ...common, messageId: 'e', state: 'CANCELED' },
    { ...common, messageId: 'f', state: 'CANCELLED', host: 'c.example', path: '/z' },
  ];
  sandbox.qstash.add(entries.map((entry, n) => ({ entry: { ...entry, time: entry.time - n * 1000 } })));
  const ids = async (query: string): Promise<string> => {
    const answer = await fetch(`${sandbox.url}/v2/logs?${query}`, {
      headers: { authorization: `Bearer ${sandbox.env.QSTASH_TOKEN}` },
    });
    const { events } = (await answer.json()) as { events: { messageId: string }[] };
    return events.map(({ messageId }) => messageId).join('');
  };
  expect(await ids('messageId=b')).toBe('b');
  expect(await ids('messageIds=b&messageIds=d')).toBe('bd');
  expect(await ids('state=ACTIVE')).toBe('a');
  expect(await ids('state=IN_PROGRESS')).toBe('abc');
  expect(await ids('state=FAILED')).toBe('d');
  expect(await ids('state=CANCELLED')).toBe('ef');
  expect(await ids(`url=${encodeURIComponent('https://b.example/y')}`)).toBe('d');
  expect(await ids('topicName=group')).toBe('a');
  expect(await ids('scheduleId=scd_1')).toBe('b');
  expect(await ids('queueName=q')).toBe('c');
  expect(await ids('label=one')).toBe('ab');
  expect(await ids('label=two&label=nothing')).toBe('a');
  expect(await ids('host=b.example')).toBe('d');
  expect(await ids('path=/z')).toBe('f');
  expect(await ids('callerIp=192.0.2.1')).toBe('c');
  expect(await ids('flowControlKey=k')).toBe('d');
  expect(await ids('label=one&state=ACTIVE')).toBe('a');
  expect(await ids('messageId=unknown')).toBe('');
  expect(sandbox.qstash.truth({ filter: { state: 'IN_PROGRESS', label: ['one'] } })).toHaveLength(2);
});

test('refuses a wrong token with the recorded words, and takes one from the query', async () => {
  const { sandbox } = await open();
  const ask = (query: string, headers: Record<string, string>): Promise<Response> =>
    fetch(`${sandbox.url}/v2/logs${query}`, { headers });
  for (const [query, authorization] of [
    ['', 'Bearer wrong'],
    ['', 'Bearer  sandbox-qstash-token'],
    ['', sandbox.env.QSTASH_TOKEN],
    ['?qstash_token=wrong', ''],
  ] as const) {
    const answer = await ask(query, authorization === '' ? {} : { authorization });
    expect(answer.status).toBe(401);
    expect(await answer.json()).toEqual({ error: 'unable to authenticate: invalid token' });
  }
  expect((await ask(`?qstash_token=${sandbox.env.QSTASH_TOKEN}`, {})).status).toBe(200);
  expect(JSON.stringify(sandbox.requests())).not.toContain(sandbox.env.QSTASH_TOKEN);
});

test('refuses dates that are no integers', async () => {
  const { sandbox } = await open();
  expect((await askQstash(sandbox, { fromDate: 'yesterday' })).status).toBe(400);
  expect((await askQstash(sandbox, { toDate: '1.5' })).status).toBe(400);
});

test('counts reads per second and says so in its headers', async () => {
  const { sandbox, clock } = await open({ qstash: { quota: { limit: 2, windowMs: 1000 } } });
  const limits = (headers: Headers): (string | null)[] =>
    ['limit', 'remaining', 'reset'].map((name) => headers.get(`burst-ratelimit-${name}`));
  const reset = `${NOON / 1000 + 1}`;
  expect(limits((await askQstash(sandbox)).headers)).toEqual(['2', '1', reset]);
  expect(limits((await askQstash(sandbox)).headers)).toEqual(['2', '0', reset]);
  const refused = await askQstash(sandbox);
  expect([refused.status, refused.body.error]).toEqual([429, 'Too Many Requests']);
  expect(limits(refused.headers)).toEqual(['2', '0', reset]);
  expect(refused.headers.get('retry-after')).toBeNull();
  clock.set(NOON + 1000);
  expect((await askQstash(sandbox)).status).toBe(200);
});

test('each switch of the quota headers is honoured', async () => {
  const { sandbox } = await open({
    qstash: {
      quota: { limit: 1, windowMs: 1000 },
      resetUnit: 'ms',
      quotaHeadersOn200: false,
      quotaBody: 'text',
      daily: { limit: 500, remaining: 0 },
    },
  });
  const { headers } = await askQstash(sandbox);
  expect(headers.get('burst-ratelimit-limit')).toBeNull();
  expect([headers.get('ratelimit-limit'), headers.get('ratelimit-remaining')]).toEqual(['500', '0']);
  const refused = await askQstash(sandbox);
  expect([refused.status, refused.text]).toEqual([429, 'Too Many Requests']);
  expect(refused.headers.get('burst-ratelimit-reset')).toBe(`${NOON + 1000}`);
});

test('sends a planted text to the byte', async () => {
  const { sandbox } = await open();
  const texts = [
    `{"time":${NOON - 1000},"messageId":"m1","state":"CREATED","big":9007199254740993,"huge":1e400,"zero":-0,"a":1,"a":2}`,
    `{"time":${NOON - 2000},"messageId":"m2","state":"NEW","nul":"\\u0000","lone":"\\ud800","space" : [ ] }`,
    `{"messageId":"m3","deep":${'['.repeat(10_000)}${']'.repeat(10_000)}}`,
    '"no object"',
    `{"time":1e400,"messageId":"m5","long":"${'x'.repeat(1_000_000)}"}`,
  ];
  sandbox.qstash.add(texts.map((entry) => ({ entry, visibleAtMs: 0, atMs: NOON - 5000 })));
  const { text, status } = await askQstash(sandbox);
  expect(status).toBe(200);
  for (const planted of texts) expect(text.includes(planted)).toBe(true);
  expect(sandbox.qstash.truth().every((entry) => texts.includes(entry.text))).toBe(true);
});

test('the Date header and gzip are those of a live service', async () => {
  const { sandbox, clock } = await open();
  fill(sandbox, 50);
  clock.set(NOON + 1234);
  const answer = await askQstash(sandbox);
  expect(answer.headers.get('date')).toBe('Sun, 01 Mar 2026 12:00:01 GMT');
  expect(answer.headers.get('content-encoding')).toBe('gzip');
  const plain = await fetch(`${sandbox.url}/v2/logs`, {
    headers: { authorization: `Bearer ${sandbox.env.QSTASH_TOKEN}`, 'accept-encoding': 'identity' },
  });
  expect(plain.headers.get('content-encoding')).toBeNull();
  expect(await plain.text()).toBe(answer.text);
});
