import type { Ms } from '../../model.ts';
import { type ApiAnswer, type ApiRequest, jsonAnswer } from '../exchange.ts';
import type { Fault } from '../faults.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import type { DatadogLedger, DatadogStored } from './ledger.ts';
import { compileSearch } from './match.ts';
import { SearchSyntaxError } from './query.ts';
import { runSearch, type SearchPage } from './search.ts';
import { readTime } from './time.ts';
import { idOf, placeOf, readBody } from './v1.ts';

/** `POST /api/v2/logs/events/search` and `GET /api/v2/logs/events`: one answer within quota. */
export type V2Search = (
  request: ApiRequest,
  fault: Fault | null,
  headers: Record<string, string>,
) => ApiAnswer;

interface Asked {
  readonly from: unknown;
  readonly to: unknown;
  readonly query: string | null;
  readonly indexes: readonly string[] | null;
  readonly tier: string | null;
  readonly cursor: string | null;
  readonly limit: string | null;
  readonly sort: string | null;
}

/** The v2 search over a ledger. */
export function createV2Search(
  ledger: DatadogLedger,
  behaviour: DatadogBehaviour,
  newRequestId: () => string,
  plantUnknown: (atMs: Ms, nowMs: Ms) => void,
): V2Search {
  let previous: { body: string; entries: number } | null = null;

  return (request, fault, headers) => {
    const refuse = (message: string, faulted = false): ApiAnswer =>
      jsonAnswer(400, { errors: [message] }, { headers, faulted });
    const asked = request.method === 'GET' ? askedByParams(request.params) : askedByBody(request.body);
    if (asked === null) return refuse('invalid_argument(Invalid request body)');
    const { nowMs } = request;
    const from = asked.from === undefined ? nowMs - 900_000 : readTime(asked.from, nowMs);
    const to = asked.to === undefined ? nowMs : readTime(asked.to, nowMs);
    if (from === null || to === null)
      return refuse(`invalid_argument(Invalid ${from === null ? 'from' : 'to'})`);
    const limit = Number(asked.limit ?? behaviour.defaultLimit);
    const tooMany = behaviour.overMax === 'error' && limit > behaviour.maxLimit;
    if (!Number.isInteger(limit) || limit < 1 || tooMany)
      return refuse('invalid_argument(Invalid page limit)');
    const sort = asked.sort ?? '-timestamp';
    if (sort !== 'timestamp' && sort !== '-timestamp')
      return refuse(`invalid_argument(Invalid sort '${sort}')`);
    let test: (log: DatadogStored) => boolean;
    try {
      test = compileSearch(asked.query ?? '');
    } catch (error) {
      if (error instanceof SearchSyntaxError)
        return refuse(`invalid_argument(Invalid query: ${error.message})`);
      throw error;
    }
    const cursor = asked.cursor === null ? null : readCursor(asked.cursor);
    const place = cursor === null ? null : placeOf(ledger, cursor.id);
    const lost = asked.cursor !== null && place === null;
    if (fault?.kind === 'bad_cursor' || (lost && behaviour.badCursor === 'error')) {
      return refuse('invalid_argument(Invalid cursor)', fault?.kind === 'bad_cursor');
    }
    if (lost && behaviour.badCursor === 'empty') return jsonAnswer(200, '{"data":[]}', { headers });
    const start = fault?.kind === 'start_over' || cursor === null || place === null ? null : place;
    if (fault?.kind === 'repeat_page' && previous !== null) {
      return jsonAnswer(200, previous.body, { headers, entries: previous.entries, faulted: true });
    }
    if (fault?.kind === 'unknown_entry') {
      plantUnknown(sort === 'timestamp' ? Math.max(from, Math.min(to - 1, nowMs)) : from, nowMs);
    }

    const page = runSearch(
      ledger,
      behaviour,
      {
        from,
        to,
        test,
        indexes: asked.indexes,
        tier: asked.tier ?? 'indexes',
        ascending: sort === 'timestamp',
        limit: Math.min(limit, behaviour.maxLimit),
        start: start === null ? null : { place: start, inclusive: cursor?.inclusive ?? false },
      },
      nowMs,
    );
    const { body, entries, faulted } = render(page, asked, request, fault);
    previous = { body, entries };
    return jsonAnswer(200, body, { headers, entries, faulted });
  };

  function render(
    page: SearchPage,
    asked: Asked,
    request: ApiRequest,
    fault: Fault | null,
  ): { body: string; entries: number; faulted: boolean } {
    let { logs } = page;
    const last = logs.at(-1);
    let after =
      last === undefined || (page.next === null && !behaviour.v2CursorAtEnd) ? null : writeCursor(idOf(last));
    let faulted =
      fault?.kind === 'unknown_entry' || fault?.kind === 'start_over' || fault?.kind === 'compact';
    let status = 'done';
    let warnings = '';
    if (fault?.kind === 'partial') {
      logs = logs.slice(0, logs.length >> 1);
      faulted = true;
      if (fault.how === 'status') status = 'timeout';
      else {
        warnings =
          ',"warnings":[{"code":"unknown_index","detail":"indexes: foo, bar","title":"One or several indexes are missing or invalid, results hold data from the other indexes"}]';
      }
    } else if (fault?.kind === 'repeat_cursor' && after !== null && page.next !== null) {
      after = asked.cursor;
      faulted = true;
    } else if (fault?.kind === 'empty_page' && logs[0] !== undefined) {
      after = writeCursor(idOf(logs[0]), true);
      logs = [];
      faulted = true;
    } else if (fault?.kind === 'unknown_field' || fault?.kind === 'unknown_envelope') faulted = true;
    const extra = fault?.kind === 'unknown_field' ? '"included":[],' : '';
    const envelope = fault?.kind === 'unknown_envelope' ? 'results' : 'data';
    const data = `${extra}"${envelope}":[${logs.map((log) => log.textV2).join(',')}]`;
    if (after === null && logs.length === 0 && fault?.kind !== 'partial') {
      return { body: `{${data}}`, entries: 0, faulted };
    }
    const pageMeta = after === null ? '' : `"page":{"after":"${after}"}`;
    const fullMeta = `"elapsed":${3 + logs.length},${pageMeta}${pageMeta && ','}"request_id":"${newRequestId()}","status":"${status}"${warnings}`;
    const meta = behaviour.v2Meta === 'full' || fault?.kind === 'partial' ? fullMeta : pageMeta;
    const links = after === null ? '' : `,"links":{"next":${JSON.stringify(linkTo(asked, after, request))}}`;
    return { body: `{"meta":{${meta}},${data}${links}}`, entries: logs.length, faulted };
  }

  function linkTo(asked: Asked, after: string, request: ApiRequest): string {
    const pairs: readonly (readonly [string, unknown])[] = [
      ['filter[from]', asked.from],
      ['filter[indexes]', asked.indexes?.join(',')],
      ['filter[query]', asked.query],
      ['filter[to]', asked.to],
      ['page[cursor]', after],
      ['page[limit]', asked.limit],
      ['sort', asked.sort],
    ];
    const of2021 = ['sort', 'filter[query]', 'page[cursor]', 'page[limit]', 'filter[from]', 'filter[to]'];
    const rank = ([name]: readonly [string, unknown]): number => of2021.indexOf(name);
    const ordered = behaviour.linksOrder === 'name' ? pairs : pairs.toSorted((a, b) => rank(a) - rank(b));
    const query = ordered
      .filter(([, value]) => value !== undefined && value !== null)
      .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(`${value}`)}`);
    const origin = behaviour.linksOrigin ?? `http://${request.headers.host ?? '127.0.0.1'}`;
    return `${origin}/api/v2/logs/events?${query.join('&')}`;
  }
}

/** The cursor that a v2 request carries, if any. */
export function v2CursorOf(request: ApiRequest): string | null {
  const asked = request.method === 'GET' ? askedByParams(request.params) : askedByBody(request.body);
  return asked?.cursor ?? null;
}

function askedByParams(params: URLSearchParams): Asked {
  return {
    from: params.get('filter[from]') ?? undefined,
    to: params.get('filter[to]') ?? undefined,
    query: params.get('filter[query]'),
    indexes: params.get('filter[indexes]')?.split(',') ?? null,
    tier: params.get('filter[storage_tier]'),
    cursor: params.get('page[cursor]'),
    limit: params.get('page[limit]'),
    sort: params.get('sort'),
  };
}

function askedByBody(body: string): Asked | null {
  const fields = body === '' ? {} : readBody(body);
  if (fields === null) return null;
  const filter = (fields.filter ?? {}) as Readonly<Record<string, unknown>>;
  const page = (fields.page ?? {}) as Readonly<Record<string, unknown>>;
  const text = (value: unknown): string | null => (value === undefined || value === null ? null : `${value}`);
  return {
    from: filter.from,
    to: filter.to,
    query: text(filter.query),
    indexes: Array.isArray(filter.indexes) ? filter.indexes.map(String) : null,
    tier: text(filter.storage_tier),
    cursor: text(page.cursor),
    limit: text(page.limit),
    sort: text(fields.sort),
  };
}

function writeCursor(id: string, inclusive = false): string {
  return Buffer.from(JSON.stringify(inclusive ? { after: id, inclusive } : { after: id })).toString(
    'base64url',
  );
}

function readCursor(cursor: string): { id: string; inclusive: boolean } | null {
  const fields = readBody(Buffer.from(cursor, 'base64url').toString());
  return typeof fields?.after === 'string'
    ? { id: fields.after, inclusive: fields.inclusive === true }
    : null;
}
