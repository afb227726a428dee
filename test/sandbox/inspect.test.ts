import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askQstash, askV1, manualClock, NOON } from './ask.ts';

const HOUR = 3_600_000;
let sandbox: Sandbox;

beforeEach(async () => {
  sandbox = await startSandbox({ clock: manualClock() });
  sandbox.qstash.history({ from: NOON - HOUR, to: NOON, messages: 1_500 });
  sandbox.datadog.history({ from: NOON - HOUR, to: NOON, logs: 1_500 });
});
afterEach(() => sandbox.close());

interface Shown {
  readonly id: string | null;
  readonly time: string;
  readonly visible_at: string | null;
  readonly [more: string]: unknown;
}
type Truth = Record<'qstash' | 'datadog', readonly Shown[]>;

async function ask(path: string, init: RequestInit = {}) {
  const response = await fetch(`${sandbox.url}${path}`, init);
  const body = (await response.json()) as Record<string, readonly unknown[]>;
  return { status: response.status, body };
}
const truth = async (query = '') => (await ask(`/sandbox/truth${query}`)).body as unknown as Truth;
const iso = (ms: number) => new Date(ms).toISOString();

test('tells over HTTP what it holds: each entry with its id, its time and when it becomes visible', async () => {
  const { qstash, datadog } = await truth();
  expect(qstash.length).toBeGreaterThan(3_000);
  expect(qstash).toEqual(
    sandbox.qstash.truth().map(({ fields, timeMs, visibleAtMs }) => ({
      id: fields.messageId,
      state: fields.state,
      time: iso(timeMs),
      visible_at: iso(visibleAtMs),
    })),
  );
  expect(datadog).toEqual(
    sandbox.datadog.truth().map(({ id, inner, timeMs, visibleAtMs }) => ({
      id,
      event_id: inner,
      time: iso(timeMs),
      visible_at: iso(visibleAtMs),
    })),
  );
});

test('tells of one stand-in, of a span, of what the API shows at a time, and with the text as it is sent', async () => {
  const at = NOON - HOUR / 2;
  const query = { from: NOON - HOUR, to: at, visibleAt: at };
  const shown = await truth(`?api=datadog&from=${query.from}&to=${iso(at)}&visible_at=${iso(at)}&text=true`);
  expect(shown.qstash).toBeUndefined();
  const wanted = sandbox.datadog.truth(query);
  expect(wanted.length).toBeGreaterThan(100);
  expect(wanted.length).toBeLessThan(1_500);
  expect(shown.datadog.map(({ id, text }) => [id, text])).toEqual(wanted.map(({ id, text }) => [id, text]));
});

test('holds entries that are never shown, or are no JSON', async () => {
  sandbox.qstash.add([{ entry: 'not json', atMs: NOON, visibleAtMs: Number.POSITIVE_INFINITY }]);
  const { qstash } = await truth('?api=qstash&text=true');
  expect(qstash).toContainEqual({
    id: null,
    state: null,
    time: iso(NOON),
    visible_at: null,
    text: 'not json',
  });
});

test('tells over HTTP what it was asked, without tokens and without the asking itself', async () => {
  await askQstash(sandbox, { qstash_token: 'in-the-address', count: 5 });
  await askV1(sandbox, { limit: 5, time: { from: iso(NOON - HOUR), to: iso(NOON) } });
  await truth();
  const { body } = await ask('/sandbox/requests');
  expect(body).toEqual({
    requests: sandbox.requests().map(({ atMs, ...rest }) => ({ at: iso(atMs), ...rest })),
  });
  expect(body.requests).toMatchObject([
    { api: 'qstash', path: '/v2/logs', params: { count: '5' }, status: 200, at: iso(NOON) },
    { api: 'datadog', method: 'POST', entries: 5 },
  ]);
  expect(JSON.stringify(body)).not.toMatch(/in-the-address|sandbox-/);
  expect((await ask('/sandbox/requests?api=datadog')).body.requests).toHaveLength(1);
});

test('plays no fault on who asks for its truth', async () => {
  sandbox.faults.every(1, { kind: 'unavailable' });
  expect((await truth('?api=qstash')).qstash.length).toBeGreaterThan(0);
});

test('refuses what it does not know with what it expected', async () => {
  expect(await ask('/sandbox/truth?api=slack')).toEqual({
    status: 400,
    body: { error: 'api: "slack": expected qstash or datadog' },
  });
  expect(await ask('/sandbox/truth?from=soon')).toEqual({
    status: 400,
    body: { error: 'from: "soon": expected ms since 1970, or a time such as 2026-11-01T00:00:00Z' },
  });
  expect(await ask('/sandbox/lies')).toEqual({
    status: 404,
    body: { error: '/sandbox/lies: expected /sandbox/truth or /sandbox/requests' },
  });
  expect(await ask('/sandbox/truth', { method: 'POST', body: '{}' })).toMatchObject({ status: 405 });
  expect(await (await fetch(sandbox.url)).text()).toContain('GET /sandbox/truth, GET /sandbox/requests');
});
