import { afterEach, describe, expect, test } from 'vitest';
import type { Fault } from '../../../src/sandbox/faults.ts';
import { type SandboxOptions, startSandbox } from '../../../src/sandbox/sandbox.ts';
import { datadog } from '../../../src/sources/datadog/source.ts';
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
  behaviour: SandboxOptions['datadog'] = {},
  own: Record<string, unknown> = {},
  logs = 4_000,
  pageSize = 1_000,
) {
  const clock = testClock({ start: NOW, leap: true });
  const sandbox = await startSandbox({ clock, seed: 7, datadog: behaviour });
  sandbox.datadog.history({ from: WINDOW.from - 600_000, to: WINDOW.to + 600_000, logs });
  const { DD_API_URL: api_url, DD_API_KEY: api_key, DD_APP_KEY: app_key } = sandbox.env;
  const { stream, http } = openStream(datadog, { api_url, api_key, app_key, ...own }, clock, { pageSize });
  closers.push(sandbox.close, http.close);
  // `to` may be inclusive: what stands there comes with the window, or with the next.
  const truth = () => sandbox.datadog.truth({ ...WINDOW, visibleAt: clock.now() });
  return { sandbox, stream, clock, truth };
}

const inside = (rows: Iterable<{ readonly timeMs: number }>) =>
  [...rows].filter(({ timeMs }) => timeMs < WINDOW.to).length;

for (const api of ['v1', 'v2'] as const) {
  describe(api, () => {
    test('a window of the sandbox comes whole, ascending, with the least requests', async () => {
      const { sandbox, stream, truth } = await open({}, { api });
      const pages = await readAll(stream, WINDOW);
      const rows = pages.flatMap((page) => page.rows);
      expect(truth().length).toBeGreaterThan(2_500);
      expect(inside(rows)).toBe(truth().length);
      expect(new Set(rows.map((row) => row.key)).size).toBe(rows.length);
      for (let i = 1; i < rows.length; i++) {
        expect(rows[i]?.timeMs ?? 0).toBeGreaterThanOrEqual(rows[i - 1]?.timeMs ?? 0);
      }
      expect(pages.flatMap((page) => page.rejects)).toEqual([]);
      expect(sandbox.requests()).toHaveLength(Math.ceil(rows.length / 1_000) + (api === 'v2' ? 1 : 0));
      expect(pages.at(-1)).toMatchObject({ next: null, readTo: WINDOW.to });
    });

    test('I8: what a page claims has been given by then', async () => {
      const { stream, truth } = await open({}, { api }, 1_500, 50);
      const given = new Set<number>();
      let count = 0;
      for await (const page of stream.read({
        window: WINDOW,
        cursor: null,
        signal: new AbortController().signal,
        meter: { requests: 0, retries: 0, waits: 0, waitMs: 0, bytes: 0 },
      })) {
        const { rows } = keep(page.entries);
        count += inside(rows);
        for (const { timeMs } of rows) given.add(timeMs);
        const readTo = page.readTo ?? WINDOW.from;
        const claimed = truth().filter(({ timeMs }) => timeMs < readTo);
        expect(count).toBeGreaterThanOrEqual(claimed.length);
        for (const { timeMs } of claimed) expect(given.has(timeMs)).toBe(true);
      }
      expect(count).toBe(truth().length);
    });

    describe('whatever nobody knows of the service, a window comes whole', () => {
      const ways: SandboxOptions['datadog'][] = [
        { toInclusive: false },
        { idLayout: 0 },
        { idLayout: 1 },
        { idLayout: 2 },
        { ties: 'reversed' },
        { nextAtEnd: 'absent' },
        { nextAtEnd: 'empty' },
        { v1Status: true },
        { v2CursorAtEnd: false },
        { v2Meta: 'page' },
        { quota: null },
        { quota: { limit: 2, periodS: 10 } },
        { quota: { limit: 10, periodS: 10, others: 7 } },
      ];
      for (const way of ways) {
        test(JSON.stringify(way), async () => {
          const { sandbox, stream, truth } = await open(way, { api }, 1_500, 120);
          const rows = (await readAll(stream, WINDOW)).flatMap((page) => page.rows);
          expect(inside(rows)).toBe(truth().length);
          expect(sandbox.requests().filter(({ status }) => status === 429)).toEqual([]);
        });
      }
    });

    describe('faults', () => {
      const faults: Fault[] = [
        { kind: 'rate_limit' },
        { kind: 'rate_limit', headers: false, body: 'short' },
        { kind: 'rate_limit', body: 'pending' },
        { kind: 'unavailable' },
        { kind: 'reset', when: 'before' },
        { kind: 'reset', when: 'body' },
        { kind: 'cut' },
        { kind: 'silent' },
        { kind: 'partial', how: 'status' },
        { kind: 'partial', how: 'warning' },
        { kind: 'query_timeout' },
        { kind: 'query_timeout', body: 'request', status: 408 },
        { kind: 'query_timeout', body: 'query', status: 400 },
        { kind: 'repeat_cursor' },
        { kind: 'repeat_page' },
        { kind: 'start_over' },
        { kind: 'bad_cursor' },
        { kind: 'compact' },
        { kind: 'empty_page' },
        { kind: 'unknown_field' },
        { kind: 'unknown_entry' },
        { kind: 'unknown_envelope' },
        { kind: 'not_json' },
        { kind: 'no_date' },
      ];
      for (const fault of faults) {
        test(`one ${JSON.stringify(fault)} loses nothing`, async () => {
          const { sandbox, stream, truth } = await open({ quota: null }, { api }, 1_500, 200);
          sandbox.faults.next('datadog', fault);
          const rows = await readStubbornly(stream, WINDOW);
          expect(sandbox.faults.counts()[fault.kind]).toBe(1);
          expect(inside(rows.values())).toBe(truth().length);
        });
      }

      test('many of them, at any time, lose nothing', async () => {
        const { sandbox, stream, truth } = await open(
          { quota: { limit: 10, periodS: 10 } },
          { api },
          1_500,
          50,
        );
        const random = faults.filter(({ kind }) => kind !== 'silent' && kind !== 'unknown_entry');
        sandbox.faults.random({ probability: 0.15, faults: random, api: 'datadog', seed: 5 });
        expect(inside((await readStubbornly(stream, WINDOW)).values())).toBe(truth().length);
      });
    });
  });
}

test('refused keys say what to check, and do not show themselves', async () => {
  const { stream } = await open({}, { app_key: 'wr0ng-key' }, 1);
  const error = await readAll(stream, WINDOW).catch((thrown: unknown) => thrown as Error);
  expect(error).toMatchObject({ kind: 'auth', message: expect.stringContaining('logs_read_data') });
  expect(String(error)).not.toContain('wr0ng-key');
});

test('a probe costs one request and tells the clock`s skew and the quota', async () => {
  const { sandbox, stream } = await open();
  const probe = await stream.probe(new AbortController().signal);
  expect(sandbox.requests()).toHaveLength(1);
  expect(Math.abs(probe.skewMs ?? Number.NaN)).toBeLessThanOrEqual(500);
  expect(probe.quota).toMatchObject({ limit: 300, remaining: 299 });
});

for (const api of ['v1', 'v2']) {
  test(`${api}: a probe is answered although the log of the last minute is longer than max_body`, async () => {
    const clock = testClock({ start: NOW, leap: true });
    const sandbox = await startSandbox({ clock });
    sandbox.datadog.add([
      {
        content: { timestamp: new Date(NOW - 9_000).toISOString(), message: 'A'.repeat(30_000) },
        atMs: NOW - 9_000,
        visibleAtMs: NOW - 9_000,
      },
    ]);
    const { DD_API_URL: api_url, DD_API_KEY: api_key, DD_APP_KEY: app_key } = sandbox.env;
    const own = { api_url, api_key, app_key, api };
    const { stream, http } = openStream(datadog, own, clock, { maxBodyBytes: 20_000 });
    closers.push(sandbox.close, http.close);
    const probe = await stream.probe(new AbortController().signal);
    expect(sandbox.requests()).toHaveLength(2);
    expect(Math.abs(probe.skewMs ?? Number.NaN)).toBeLessThanOrEqual(500);
  });
}

describe('the fingerprint', () => {
  const of = (own: Record<string, unknown>, changes = {}) =>
    openStream(datadog, { api_key: 'a', app_key: 'b', ...own }, testClock(), changes).stream.fingerprint;

  test('changes with site, query, index and tier', () => {
    const all = [
      of({}),
      of({ site: 'datadoghq.eu' }),
      of({ query: 'service:web' }),
      of({ index: 'main' }),
      of({ index: ['main', 'x'] }),
      of({ api: 'v2', storage_tier: 'flex' }),
    ];
    expect(new Set(all).size).toBe(all.length);
  });

  test('stays with other keys, the other transport, the order of indexes and the name of the site', () => {
    expect(of({ api_key: 'c', app_key: 'd' })).toBe(of({}));
    expect(of({ api: 'v2' })).toBe(of({}));
    expect(of({ index: 'x,main' })).toBe(of({ index: ['main', 'x'] }));
    expect(of({ site: 'app.datadoghq.com' })).toBe(of({}));
    expect(of({ api_url: 'https://api.datadoghq.com' })).toBe(of({}));
  });
});

test('two streams of one key share one quota', async () => {
  const clock = testClock({ start: NOW, leap: true });
  const sandbox = await startSandbox({ clock, seed: 7, datadog: { quota: { limit: 3, periodS: 10 } } });
  closers.push(sandbox.close);
  sandbox.datadog.history({ ...WINDOW, logs: 500 });
  const { DD_API_URL: api_url, DD_API_KEY: api_key, DD_APP_KEY: app_key } = sandbox.env;
  const one = openStream(datadog, { api_url, api_key, app_key }, clock, { pageSize: 50 });
  closers.push(one.http.close);
  const settings = {
    ...openSettings,
    own: datadog.settings.parse({ api_url, api_key, app_key, api: 'v2' }),
  };
  const two = datadog.open(settings as never, {
    clock,
    http: one.http,
    redactor: {
      hides: () => false,
      hide: (text) => text,
      digest: () => '00'.repeat(32),
    },
  });
  const [first, second] = await Promise.all([readAll(one.stream, WINDOW), readAll(two, WINDOW)]);
  expect(inside(first.flatMap(({ rows }) => rows))).toBe(inside(second.flatMap(({ rows }) => rows)));
  expect(sandbox.requests().filter(({ status }) => status === 429)).toEqual([]);
});

const openSettings = {
  id: 'datadog.two',
  source: 'datadog',
  pageSize: 50,
  concurrency: 2,
  spacingMs: 0,
  reserve: 0,
  timeoutMs: 500,
  retryMs: 2_000,
  maxBodyBytes: 16_000_000,
};
