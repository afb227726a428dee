import type { Ms } from '../../model.ts';
import { type ApiAnswer, type ApiHandler, type ApiRequest, htmlAnswer, jsonAnswer } from '../exchange.ts';
import type { Fault } from '../faults.ts';
import { createQuotaWindow, type QuotaState } from '../quota.ts';
import type { QstashBehaviour } from './behaviour.ts';
import { compileQstashFilter } from './filter.ts';
import type { QstashLedger, QstashStored } from './ledger.ts';

interface Position {
  readonly writtenMs: Ms;
  readonly sequence: number;
}

interface Page {
  readonly entries: readonly QstashStored[];
  readonly more: boolean;
}

/** `GET /v2/logs` and `/v2/events` over a ledger. */
export function createQstashApi(ledger: QstashLedger, behaviour: QstashBehaviour, token: string): ApiHandler {
  const quota =
    behaviour.quota === null ? null : createQuotaWindow(behaviour.quota.limit, behaviour.quota.windowMs);
  const issued = new Map<string, Ms>();
  let previous: { body: string; entries: number } | null = null;

  const issue = (cursor: string, nowMs: Ms): string => {
    if (behaviour.cursorMaxAgeMs !== null) issued.set(cursor, nowMs);
    return cursor;
  };
  const cursorOf = (request: ApiRequest): string | null => request.params.get('cursor') || null;

  const list = (request: ApiRequest, fault: Fault | null, headers: Record<string, string>): ApiAnswer => {
    const { params, nowMs } = request;
    const from = readDate(params, 'fromDate');
    const to = readDate(params, 'toDate');
    const asked = params.get('count') === null ? behaviour.maxCount : Number(params.get('count'));
    const tooMany = behaviour.overMax === 'error' && asked > behaviour.maxCount;
    if (from === 'bad' || to === 'bad' || !Number.isInteger(asked) || asked < 1 || tooMany) {
      const name = from === 'bad' ? 'fromDate' : to === 'bad' ? 'toDate' : 'count';
      return jsonAnswer(400, { error: `invalid ${name}` }, { headers });
    }
    let text = cursorOf(request);
    let position = text === null ? null : readCursor(text);
    const age = text === null ? 0 : nowMs - (issued.get(text) ?? nowMs);
    const lost =
      text !== null && (position === null || age > (behaviour.cursorMaxAgeMs ?? Number.POSITIVE_INFINITY));
    if (fault?.kind === 'bad_cursor' || (lost && behaviour.badCursor === 'error')) {
      return jsonAnswer(400, { error: 'invalid cursor' }, { headers, faulted: fault?.kind === 'bad_cursor' });
    }
    if (lost && behaviour.badCursor === 'empty') return jsonAnswer(200, render([], null), { headers });
    if (lost || fault?.kind === 'start_over') {
      text = null;
      position = null;
    }
    if (fault?.kind === 'repeat_page' && previous !== null) {
      return jsonAnswer(200, previous.body, { headers, entries: previous.entries, faulted: true });
    }
    if (fault?.kind === 'unknown_entry') plantUnknown(from, nowMs);

    const accept = compileQstashFilter(params);
    const count = Math.min(asked, behaviour.maxCount);
    const page = read({ from, to, position, count, nowMs, accept });
    let { entries } = page;
    const last = entries.at(-1);
    const goesOn = last !== undefined && (page.more || (behaviour.emptyLastPage && entries.length === count));
    let next = goesOn ? issue(`${last.writtenMs}-${last.sequence}`, nowMs) : null;
    let faulted = fault?.kind === 'unknown_entry' || fault?.kind === 'start_over';
    const first = entries[0];
    if (fault?.kind === 'repeat_cursor' && next !== null) {
      next = text;
      faulted = true;
    } else if (fault?.kind === 'empty_page' && first !== undefined) {
      const before = issue(`${first.writtenMs}-${first.sequence + 1}`, nowMs);
      if (before !== text) {
        next = before;
        entries = [];
        faulted = true;
      }
    }
    const envelope = fault?.kind === 'unknown_envelope' ? 'results' : behaviour.envelope;
    const extra = fault?.kind === 'unknown_field' ? '"region":"eu-central-1",' : '';
    const body = render(entries, next, envelope, extra);
    previous = { body, entries: entries.length };
    faulted ||= fault?.kind === 'unknown_envelope' || fault?.kind === 'unknown_field';
    return jsonAnswer(200, body, { headers, entries: entries.length, faulted });
  };

  const read = (query: {
    from: Ms | null;
    to: Ms | null;
    position: Position | null;
    count: number;
    nowMs: Ms;
    accept: (fields: Readonly<Record<string, unknown>>) => boolean;
  }): Page => {
    const all = ledger.shelf.all();
    const skewMs = ledger.skewMs();
    const from = Math.max(query.from ?? 0, query.nowMs - behaviour.retentionMs);
    const to = query.to ?? Number.POSITIVE_INFINITY;
    const { position } = query;
    let index = ledger.shelf.firstNot(
      (entry) => entry.writtenMs <= to + skewMs && (position === null || isBefore(entry, position)),
    );
    const entries: QstashStored[] = [];
    while (--index >= 0) {
      const entry = all[index] as QstashStored;
      if (entry.writtenMs < from - skewMs) break;
      if (entry.timeMs < from || entry.timeMs > to || entry.visibleAtMs > query.nowMs) continue;
      if (!query.accept(entry.fields)) continue;
      if (entries.length === query.count) return { entries, more: true };
      entries.push(entry);
    }
    return { entries, more: false };
  };

  const render = (
    entries: readonly QstashStored[],
    next: string | null,
    envelope: string = behaviour.envelope,
    extra = '',
  ): string => {
    const ends = { absent: '', empty: '"cursor":"",', null: '"cursor":null,' };
    const cursor = next === null ? ends[behaviour.cursorAtEnd] : `"cursor":${JSON.stringify(next)},`;
    return `{${cursor}${extra}"${envelope}":[${entries.map((entry) => entry.text).join(',')}]}`;
  };

  const plantUnknown = (from: Ms | null, nowMs: Ms): void => {
    const atMs = Math.max(from ?? 0, nowMs - behaviour.retentionMs + 60_000);
    const entry = {
      time: atMs,
      messageId: `msg_unknown${atMs}`,
      state: 'PAUSED',
      url: 'https://example.com/',
    };
    ledger.add(
      [
        {
          entry: { ...entry, pausedBy: { actor: 'operator', since: atMs } },
          visibleAtMs: nowMs,
          writtenMs: atMs,
        },
      ],
      nowMs,
    );
  };

  const quotaHeaders = (state: QuotaState, resetMs: Ms): Record<string, string> => ({
    'burst-ratelimit-limit': `${state.limit}`,
    'burst-ratelimit-remaining': `${state.remaining}`,
    'burst-ratelimit-reset': `${behaviour.resetUnit === 's' ? Math.ceil(resetMs / 1000) : resetMs}`,
  });

  const refuseQuota = (
    headers: Record<string, string>,
    kind: 'json' | 'text',
    faulted: boolean,
  ): ApiAnswer =>
    kind === 'json'
      ? jsonAnswer(429, { error: 'Too Many Requests' }, { headers, faulted })
      : {
          status: 429,
          headers: { 'content-type': 'text/plain', ...headers },
          body: 'Too Many Requests',
          entries: 0,
          faulted,
        };

  return {
    owns: (path) => path === '/v2/logs' || path === '/v2/events',
    cursorOf,
    answer(request, fault) {
      const given =
        `${request.headers.authorization ?? ''}` || `Bearer ${request.params.get('qstash_token') ?? ''}`;
      if (fault?.kind === 'refuse' || given !== `Bearer ${token}`) {
        const status = fault?.kind === 'refuse' ? (fault.status ?? 401) : 401;
        return jsonAnswer(
          status,
          { error: 'unable to authenticate: invalid token' },
          { faulted: fault?.kind === 'refuse' },
        );
      }
      if (request.method !== 'GET') return jsonAnswer(405, { error: 'method not allowed' });
      if (fault?.kind === 'unavailable') return htmlAnswer(fault.status ?? 503);
      const state = quota?.take(request.nowMs) ?? null;
      if (fault?.kind === 'rate_limit') {
        const resetMs = request.nowMs + (fault.resetS ?? 1) * 1000;
        const shown = { limit: state?.limit ?? 100, remaining: 0, endsMs: resetMs };
        const headers = fault.headers === false ? {} : quotaHeaders(shown, resetMs);
        if (fault.retryAfterS !== undefined) headers['retry-after'] = `${fault.retryAfterS}`;
        return refuseQuota(headers, fault.body === 'text' ? 'text' : 'json', true);
      }
      if (state !== null && !state.granted) {
        return refuseQuota(quotaHeaders(state, state.endsMs), behaviour.quotaBody, false);
      }
      if (fault?.kind === 'not_json') return htmlAnswer(200);
      const headers = state !== null && behaviour.quotaHeadersOn200 ? quotaHeaders(state, state.endsMs) : {};
      if (behaviour.daily !== null) {
        headers['ratelimit-limit'] = `${behaviour.daily.limit}`;
        headers['ratelimit-remaining'] = `${behaviour.daily.remaining}`;
        headers['ratelimit-reset'] = `${Math.ceil((request.nowMs + 1) / 86_400_000) * 86_400}`;
      }
      return list(request, fault, headers);
    },
  };
}

function isBefore(a: Position, b: Position): boolean {
  return a.writtenMs < b.writtenMs || (a.writtenMs === b.writtenMs && a.sequence < b.sequence);
}

function readCursor(text: string): Position | null {
  const match = /^(\d{1,16})-(\d{1,16})$/.exec(text);
  return match === null ? null : { writtenMs: Number(match[1]), sequence: Number(match[2]) };
}

function readDate(params: URLSearchParams, name: string): Ms | null | 'bad' {
  const text = params.get(name);
  if (text === null || text === '') return null;
  return /^-?\d{1,16}$/.test(text) ? Number(text) : 'bad';
}
