import { client, v1, v2 } from '@datadog/datadog-api-client';
import { Client } from '@upstash/qstash';
import { afterEach, expect, test } from 'vitest';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { manualClock, NOON } from './ask.ts';

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

const SPAN = { from: NOON - 86_400_000, to: NOON };

async function open(options: SandboxOptions): Promise<Sandbox> {
  const sandbox = await startSandbox({ clock: manualClock(), ...options });
  opened.push(sandbox);
  return sandbox;
}

function qstashClient(sandbox: Sandbox): Client {
  return new Client({
    baseUrl: sandbox.env.QSTASH_URL,
    token: sandbox.env.QSTASH_TOKEN,
    retry: false,
    enableTelemetry: false,
  });
}

function datadogConfiguration(sandbox: Sandbox): client.Configuration {
  return client.createConfiguration({
    baseServer: new client.BaseServerConfiguration(sandbox.env.DD_API_URL, {}),
    authMethods: { apiKeyAuth: sandbox.env.DD_API_KEY, appKeyAuth: sandbox.env.DD_APP_KEY },
  });
}

test.each(['absent', 'empty', 'null'] as const)(
  'the official QStash client finds every entry where the last cursor is %s',
  async (cursorAtEnd) => {
    const sandbox = await open({ qstash: { quota: null, cursorAtEnd } });
    sandbox.qstash.history({ ...SPAN, messages: 150 });
    const qstash = qstashClient(sandbox);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      // The client's type still calls the cursor a number; it hands on what it is given.
      const page: { cursor?: string; logs: { time: number; messageId: string; state: string }[] } =
        await qstash.logs(cursor ? ({ cursor } as object) : {});
      found.push(...page.logs.map(({ time, messageId, state }) => `${time} ${messageId} ${state}`));
      cursor = page.cursor;
    } while (cursor);
    const truth = sandbox.qstash
      .truth({ visibleAt: NOON })
      .map(({ fields }) => `${fields.time} ${fields.messageId} ${fields.state}`);
    expect(truth.length).toBeGreaterThan(400);
    expect(found.toReversed()).toEqual(truth);
    expect(sandbox.requests().every(({ path }) => path === '/v2/events')).toBe(true);
  },
);

test('the official QStash client filters, and names a refused token and a rate limit', async () => {
  const sandbox = await open({});
  sandbox.qstash.history({ ...SPAN, messages: 200 });
  const qstash = qstashClient(sandbox);
  const filter = {
    urlGroup: 'order-events',
    state: 'DELIVERED' as const,
    fromDate: SPAN.from,
    toDate: SPAN.to,
  };
  const { logs } = await qstash.logs({ filter, count: 100 });
  const truth = sandbox.qstash.truth({
    filter: { topicName: 'order-events', state: 'DELIVERED' },
    visibleAt: NOON,
  });
  expect(logs.length).toBeGreaterThan(0);
  expect(logs.map(({ messageId }) => messageId)).toEqual(
    truth.toReversed().map(({ fields }) => fields.messageId),
  );
  sandbox.faults.next('qstash', { kind: 'rate_limit' }, { kind: 'refuse' });
  await expect(qstash.logs({})).rejects.toMatchObject({ name: 'QstashRatelimitError', status: 429 });
  await expect(qstash.logs({})).rejects.toThrow('unable to authenticate: invalid token');
});

test('the official Datadog v1 client pages to every log, in both orders', async () => {
  for (const sort of ['asc', 'desc'] as const) {
    const sandbox = await open({ datadog: { quota: null } });
    sandbox.datadog.history({ ...SPAN, logs: 500 });
    const api = new v1.LogsApi(datadogConfiguration(sandbox));
    const time = { from: new Date(SPAN.from), to: new Date(SPAN.to) };
    const found: (string | undefined)[] = [];
    let startAt: string | undefined;
    do {
      const body: v1.LogsListRequest = { time, sort, limit: 70, ...(startAt && { startAt }) };
      const page = await api.listLogs({ body });
      expect(page.status).toBe('done');
      found.push(...(page.logs ?? []).map(({ id }) => id));
      startAt = page.nextLogId;
    } while (startAt);
    const truth = sandbox.datadog.truth({ visibleAt: NOON }).map(({ id }) => id);
    expect(truth.length).toBeGreaterThan(480);
    expect(sort === 'asc' ? found : found.toReversed()).toEqual(truth);
  }
});

test('the official Datadog v2 client pages to every log by itself', async () => {
  const sandbox = await open({ datadog: { quota: null } });
  sandbox.datadog.history({ ...SPAN, logs: 300 });
  const api = new v2.LogsApi(datadogConfiguration(sandbox));
  const filter = { from: `${SPAN.from}`, to: `${SPAN.to}`, query: 'service:web-store' };
  const found: unknown[] = [];
  const body: v2.LogsListRequest = { filter, sort: 'timestamp', page: { limit: 20 } };
  for await (const log of api.listLogsWithPagination({ body })) {
    found.push([log.id, log.attributes?.status, log.attributes?.message]);
  }
  const truth = sandbox.datadog.truth({ visibleAt: NOON, filter: 'service:web-store' });
  expect(truth.length).toBeGreaterThan(60);
  expect(found).toEqual(truth.map(({ id, status, text }) => [id, status, JSON.parse(text).content.message]));
});

test('the official Datadog client reads a partial answer, a refusal and a rate limit for what they are', async () => {
  const sandbox = await open({});
  sandbox.datadog.history({ ...SPAN, logs: 100 });
  const configuration = datadogConfiguration(sandbox);
  const body = { filter: { from: `${SPAN.from}`, to: `${SPAN.to}` } };
  sandbox.faults.next('datadog', { kind: 'partial' }, { kind: 'refuse' }, { kind: 'rate_limit' });
  const api = new v2.LogsApi(configuration);
  const partial = await api.listLogs({ body });
  expect(partial.meta?.warnings?.[0]?.code).toBe('unknown_index');
  await expect(api.listLogs({ body })).rejects.toMatchObject({ code: 403, body: { errors: ['Forbidden'] } });
  await expect(
    new v1.LogsApi(configuration).listLogs({
      body: { time: { from: new Date(SPAN.from), to: new Date(NOON) } },
    }),
  ).rejects.toMatchObject({ code: 429, body: { errors: ['Too many requests'] } });
});
