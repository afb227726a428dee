import { afterEach, beforeEach, expect, test } from 'vitest';
import { difference, NO_DIFFERENCE, onceEach, viewedQstash } from '../stored.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const AT = START - HOUR;
let world: World;

beforeEach(async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    settings: { since: { agoMs: 3 * HOUR } },
    sandbox: { qstash: prompt, datadog: prompt },
  });
});
afterEach(() => world.close());

test('the view qstash_entry gives every entry back as the API sent it, from its columns alone', async () => {
  const common = { url: 'https://a.example/', header: { 'X-A': ['1'] }, body: 'cmVxdWVzdA==' };
  world.sandbox.qstash.history({ from: START - 2 * HOUR, to: START - 60_000, messages: 120 });
  world.sandbox.qstash.add([
    {
      entry: {
        ...common,
        time: AT,
        messageId: 'msg_error',
        state: 'ERROR',
        error: 'no such host',
        responseStatus: 503,
        responseBody: 'YW5zd2Vy',
        responseHeaders: { 'X-B': ['2', '3'] },
        nextDeliveryTime: AT + 12_000,
        duration: 41,
        brandNew: { n: 1.5 },
      },
    },
    {
      entry: {
        ...common,
        time: AT + 1,
        messageId: 'msg_full',
        state: 'CREATED',
        method: 'PUT',
        maxRetries: 5,
        timeout: 30_000,
        queueName: 'emails',
        scheduleId: 'scd_1',
        topicName: 'all',
        endpointName: 'first',
        callback: 'https://b.example/',
        callbackHeaders: { 'X-C': ['4'] },
        failureCallback: 'https://c.example/',
        failureCallbackHeaders: { 'X-D': ['5'] },
        retryDelayExpression: 'pow(2, retried)',
        label: 'one',
        labels: ['one', 'two'],
        callerIp: '192.0.2.1',
        host: 'a.example',
        path: '/x',
        flowControlKey: 'key',
        parallelism: 2,
        rate: 3,
        period: 4,
      },
    },
    // Escaped in the log alone, and in the request alone; a body that is no base64 waits in the request's extra.
    {
      entry: {
        ...common,
        time: AT + 2,
        messageId: 'msg_nul',
        state: 'ERROR',
        error: 'nul \0 and \ue000',
        body: '?!',
      },
    },
    {
      entry: {
        ...common,
        time: AT + 3,
        messageId: 'msg_key',
        state: 'ACTIVE',
        flowControlKey: 'a\0b',
        error: 'plain',
      },
    },
    { entry: { time: AT + 4, messageId: 'msg_bare', state: 'CANCELED' } },
  ]);
  await world.sync({}, { streams: ['qstash.main'] });
  expect(await world.query('select 1 from logkeep.qstash_log where request_hash is null')).not.toEqual([]);
  const viewed = await viewedQstash(world);
  expect(viewed.length).toBeGreaterThan(400);
  expect(difference(viewed, onceEach(world.sandbox.qstash.truth()))).toEqual(NO_DIFFERENCE);
});

test('the view log_entry shows each source in the same eight columns', async () => {
  const message = (n: number, state: string, more: Record<string, unknown> = {}) => ({
    entry: { time: AT + n, messageId: `msg_${n}`, state, url: `https://a.example/${n}`, ...more },
  });
  world.sandbox.qstash.add([
    message(0, 'CREATED'),
    message(1, 'ERROR', { error: 'no such host' }),
    message(2, 'RETRY'),
    message(3, 'CANCELED'),
    message(4, 'FAILED'),
    message(5, 'PAUSED'),
  ]);
  const log = (n: number, status: string, more: Record<string, unknown>) => ({
    content: { timestamp: new Date(AT + n).toISOString(), message: `log ${n}`, ...more },
    atMs: AT + n,
    visibleAtMs: AT,
    status,
  });
  world.sandbox.datadog.add([
    log(10, 'warn', { service: 'web', host: 'web-1' }),
    log(11, 'error', { host: 'web-2' }),
  ]);
  await world.sync({}, { settings: { since: { agoMs: 3 * HOUR }, own: { api: 'v2' } } });
  const shown = await world.query(
    `select (extract(epoch from time) * 1000)::float8 - ${AT} as n, stream, source, level, service, message, link, id
    from logkeep.log_entry order by time`,
  );
  const ids = new Map(
    [
      ...(await world.query('select message_id as link, entry_id::text as id from logkeep.qstash_log')),
      ...(await world.query('select id as link, event_id as id from logkeep.datadog_log')),
    ].map((row) => [row.link, row.id]),
  );
  const raw = world.sandbox.datadog.truth().map(({ id }) => id);
  const row = (n: number, level: string, what: string) => ({
    n,
    stream: 'qstash.main',
    source: 'qstash',
    level,
    service: `https://a.example/${n}`,
    message: what,
    link: `msg_${n}`,
    id: ids.get(`msg_${n}`),
  });
  const logRow = (n: number, level: string, service: string) => ({
    n,
    stream: 'datadog.main',
    source: 'datadog',
    level,
    service,
    message: `log ${n}`,
    link: raw[n - 10],
    id: ids.get(raw[n - 10]),
  });
  expect(new Set(ids.values()).size).toBe(8);
  expect(shown).toEqual([
    row(0, 'info', 'CREATED msg_0'),
    row(1, 'error', 'ERROR msg_1 no such host'),
    row(2, 'warn', 'RETRY msg_2'),
    row(3, 'warn', 'CANCELED msg_3'),
    row(4, 'error', 'FAILED msg_4'),
    row(5, 'info', 'PAUSED msg_5'),
    logRow(10, 'warn', 'web'),
    logRow(11, 'error', 'web-2'),
  ]);
});
