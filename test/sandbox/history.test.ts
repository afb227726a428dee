import { readFileSync } from 'node:fs';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { decodeLogId } from '../../src/sandbox/datadog/id.ts';
import type { QstashStored } from '../../src/sandbox/qstash/ledger.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askQstash, askV1, askV2, manualClock, NOON, walkQstash, walkV1 } from './ask.ts';

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

const DAY_MS = 86_400_000;
const SPAN = { from: NOON - 2 * DAY_MS, to: NOON };

async function open(options: SandboxOptions = {}): Promise<Sandbox> {
  const sandbox = await startSandbox({ clock: manualClock(), ...options });
  opened.push(sandbox);
  return sandbox;
}

function byMessage(entries: readonly QstashStored[]): Map<string, QstashStored[]> {
  return Map.groupBy(entries, ({ fields }) => `${fields.messageId}`);
}

/** Cycles whose messages began early enough that all of them lies in the span. */
function wholeCycles(sandbox: Sandbox): QstashStored[][] {
  const cycles = [...byMessage(sandbox.qstash.truth()).values()];
  return cycles.filter(
    ([first]) => first !== undefined && first.fields.state === 'CREATED' && first.timeMs < NOON - DAY_MS,
  );
}

const WAYS =
  /^CREATED( ACTIVE ERROR RETRY)*( ACTIVE DELIVERED( ACTIVE DELIVERED)?| ACTIVE ERROR FAILED( DELIVERED)?| CANCEL_REQUESTED CANCELED| CANCEL_REQUESTED ACTIVE (DELIVERED.*|ERROR (RETRY.*|FAILED)))$/;

test('every message runs through one of the recorded life cycles, and each of them occurs', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 3000 });
  const ways = wholeCycles(sandbox).map((entries) => entries.map(({ fields }) => fields.state).join(' '));
  for (const way of ways) expect(way).toMatch(WAYS);
  const seen = new Set(ways);
  for (const way of [
    'CREATED ACTIVE DELIVERED',
    'CREATED ACTIVE ERROR RETRY ACTIVE DELIVERED',
    'CREATED ACTIVE ERROR RETRY ACTIVE ERROR RETRY ACTIVE ERROR RETRY ACTIVE ERROR FAILED',
    'CREATED ACTIVE ERROR FAILED',
    'CREATED ACTIVE ERROR RETRY CANCEL_REQUESTED CANCELED',
    'CREATED ACTIVE ERROR RETRY CANCEL_REQUESTED ACTIVE DELIVERED',
    'CREATED ACTIVE DELIVERED ACTIVE DELIVERED',
    'CREATED ACTIVE ERROR FAILED DELIVERED',
  ]) {
    expect(seen, way).toContain(way);
  }
});

test('the recorded timing, key order and presence of fields hold', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 2000 });
  const order =
    'time messageId state error nextDeliveryTime url topicName endpointName scheduleId queueName header body responseStatus responseBody responseHeaders timeout method callback callbackHeaders failureCallback failureCallbackHeaders maxRetries retryDelayExpression callerIp host path duration labels flowControlKey parallelism rate period'.split(
      ' ',
    );
  const retryDelays: number[] = [];
  let sameMs = 0;
  for (const entries of wholeCycles(sandbox)) {
    let retries = 0;
    const bodies = new Set(entries.map(({ fields }) => JSON.stringify([fields.body, fields.header])));
    expect(bodies.size).toBe(1);
    for (const [n, { fields, timeMs, text }] of entries.entries()) {
      expect(fields.time).toBe(timeMs);
      const keys = Object.keys(JSON.parse(text) as object);
      expect(keys).toEqual(order.filter((key) => keys.includes(key)));
      expect(Object.values(fields)).not.toContain(0);
      expect('nextDeliveryTime' in fields).toBe(fields.state === 'CREATED' || fields.state === 'RETRY');
      expect('error' in fields).toBe(fields.state === 'ERROR');
      expect('duration' in fields).toBe(fields.state === 'ERROR' || fields.state === 'DELIVERED');
      if (fields.state === 'DELIVERED') expect(fields.responseStatus).toBeGreaterThanOrEqual(200);
      if (fields.state === 'FAILED') expect(fields.responseStatus).toBeUndefined();
      const next = Number(fields.nextDeliveryTime);
      if (fields.state === 'CREATED') {
        expect(timeMs - next).toBeGreaterThanOrEqual(1);
        expect(timeMs - next).toBeLessThanOrEqual(4);
      }
      if (fields.state === 'RETRY') {
        retryDelays[retries++] = next - timeMs;
        const error = entries.findLast((entry, m) => m < n + 2 && entry.fields.state === 'ERROR');
        if (error?.timeMs === timeMs) sameMs++;
      }
    }
  }
  expect(Math.round((retryDelays[0] ?? 0) / 1000)).toBe(12);
  expect(retryDelays[1]).toBeGreaterThanOrEqual(140_000);
  expect(retryDelays[1]).toBeLessThanOrEqual(160_000);
  expect(Math.round((retryDelays[2] ?? 0) / 10_000)).toBe(188);
  expect(sameMs).toBeGreaterThan(10);
});

test('groups, queues, schedules, callbacks, labels and secrets in headers all occur', async () => {
  const sandbox = await open({ qstash: { labels: 'both', cancelled: 'CANCELLED' } });
  sandbox.qstash.history({ ...SPAN, messages: 2000 });
  const { truth } = sandbox.qstash;
  const [first] = truth({ filter: { topicName: 'order-events' } });
  expect(first?.fields.endpointName).toBeTypeOf('string');
  expect(truth({ filter: { queueName: ['emails', 'exports'] } }).length).toBeGreaterThan(50);
  expect(truth({ filter: { label: 'second' } }).length).toBeGreaterThan(5);
  expect(truth({ filter: { state: 'CANCELLED' } })[0]?.fields.state).toBe('CANCELLED');
  const all = truth().map(({ text }) => text);
  for (const part of [
    '"scheduleId":"scd_',
    '"callback":',
    '"failureCallback":',
    '"label":',
    '"flowControlKey":',
    '"Authorization":["Bearer ',
    '"Cookie":',
    '"body":"REDACTED:',
  ]) {
    expect(
      all.some((text) => text.includes(part)),
      part,
    ).toBe(true);
  }
  const ids = new Set(truth().map(({ fields }) => `${fields.messageId}`));
  expect(new Set([...ids].map((id) => id.length))).toEqual(new Set([57, 67]));
  const queue = truth({ filter: { queueName: 'emails', state: 'ACTIVE' } });
  expect(queue.length).toBeGreaterThan(0);
});

test('a URL group makes one message for each endpoint, a schedule runs on the minute', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 2000 });
  const created = sandbox.qstash.truth({ filter: { topicName: 'order-events', state: 'CREATED' } });
  const publications = Map.groupBy(
    created,
    ({ timeMs, fields }) => `${timeMs} ${fields.body} ${JSON.stringify(fields.header)}`,
  );
  expect(publications.size).toBeGreaterThan(20);
  for (const messages of publications.values()) {
    expect(new Set(messages.map(({ fields }) => fields.endpointName))).toEqual(
      new Set(['warehouse', 'analytics']),
    );
    expect(new Set(messages.map(({ fields }) => fields.messageId)).size).toBe(2);
  }
  const runs = sandbox.qstash.truth({ filter: { scheduleId: 'scd_7Pd2kL4mW8hourly', state: 'CREATED' } });
  expect(runs.length).toBeGreaterThan(10);
  expect(runs.filter(({ timeMs }) => timeMs % 60_000 <= 40).length).toBe(runs.length);
  expect(new Set(runs.map(({ fields }) => fields.messageId)).size).toBe(runs.length);
});

test('the messages of a queue are delivered one after another', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ from: NOON - 600_000, to: NOON, messages: 4000 });
  const queued = sandbox.qstash.truth({ filter: { queueName: 'emails' } });
  let busy: string | null = null;
  let waited = 0;
  for (const { fields, timeMs } of queued.toSorted((a, b) => a.timeMs - b.timeMs)) {
    const { messageId, state } = fields;
    if (state === 'CREATED') waited += busy === null ? 0 : 1;
    if (state === 'ACTIVE' && busy !== messageId) {
      expect(busy, `${timeMs}`).toBeNull();
      busy = `${messageId}`;
    }
    if (['DELIVERED', 'FAILED', 'CANCELED'].includes(`${state}`) && busy === messageId) busy = null;
  }
  expect(waited).toBeGreaterThan(5);
});

test('a callback is a message of its own that names its source in its body alone', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 1500 });
  const callbacks = sandbox.qstash.truth({
    filter: { url: 'https://shop.example.com/api/callback', state: 'CREATED' },
  });
  expect(callbacks.length).toBeGreaterThan(20);
  const messages = byMessage(sandbox.qstash.truth());
  for (const { fields, timeMs } of callbacks) {
    const body = JSON.parse(Buffer.from(`${fields.body}`, 'base64').toString()) as {
      sourceMessageId: string;
    };
    const source = messages.get(body.sourceMessageId) ?? [];
    expect(source[0]?.fields.callback).toBe(fields.url);
    const delivered = source.find((entry) => entry.fields.state === 'DELIVERED');
    expect(delivered !== undefined && delivered.timeMs < timeMs).toBe(true);
  }
});

test('each switch of the history is honoured', async () => {
  const write = async (qstash: SandboxOptions['qstash']): Promise<string> => {
    const sandbox = await open(qstash === undefined ? {} : { qstash });
    sandbox.qstash.history({ ...SPAN, messages: 1500 });
    return sandbox.qstash
      .truth()
      .map(({ text }) => text)
      .join('\n');
  };
  const usual = await write({});
  for (const part of [
    '"responseHeaders":',
    '"retryDelayExpression":',
    '"labels":',
    '"body":"REDACTED:',
    '"CANCELED"',
  ]) {
    expect(usual.includes(part), part).toBe(true);
  }
  const other = await write({
    spelling: 'other',
    labels: 'label',
    redacted: 'base64',
    cancelled: 'CANCELLED',
  });
  for (const part of [
    '"responseHeader":',
    '"retryDelayExpr":',
    '"label":',
    `"body":"${btoa('REDACTED:')}`,
    '"CANCELLED"',
  ]) {
    expect(other.includes(part), part).toBe(true);
  }
  for (const part of [
    '"responseHeaders":',
    '"retryDelayExpression":',
    '"labels":',
    '"body":"REDACTED:',
    '"CANCELED"',
  ]) {
    expect(other.includes(part), part).toBe(false);
  }
});

test('Datadog logs have tags, attributes, 64-bit trace ids and severities, and late ones occur', async () => {
  const sandbox = await open();
  sandbox.datadog.history({ ...SPAN, logs: 3000 });
  const logs = sandbox.datadog.truth();
  expect(logs).toHaveLength(3000);
  for (const log of logs) {
    const { id, content } = JSON.parse(log.text) as { id: string; content: Record<string, unknown> };
    expect(content.timestamp).toBe(new Date(log.timeMs).toISOString());
    expect(decodeLogId(id)).toMatchObject({ layout: 3, eventMs: log.timeMs, tie: log.tie });
    expect('status' in content).toBe(false);
  }
  const traces = logs.map(({ text }) => /"trace_id":(\d+)/.exec(text)?.[1] ?? '');
  expect(traces.some((trace) => trace !== `${Number(trace)}` && trace.length >= 19)).toBe(true);
  expect(new Set(logs.map(({ status }) => status))).toEqual(new Set(['debug', 'info', 'warn', 'error']));
  for (const service of ['web-store', 'billing', 'mailer', 'postgres']) {
    expect(sandbox.datadog.truth({ filter: `service:${service}` }).length, service).toBeGreaterThan(100);
  }
  expect(sandbox.datadog.truth({ filter: '-service:*' }).length).toBeGreaterThan(5);
  expect(new Set(logs.map(({ timeMs }) => timeMs)).size).toBeLessThan(3000);
  expect(logs.some(({ intakeMs, timeMs }) => intakeMs - timeMs > 3_600_000)).toBe(true);
  expect(logs.some(({ intakeMs, timeMs }) => intakeMs < timeMs)).toBe(true);
});

test('some Datadog logs tell of a QStash attempt, by attribute and by text', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 300 });
  sandbox.datadog.history({ ...SPAN, logs: 2000 });
  const byAttribute = sandbox.datadog.truth({ filter: '@upstash.message_id:*' });
  const byText = sandbox.datadog.truth({ filter: 'msg_*' });
  expect(byAttribute.length).toBeGreaterThan(100);
  expect(byText.length).toBeGreaterThan(60);
  const messages = byMessage(sandbox.qstash.truth());
  for (const { text, timeMs } of byAttribute) {
    const id = /"message_id":"(msg_\w+)"/.exec(text)?.[1] ?? '';
    const before = messages
      .get(id)
      ?.some(
        (entry) => entry.fields.state === 'ACTIVE' && timeMs - entry.timeMs < 1000 && timeMs > entry.timeMs,
      );
    expect(before).toBe(true);
  }
});

test('history lies in its span', async () => {
  const sandbox = await open();
  const span = { from: NOON - 4000, to: NOON };
  sandbox.qstash.history({ ...span, messages: 300 });
  sandbox.datadog.history({ ...span, logs: 300 });
  const entries = [...sandbox.qstash.truth(), ...sandbox.datadog.truth()];
  expect(entries.length).toBeGreaterThan(800);
  for (const { timeMs } of entries) expect(timeMs >= span.from && timeMs < span.to).toBe(true);
});

test('a walk through the API brings exactly the truth', async () => {
  const sandbox = await open({ qstash: { quota: null }, datadog: { quota: null } });
  const span = { from: NOON - 7_200_000, to: NOON - 3_600_000 };
  sandbox.qstash.history({ ...span, messages: 300 });
  sandbox.datadog.history({ ...span, logs: 1500 });
  const { entries } = await walkQstash(sandbox, { fromDate: span.from, toDate: span.to - 1 });
  const there = sandbox.qstash.truth({ visibleAt: NOON }).map(({ fields }) => fields);
  expect(entries.toReversed()).toEqual(there);
  const { logs } = await walkV1(sandbox, { time: span, sort: 'asc', limit: 1000 });
  const expected = sandbox.datadog.truth({ visibleAt: NOON, from: span.from, to: span.to });
  expect(logs.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
});

test('history is as large as it is asked for: tens of thousands of entries', async () => {
  const sandbox = await open();
  sandbox.qstash.history({ ...SPAN, messages: 4000 });
  sandbox.datadog.history({ ...SPAN, logs: 15_000 });
  const count = sandbox.qstash.truth().length + sandbox.datadog.truth().length;
  expect(count).toBeGreaterThan(29_000);
});

test('the same seed and clock give the same answers to the byte; another seed gives others', async () => {
  const play = async (seed: number): Promise<string> => {
    const sandbox = await open({ seed });
    sandbox.qstash.history({ ...SPAN, messages: 200 });
    sandbox.datadog.history({ ...SPAN, logs: 500 });
    sandbox.qstash.add([{ entry: { time: NOON - 60_000, messageId: 'm', state: 'CREATED' } }]);
    sandbox.datadog.add([{ content: { message: 'm' }, atMs: NOON - 100_000 }]);
    const answers: string[] = [];
    for (let n = 0; n < 2; n++) {
      answers.push((await askQstash(sandbox, { count: 50 })).text);
      answers.push((await askV1(sandbox, { time: SPAN, limit: 200 })).text);
      sandbox.datadog.compact();
      // The next link names the sandbox's own port, which differs.
      answers.push(
        (await askV2(sandbox, { filter: { from: 'now-2d' }, page: { limit: 100 } })).text.replaceAll(
          sandbox.url,
          '',
        ),
      );
    }
    return answers.join('\n');
  };
  const first = await play(7);
  expect(await play(7)).toBe(first);
  expect(await play(8)).not.toBe(first);
});

test('a live sandbox keeps adding until told to stop', async () => {
  const sandbox = await open({ clock: systemClock });
  sandbox.live(50);
  await expect.poll(() => sandbox.datadog.truth().length, { timeout: 10_000 }).toBeGreaterThan(20);
  expect(sandbox.qstash.truth().length).toBeGreaterThan(20);
  sandbox.live(0);
  const count = sandbox.datadog.truth().length;
  await new Promise((resolve) => setTimeout(resolve, 700));
  expect(sandbox.datadog.truth()).toHaveLength(count);
});

test('the sandbox imports nothing of logkeep but the clock and the words', () => {
  const folder = new URL('../../src/sandbox/', import.meta.url);
  const seen = new Set<string>();
  const visit = (file: URL): void => {
    if (seen.has(file.href)) return;
    seen.add(file.href);
    for (const [, path] of readFileSync(file, 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const target = new URL(path as string, file);
      if (target.href.startsWith(folder.href)) visit(target);
      else expect(['clock.ts', 'model.ts', 'errors.ts']).toContain(target.pathname.split('/src/')[1]);
    }
  };
  visit(new URL('sandbox.ts', folder));
  expect(seen.size).toBeGreaterThan(15);
});
