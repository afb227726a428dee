import type { Ms } from '../../model.ts';
import { type ApiAnswer, type ApiRequest, jsonAnswer } from '../exchange.ts';
import type { Fault } from '../faults.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import { decodeLogId, encodeLogId } from './id.ts';
import type { DatadogLedger, DatadogStored } from './ledger.ts';
import { compileSearch } from './match.ts';
import { SearchSyntaxError } from './query.ts';
import { type Place, runSearch } from './search.ts';
import { readTime } from './time.ts';

/** `POST /api/v1/logs-queries/list`: one answer to an authenticated request within quota. */
export type V1List = (request: ApiRequest, fault: Fault | null, headers: Record<string, string>) => ApiAnswer;

/** The v1 list over a ledger; `newRequestId` gives each answer its id. */
export function createV1List(
  ledger: DatadogLedger,
  behaviour: DatadogBehaviour,
  newRequestId: () => string,
  plantUnknown: (atMs: Ms, nowMs: Ms) => void,
): V1List {
  let previous: { body: string; entries: number } | null = null;

  return (request, fault, headers) => {
    const refuse = (message: string, faulted = false): ApiAnswer =>
      jsonAnswer(400, { error: { message, code: 'InvalidArgument' } }, { headers, faulted });
    const asked = readBody(request.body);
    if (asked === null) return refuse('Invalid request body');
    const startAt = typeof asked.startAt === 'string' && asked.startAt !== '' ? asked.startAt : null;
    const place = startAt === null ? null : placeOf(ledger, startAt);
    if ((startAt !== null && place === null) || fault?.kind === 'bad_cursor') {
      return refuse(`Invalid event id '${startAt}'`, fault?.kind === 'bad_cursor');
    }
    const time = typeof asked.time === 'object' && asked.time !== null ? asked.time : {};
    const from = readTime('from' in time ? time.from : undefined, request.nowMs);
    const to = readTime('to' in time ? time.to : undefined, request.nowMs);
    if (from === null || to === null) return refuse(`Invalid time.${from === null ? 'from' : 'to'}`);
    const sort = asked.sort ?? 'desc';
    if (sort !== 'asc' && sort !== 'desc') return refuse(`Invalid sort '${sort}'`);
    const limit = Number(asked.limit ?? behaviour.defaultLimit);
    const tooMany = behaviour.overMax === 'error' && limit > behaviour.maxLimit;
    if (!Number.isInteger(limit) || limit < 1 || tooMany) return refuse(`Invalid limit '${asked.limit}'`);
    let test: (log: DatadogStored) => boolean;
    try {
      test = compileSearch(typeof asked.query === 'string' ? asked.query : '');
    } catch (error) {
      if (error instanceof SearchSyntaxError) return refuse(`Invalid query: ${error.message}`);
      throw error;
    }
    let start = place;
    if (startAt !== null && place !== null && ledger.find(startAt) === null) {
      if (behaviour.lostStartAt === 'error') return refuse(`Invalid event id '${startAt}'`);
      if (behaviour.lostStartAt === 'start_over') start = null;
    }
    // The live service ignores a startAt outside of the window without a word.
    if (start !== null && (start.timeMs < from || start.timeMs > to)) start = null;
    if (fault?.kind === 'start_over') start = null;
    if (fault?.kind === 'repeat_page' && previous !== null) {
      return jsonAnswer(200, previous.body, { headers, entries: previous.entries, faulted: true });
    }
    if (fault?.kind === 'unknown_entry') {
      plantUnknown(sort === 'asc' ? Math.max(from, Math.min(to - 1, request.nowMs)) : from, request.nowMs);
    }

    const page = runSearch(
      ledger,
      behaviour,
      {
        from,
        to,
        test,
        indexes: typeof asked.index === 'string' ? asked.index.split(',').map((name) => name.trim()) : null,
        tier: 'indexes',
        ascending: sort === 'asc',
        limit: Math.min(limit, behaviour.maxLimit),
        start: start === null ? null : { place: start, inclusive: true },
      },
      request.nowMs,
    );
    let { logs } = page;
    let next = page.next === null ? null : idOf(page.next);
    let status = 'done';
    let faulted =
      fault?.kind === 'unknown_entry' || fault?.kind === 'start_over' || fault?.kind === 'compact';
    if (fault?.kind === 'partial') {
      status = 'timeout';
      logs = logs.slice(0, logs.length >> 1);
      next = null;
      faulted = true;
    } else if (fault?.kind === 'repeat_cursor' && next !== null) {
      next = startAt;
      faulted = true;
    } else if (fault?.kind === 'empty_page' && logs[0] !== undefined) {
      next = idOf(logs[0]);
      logs = [];
      faulted = true;
    }
    const ends = { null: '"nextLogId":null,', absent: '', empty: '"nextLogId":"",' };
    const body =
      `{"status":"${status}",${next === null ? ends[behaviour.nextAtEnd] : `"nextLogId":${JSON.stringify(next)},`}` +
      `${fault?.kind === 'unknown_field' ? '"elapsedMs":12,' : ''}"requestId":"${newRequestId()}",` +
      `"${fault?.kind === 'unknown_envelope' ? 'results' : 'logs'}":[${logs.map((log) => log.text).join(',')}]}`;
    faulted ||= fault?.kind === 'unknown_field' || fault?.kind === 'unknown_envelope';
    previous = { body, entries: logs.length };
    return jsonAnswer(200, body, { headers, entries: logs.length, faulted });
  };
}

/** The id of a log, or one that leads to it if its text has none. */
export function idOf(log: DatadogStored): string {
  return log.id || encodeLogId({ layout: 1, eventMs: log.timeMs, tie: log.tie, inner: log.inner });
}

/** Where the log of this id stands or would stand; null if the id says nothing. */
export function placeOf(ledger: DatadogLedger, id: string): Place | null {
  const known = ledger.find(id);
  if (known !== null) return known;
  const parts = decodeLogId(id);
  return parts === null ? null : { timeMs: parts.eventMs, tie: parts.tie, inner: parts.inner };
}

/** The body as an object, or null. */
export function readBody(body: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(body);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}
