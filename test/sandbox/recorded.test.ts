import { afterEach, expect, test } from 'vitest';
import type { DatadogBehaviour } from '../../src/sandbox/datadog/behaviour.ts';
import { decodeLogId, encodeInnerId, encodeLogId } from '../../src/sandbox/datadog/id.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { askV1, askV2, getV2, manualClock, type Reply } from './ask.ts';
import { dateOf, fixture, type Interaction, searches, seed } from './recordings.ts';

interface RecordedIds {
  readonly ids: readonly {
    readonly id: string;
    readonly decoded: {
      readonly version: number;
      readonly event_ms: number;
      readonly tiebreaker: number;
      readonly inner: string;
      readonly intake_ms: number;
      readonly fragment?: string;
      readonly row?: number;
    };
  }[];
}

const opened: Sandbox[] = [];
afterEach(() => Promise.all(opened.splice(0).map((sandbox) => sandbox.close())));

test.each([
  ['v1_go_TestLogsList.json', {}],
  ['v1_scn_Logs_Search_test_logs_returns_OK_response.json', {}],
  ['v1_ts_search-test-logs.json', {}],
  ['v2_go_TestLogsList.json', {}],
  ['v2_go_TestLogsListGet.json', { linksOrder: '2021' }],
] satisfies [string, Partial<DatadogBehaviour>][])(
  'answers the recorded requests of %s with the recorded bodies, but for requestId',
  async (file, differs) => {
    const interactions = searches(file);
    const clock = manualClock();
    const sandbox = await startSandbox({
      clock,
      datadog: { v2Meta: 'page', linksOrigin: 'https://api.datadoghq.com', ...differs },
    });
    opened.push(sandbox);
    sandbox.datadog.add(seed(interactions));

    let answered = 0;
    for (const interaction of interactions) {
      clock.set(dateOf(interaction));
      const { status, body } = await replay(sandbox, interaction);
      expect(status).toBe(interaction.status);
      expect(withoutRequestId(body)).toEqual(withoutRequestId(interaction.response_body));
      answered++;
    }
    expect(answered).toBeGreaterThan(0);
  },
);

test('answers a malformed startAt and refused keys with the recorded bodies', async () => {
  const sandbox = await startSandbox();
  opened.push(sandbox);

  const [malformed] = searches('v1_go_TestLogsListErrors_400_Bad_Request.json') as [Interaction];
  const bad = await askV1(sandbox, malformed.request_body ?? {});
  expect([bad.status, bad.body]).toEqual([400, malformed.response_body]);
  expect(bad.headers.get('x-ratelimit-limit')).toBe('300');

  const [refused] = searches('v1_go_TestLogsListErrors_403_Forbidden.json') as [Interaction];
  const stranger = { ...sandbox, env: { ...sandbox.env, DD_APP_KEY: 'of another site' } };
  const forbidden = await askV1(stranger, refused.request_body ?? {});
  expect([forbidden.status, forbidden.body]).toEqual([403, refused.response_body]);
  expect(forbidden.headers.get('x-ratelimit-limit')).toBeNull();
});

test('decodes and encodes every recorded id to its parts', () => {
  const { ids } = fixture('decoded_log_ids.json') as RecordedIds;
  for (const { id, decoded } of ids) {
    const parts = decodeLogId(id);
    expect(parts).toMatchObject({
      layout: decoded.version,
      eventMs: decoded.event_ms,
      tie: decoded.tiebreaker,
      inner: decoded.inner,
      ...(decoded.version === 3 && { fragment: decoded.fragment, row: decoded.row }),
    });
    if (parts === null) throw new Error(`${id} does not decode`);
    expect(encodeLogId(parts)).toBe(id);
    const inner = Buffer.from(decoded.inner, 'base64url');
    expect(encodeInnerId(decoded.intake_ms, inner.subarray(6))).toBe(decoded.inner);
  }
  expect(ids.length).toBe(59);
});

test('decodes and encodes an id of layout 2 as it stands in public links', () => {
  const id =
    'AgAAAYjFQe8qO1pPzAAAAAAAAAAYAAAAAEFZakZRZnJjQUFDVnhGMzI3TTRnSndBYgAAACQAAAAAMDE4OGM1NGYtNTlkYi00NTJjLWFmMjUtOTYxYTNmNWYxZTQ2';
  const parts = decodeLogId(id);
  expect(parts).toEqual({
    layout: 2,
    eventMs: Date.parse('2023-06-16T17:30:12.650Z'),
    tie: 995774412,
    inner: 'AYjFQfrcAACVxF327M4gJwAb',
    fragment: '0188c54f-59db-452c-af25-961a3f5f1e46',
  });
  if (parts !== null) expect(encodeLogId(parts)).toBe(id);
});

test('refuses what is no id', () => {
  for (const id of [
    '',
    'notanid',
    'a'.repeat(60),
    `Bw${'A'.repeat(60)}`,
    'AwAAAZgNLCz85___jAAAABhBWmdOTERNSkFBQjh1',
  ]) {
    expect(decodeLogId(id), id).toBeNull();
  }
});

function replay(sandbox: Sandbox, { method, url, request_body }: Interaction): Promise<Reply<object>> {
  const { pathname, search } = new URL(url);
  if (method === 'GET') return getV2(sandbox, `${pathname}${search}`);
  return pathname.startsWith('/api/v1/')
    ? askV1(sandbox, request_body ?? {})
    : askV2(sandbox, request_body ?? {});
}

function withoutRequestId(body: object): object {
  const { requestId: _, ...rest } = body as { requestId?: unknown };
  return rest;
}
