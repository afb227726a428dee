import { afterEach, beforeEach, expect, it } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import type { HttpAnswer } from '../../src/sources/exchange.ts';
import { traceRequest } from '../../src/sources/trace.ts';
import { recordSpans } from '../sync/spans-recorded.ts';

let recording: ReturnType<typeof recordSpans>;
beforeEach(() => {
  recording = recordSpans();
});
afterEach(() => recording.stop());

const request = { method: 'GET', url: new URL('https://api.example.org/v2/logs?label=a-person') } as const;
const answer = { bytes: 512 } as HttpAnswer;

it('a request is a client span by the conventions for HTTP, without the query of its address', async () => {
  expect(await traceRequest({ label: 'qstash.main' }, request, 0, async () => answer)).toBe(answer);
  expect(recording.spans).toEqual([
    {
      name: 'GET',
      kind: 2,
      parent: null,
      attributes: {
        'http.request.method': 'GET',
        'server.address': 'api.example.org',
        'server.port': 443,
        'url.full': 'https://api.example.org/v2/logs',
        'logkeep.stream': 'qstash.main',
        'http.response.status_code': 200,
        'http.response.body.size': 512,
      },
      status: { code: 0 },
    },
  ]);
});

it('a refusal says its status, its kind, and which try it was', async () => {
  const refusal = new LogkeepError('unavailable', 'qstash.main: 503', { status: 503 });
  await expect(
    traceRequest({ label: 'qstash.main' }, request, 2, () => Promise.reject(refusal)),
  ).rejects.toBe(refusal);
  expect(recording.spans).toMatchObject([
    {
      attributes: {
        'http.response.status_code': 503,
        'error.type': 'unavailable',
        'http.request.resend_count': 2,
      },
      status: { code: 2, message: 'qstash.main: 503' },
    },
  ]);
});
