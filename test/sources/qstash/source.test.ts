import { afterEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../src/sandbox/faults.ts';
import { type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts';
import { accountOf, qstash } from '../../../src/sources/qstash/source.ts';
import { keep } from '../entries.ts';
import { openStream, readAll, readStubbornly } from '../opened.ts';
import { testClock } from '../stand.ts';

const NOW = Date.UTC(2026, 4, 2, 12);
const WINDOW = { from: NOW - 7_200_000, to: NOW - 3_600_000 };
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(
  behaviour: SandboxOptions['qstash'] = {},
  own: Record<string, unknown> = {},
  messages = 250,
) {
  const clock = testClock({ start: NOW, leap: true });
  const sandbox = await startSandbox({ clock, seed: 7, qstash: behaviour });
  sandbox.qstash.history({ from: WINDOW.from - 600_000, to: WINDOW.to + 600_000, messages });
  const { QSTASH_URL: url, QSTASH_TOKEN: token } = sandbox.env;
  const { stream, http } = openStream(qstash, { url, token, ...own }, clock);
  closers.push(sandbox.close, http.close);
  const truth = () => sandbox.qstash.truth({ ...WINDOW, visibleAt: clock.now() });
  return { sandbox, stream, clock, truth };
}

test('a window of the sandbox comes whole and only that, with the least requests', async () => {
  const { sandbox, stream, truth } = await open();
  const pages = await readAll(stream, WINDOW);
  const rows = pages.flatMap((page) => page.rows);
  expect(truth().length).toBeGreaterThan(500);
  expect(rows).toHaveLength(truth().length);
  expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
  for (const { timeMs } of rows) expect(timeMs >= WINDOW.from && timeMs < WINDOW.to).toBe(true);
  expect(pages.flatMap((page) => page.rejects)).toEqual([]);
  expect(sandbox.requests()).toHaveLength(Math.ceil(rows.length / 100));
  expect(pages.at(-1)?.next).toBeNull();
  expect(Math.abs((pages[0]?.dateMs ?? 0) - NOW)).toBeLessThan(60_000);
});

test('an empty last page is believed although what shares the oldest time is longer than max_body', async () => {
  const clock = testClock({ start: NOW, leap: true });
  const sandbox = await startSandbox({ clock, qstash: { emptyLastPage: true, quota: null } });
  closers.push(sandbox.close);
  const body = 'A'.repeat(30_000);
  sandbox.qstash.add(
    Array.from({ length: 10 }, (_, n) => ({
      entry: {
        time: WINDOW.from + 500,
        messageId: `msg_${n}`,
        state: 'CREATED',
        url: 'https://a.example/',
        body,
      },
      atMs: WINDOW.from + 500,
    })),
  );
  const { QSTASH_URL: url, QSTASH_TOKEN: token } = sandbox.env;
  const { stream, http } = openStream(qstash, { url, token }, clock, { pageSize: 5, maxBodyBytes: 100_000 });
  closers.push(http.close);
  const pages = await readAll(stream, WINDOW);
  expect(pages.flatMap((page) => page.rows)).toHaveLength(10);
});

describe('whatever nobody knows of the service, a window comes whole', () => {
  const ways: SandboxOptions['qstash'][] = [
    { envelope: 'logs' },
    { cursorAtEnd: 'empty' },
    { cursorAtEnd: 'null' },
    { emptyLastPage: true },
    { maxCount: 17 },
    { ties: 'shuffled', disorderMs: 50 },
    { quota: null },
    { quota: { limit: 2, windowMs: 1_000 } },
    { quota: { limit: 2, windowMs: 1_000 }, resetUnit: 'ms' },
    { quota: { limit: 2, windowMs: 1_000 }, quotaHeadersOn200: false },
    { quota: { limit: 1, windowMs: 1_000 }, quotaBody: 'text' },
    { daily: { limit: 1000, remaining: 0 } },
  ];
  for (const way of ways) {
    test(JSON.stringify(way), async () => {
      const { stream, truth } = await open(way);
      const rows = (await readAll(stream, WINDOW)).flatMap((page) => page.rows);
      expect(rows).toHaveLength(truth().length);
    });
  }

  for (const badCursor of ['error', 'start_over', 'empty'] as const) {
    test(`cursors that are forgotten after a second: ${badCursor}`, async () => {
      const { stream, truth, clock } = await open({ badCursor, cursorMaxAgeMs: 1_000, quota: null });
      let pages = 0;
      const failed = (async () => {
        for await (const page of stream.read({
          window: WINDOW,
          cursor: null,
          signal: new AbortController().signal,
          meter: { requests: 0, retries: 0, waits: 0, waitMs: 0, bytes: 0 },
        })) {
          pages += keep(page.entries).rows.length > 0 ? 1 : 0;
          if (pages === 2) await clock.advance(5_000);
        }
      })();
      await expect(failed).rejects.toMatchObject({
        kind: badCursor === 'start_over' ? 'protocol' : 'cursor',
      });
      expect((await readStubbornly(stream, WINDOW)).size).toBe(truth().length);
    });
  }
});

test('a quota whose headers are told is never exceeded', async () => {
  for (const resetUnit of ['s', 'ms'] as const) {
    const { sandbox, stream } = await open({ quota: { limit: 3, windowMs: 1_000 }, resetUnit, maxCount: 20 });
    await readAll(stream, WINDOW);
    expect(sandbox.requests().length).toBeGreaterThan(20);
    expect(sandbox.requests().filter(({ status }) => status === 429)).toEqual([]);
  }
});

describe('faults', () => {
  const faults: Fault[] = [
    { kind: 'rate_limit' },
    { kind: 'rate_limit', headers: false, body: 'text' },
    { kind: 'rate_limit', headers: false, retryAfterS: 3 },
    { kind: 'unavailable' },
    { kind: 'unavailable', status: 500 },
    { kind: 'reset', when: 'before' },
    { kind: 'reset', when: 'body' },
    { kind: 'cut' },
    { kind: 'silent' },
    { kind: 'slow', ms: 50 },
    { kind: 'empty_page' },
    { kind: 'unknown_field' },
    { kind: 'unknown_entry' },
    { kind: 'unknown_envelope' },
    { kind: 'not_json' },
    { kind: 'no_date' },
    { kind: 'repeat_cursor' },
    { kind: 'repeat_page' },
    { kind: 'start_over' },
    { kind: 'bad_cursor' },
  ];
  for (const fault of faults) {
    test(`one ${JSON.stringify(fault)} loses nothing`, async () => {
      const { sandbox, stream, truth } = await open({ quota: null });
      sandbox.faults.next('qstash', fault);
      const rows = await readStubbornly(stream, WINDOW);
      expect(sandbox.faults.counts()[fault.kind]).toBe(1);
      expect(rows.size).toBe(truth().length);
    });
  }

  test('many of them, at any time, lose nothing', async () => {
    const { sandbox, stream, truth } = await open({ quota: { limit: 5, windowMs: 1_000 }, maxCount: 40 });
    const random = faults.filter(({ kind }) => kind !== 'silent' && kind !== 'unknown_entry');
    sandbox.faults.random({ probability: 0.15, faults: random, api: 'qstash', seed: 3 });
    expect((await readStubbornly(stream, WINDOW)).size).toBe(truth().length);
  });
});

test('a refused token says which region to look at, and does not show itself', async () => {
  const token = Buffer.from('{"UserID":"u","Password":"p4ssw0rd"}').toString('base64');
  const { stream } = await open({}, { token }, 1);
  const error = await readAll(stream, WINDOW).catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ kind: 'auth', message: expect.stringContaining('region') });
  expect(String(error)).not.toContain(token);
});

test('a probe costs one request and tells the clock`s skew and the quota', async () => {
  const { sandbox, stream } = await open();
  const probe = await stream.probe(new AbortController().signal);
  expect(sandbox.requests()).toHaveLength(1);
  expect(Math.abs(probe.skewMs ?? Number.NaN)).toBeLessThanOrEqual(500);
  expect(probe.quota).toMatchObject({ limit: 100, remaining: 99 });
});

test('a probe is answered although the newest entry is longer than max_body', async () => {
  const clock = testClock({ start: NOW, leap: true });
  const sandbox = await startSandbox({ clock });
  const entry = { time: NOW - 9_000, messageId: 'msg_1', state: 'CREATED', body: 'A'.repeat(30_000) };
  sandbox.qstash.add([{ entry, atMs: NOW - 9_000 }]);
  const { QSTASH_URL: url, QSTASH_TOKEN: token } = sandbox.env;
  const { stream, http } = openStream(qstash, { url, token }, clock, { maxBodyBytes: 20_000 });
  closers.push(sandbox.close, http.close);
  const probe = await stream.probe(new AbortController().signal);
  expect(sandbox.requests()).toHaveLength(2);
  expect(Math.abs(probe.skewMs ?? Number.NaN)).toBeLessThanOrEqual(500);
});

describe('the fingerprint', () => {
  const token = (user: string, password: string) =>
    Buffer.from(JSON.stringify({ UserID: user, Password: password })).toString('base64');
  const of = (own: Record<string, unknown>, changes = {}) =>
    openStream(qstash, { token: token('u', 'p'), ...own }, testClock(), changes).stream.fingerprint;

  test('changes with host, account and filters', () => {
    const all = [
      of({}),
      of({ url: 'https://qstash-us-east-1.upstash.io' }),
      of({ token: token('v', 'p') }),
      of({ state: 'ERROR' }),
      of({ queue_name: 'a' }),
      of({ label: 'a' }),
      of({ label: ['a', 'b'] }),
    ];
    expect(new Set(all).size).toBe(all.length);
    for (const one of all) expect(one).toMatch(/^[0-9a-f]{32}$/);
  });

  test('stays with a rotated token, the other name of the EU region, the order of labels, and other paging', () => {
    expect(of({ token: token('u', 'new') })).toBe(of({}));
    expect(of({ url: 'https://qstash-eu-central-1.upstash.io/' })).toBe(of({}));
    expect(of({ label: ['b', 'a'] })).toBe(of({ label: ['a', 'b'] }));
    expect(of({}, { pageSize: 10, reserve: 0.5 })).toBe(of({}));
  });

  test('takes the account from a token of base64 JSON or a JWT, and does without', () => {
    const claims = Buffer.from('{"sub":"user-1"}').toString('base64url');
    expect(accountOf(token('me', 'x'))).toBe('me');
    expect(accountOf(`${Buffer.from('{"alg":"none"}').toString('base64url')}.${claims}.sig`)).toBe('user-1');
    expect(accountOf('opaque')).toBe('');
  });
});

test('every filter of the API is sent under its own name', async () => {
  const filters = {
    message_id: ['messageId', 'msg_1'],
    state: ['state', 'IN_PROGRESS'],
    destination: ['url', 'https://e.example/x?y=1&z'],
    url_group: ['topicName', 'g'],
    schedule_id: ['scheduleId', 'scd_1'],
    queue_name: ['queueName', 'q'],
    host: ['host', 'e.example'],
    path: ['path', '/x'],
    caller_ip: ['callerIp', '192.0.2.1'],
    flow_control_key: ['flowControlKey', 'k'],
    label: ['label', 'l'],
  };
  const own = Object.fromEntries(Object.entries(filters).map(([name, [, value]]) => [name, value]));
  const { sandbox, stream } = await open({}, own, 1);
  await readAll(stream, WINDOW);
  const params = sandbox.requests()[0]?.params;
  for (const [name, value] of Object.values(filters)) expect(params?.[name ?? '']).toBe(value);
});
