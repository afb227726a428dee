import { createHash } from 'node:crypto';
import type { Ms } from '../../model.ts';
import { type ApiAnswer, type ApiHandler, type ApiRequest, htmlAnswer, jsonAnswer } from '../exchange.ts';
import { createQuotaWindow } from '../quota.ts';
import { createV2Aggregate } from './aggregate.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import type { DatadogLedger } from './ledger.ts';
import { createV1List, readBody } from './v1.ts';
import { createV2Search, v2CursorOf } from './v2.ts';

const V1_PATH = '/api/v1/logs-queries/list';
const V2_SEARCH_PATH = '/api/v2/logs/events/search';
const V2_LIST_PATH = '/api/v2/logs/events';
const V2_AGGREGATE_PATH = '/api/v2/logs/analytics/aggregate';

const CONTACT = {
  statuspage: 'http://status.datadoghq.com',
  twitter: 'http://twitter.com/datadogops',
  email: 'support@datadoghq.com',
};

/** Bodies that users pasted, by the name of the fault's `body`. */
const TIMEOUTS = {
  deadline: 'deadline_exceeded(Request timeout)',
  request: 'request_timeout(Request timeout)',
  query: 'deadline_exceeded(The query timed out)',
};

/** v1 list, v2 search and v2 aggregation over one ledger, with one quota for all. */
export function createDatadogApi(
  ledger: DatadogLedger,
  behaviour: DatadogBehaviour,
  keys: { readonly apiKey: string; readonly appKey: string },
  seed: number,
): ApiHandler {
  const { quota } = behaviour;
  const window = quota === null ? null : createQuotaWindow(quota.limit, quota.periodS * 1000, quota.others);
  let answered = 0;
  const newRequestId = (): string =>
    `pddv1${createHash('sha256').update(`${seed} ${answered++}`).digest('base64url')}`;
  const plantUnknown = (atMs: Ms, nowMs: Ms): void => {
    const content = {
      timestamp: new Date(atMs).toISOString(),
      message: 'an entry of a kind that nobody knows yet',
      host: 'unknown-1',
      severity_number: 17,
      resource: { kind: 'function', region: { name: 'eu' } },
    };
    ledger.add([{ content, atMs, visibleAtMs: nowMs, intakeMs: atMs }], nowMs);
  };
  const v1 = createV1List(ledger, behaviour, newRequestId, plantUnknown);
  const v2 = createV2Search(ledger, behaviour, newRequestId, plantUnknown);
  const aggregate = createV2Aggregate(ledger, behaviour, newRequestId);

  const quotaHeaders = (remaining: number, resetS: number): Record<string, string> => ({
    'x-ratelimit-limit': `${quota?.limit ?? 300}`,
    ...(behaviour.quotaName === null ? {} : { 'x-ratelimit-name': behaviour.quotaName }),
    'x-ratelimit-period': `${quota?.periodS ?? 3600}`,
    'x-ratelimit-remaining': `${remaining}`,
    'x-ratelimit-reset': `${resetS}`,
  });
  const tooMany = (
    body: 'json' | 'short' | 'pending' | 'text',
    headers: Record<string, string>,
    faulted: boolean,
  ): ApiAnswer => {
    if (body === 'json') {
      const shape = { status: 'error', code: 429, errors: ['Too many requests'], ...CONTACT };
      return jsonAnswer(429, shape, { headers, faulted });
    }
    if (body === 'text') {
      const plain = { 'content-type': 'text/plain', ...headers };
      return { status: 429, headers: plain, body: 'Too many requests', entries: 0, faulted };
    }
    const pending = 'resource_exhausted(RateLimited: Too many pending queries)';
    return jsonAnswer(
      429,
      { errors: [body === 'short' ? 'Too many requests' : pending] },
      { headers, faulted },
    );
  };

  return {
    owns: (path) => path.startsWith('/api/'),
    cursorOf: (request) => (request.path === V1_PATH ? startAtOf(request) : v2CursorOf(request)),
    answer(request, fault) {
      const list = request.path === V1_PATH && request.method === 'POST' ? v1 : null;
      const isV2 =
        (request.path === V2_SEARCH_PATH && request.method === 'POST') ||
        (request.path === V2_LIST_PATH && request.method === 'GET');
      const counts = request.path === V2_AGGREGATE_PATH && request.method === 'POST' ? aggregate : null;
      if (list === null && !isV2 && counts === null) return jsonAnswer(404, { errors: ['Not found'] });
      const known =
        request.headers['dd-api-key'] === keys.apiKey &&
        request.headers['dd-application-key'] === keys.appKey;
      if (!known || fault?.kind === 'refuse') {
        const status = (fault?.kind === 'refuse' ? fault.status : undefined) ?? 403;
        const errors = [status === 403 ? 'Forbidden' : 'Unauthorized'];
        return jsonAnswer(
          status,
          { status: 'error', code: status, errors, ...CONTACT },
          { faulted: fault?.kind === 'refuse' },
        );
      }
      if (fault?.kind === 'unavailable') return htmlAnswer(fault.status ?? 503);
      const state = window?.take(request.nowMs) ?? null;
      if (fault?.kind === 'rate_limit') {
        const headers = fault.headers === false ? {} : quotaHeaders(0, fault.resetS ?? 1);
        if (fault.retryAfterS !== undefined) headers['retry-after'] = `${fault.retryAfterS}`;
        return tooMany(fault.body ?? 'json', headers, true);
      }
      const resetS = state === null ? 0 : Math.ceil((state.endsMs - request.nowMs) / 1000);
      const headers = state === null ? {} : quotaHeaders(state.remaining, resetS);
      if (state !== null && !state.granted) return tooMany('json', headers, false);
      if (fault?.kind === 'not_json') return htmlAnswer(200);
      if (fault?.kind === 'query_timeout') {
        const errors = [TIMEOUTS[fault.body ?? 'deadline']];
        return jsonAnswer(fault.status ?? 504, { errors }, { headers, faulted: true });
      }
      if (fault?.kind === 'compact') ledger.compact();
      return (list ?? counts ?? v2)(request, fault, headers);
    },
  };
}

function startAtOf(request: ApiRequest): string | null {
  const startAt = readBody(request.body)?.startAt;
  return typeof startAt === 'string' && startAt !== '' ? startAt : null;
}
