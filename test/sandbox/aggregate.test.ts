import { client, v2 } from '@datadog/datadog-api-client';
import { afterEach, expect, test } from 'vitest';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { manualClock, NOON } from './ask.ts';

const HOUR = 3_600_000;
const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

/** The official client over a stand-in with a log every ten minutes of the morning. */
async function open(options: SandboxOptions['datadog'] = {}) {
  const sandbox = await startSandbox({ clock: manualClock(), datadog: { quota: null, ...options } });
  opened.push(sandbox);
  sandbox.datadog.add(
    Array.from({ length: 36 }, (_, n) => {
      const atMs = NOON - 6 * HOUR + n * 600_000 + 1;
      const content = { timestamp: new Date(atMs).toISOString(), message: `log ${n}`, service: `s${n % 2}` };
      return { content, atMs, visibleAtMs: atMs };
    }),
  );
  const configuration = client.createConfiguration({
    authMethods: { apiKeyAuth: sandbox.env.DD_API_KEY, appKeyAuth: sandbox.env.DD_APP_KEY },
    baseServer: new client.BaseServerConfiguration(sandbox.url, {}),
  });
  return { sandbox, api: new v2.LogsApi(configuration) };
}

const filter = (from: number, to: number, query = '*') => ({ from: `${from}`, to: `${to}`, query });

test('the official client counts logs by whole hours, of which those without a log are left out', async () => {
  const { sandbox, api } = await open();
  const body: v2.LogsAggregateRequest = {
    compute: [{ aggregation: 'count', type: 'timeseries', interval: '1h' }],
    filter: filter(NOON - 8 * HOUR, NOON),
  };
  const { data, meta } = await api.aggregateLogs({ body });
  expect(meta?.status).toBe('done');
  expect(data?.buckets).toHaveLength(1);
  expect(data?.buckets?.[0]?.computes?.c0).toEqual(
    Array.from({ length: 6 }, (_, n) => ({
      value: 6,
      time: new Date(NOON - (6 - n) * HOUR).toISOString(),
    })),
  );
  const parts = { ...body, filter: filter(NOON - 2 * HOUR, NOON - 1.5 * HOUR, 'service:s1') };
  const half = await api.aggregateLogs({ body: parts });
  expect(half.data?.buckets?.[0]?.computes?.c0).toMatchObject([{ value: 1 }]);
  const none = await api.aggregateLogs({
    body: { ...body, filter: filter(NOON - 9 * HOUR, NOON - 8 * HOUR) },
  });
  expect(none.data?.buckets).toEqual([]);
  expect(sandbox.requests()).toHaveLength(3);
});

test('a total is one number, and what is not served here is refused as a bad request', async () => {
  const { api } = await open();
  const total = { compute: [{ aggregation: 'count' as const }], filter: filter(NOON - 6 * HOUR, NOON) };
  expect((await api.aggregateLogs({ body: total })).data?.buckets?.[0]?.computes?.c0).toBe(36);
  for (const body of [
    { ...total, compute: [{ aggregation: 'avg' as const }] },
    { ...total, groupBy: [{ facet: 'service' }] },
    { ...total, filter: { from: 'yesterday', to: 'now' } },
    { ...total, filter: { query: 'a AND' } },
  ])
    await expect(api.aggregateLogs({ body })).rejects.toMatchObject({ code: 400 });
});

test('counts know only what is visible, and take from the quota', async () => {
  const { sandbox, api } = await open({ quota: { limit: 2, periodS: 3600 } });
  sandbox.datadog.add([{ content: { message: 'later' }, atMs: NOON - HOUR + 5, visibleAtMs: NOON + HOUR }]);
  const body = { compute: [{ aggregation: 'count' as const }], filter: filter(NOON - 6 * HOUR, NOON) };
  expect((await api.aggregateLogs({ body })).data?.buckets?.[0]?.computes?.c0).toBe(36);
  await api.aggregateLogs({ body });
  await expect(api.aggregateLogs({ body })).rejects.toMatchObject({ code: 429 });
});
