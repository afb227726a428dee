import type { Ms } from '../model.ts';
import type { Api } from './exchange.ts';
import type { Sandbox, TruthOptions } from './sandbox.ts';

/** What a sandbox says of itself: a JSON document in pieces, as it may be long. */
export interface Inspection {
  readonly status: number;
  readonly pieces: Iterable<string>;
}

/** Answers a request below `/sandbox/`. */
export type Inspect = (method: string, url: URL) => Inspection;

const APIS: readonly Api[] = ['qstash', 'datadog'];
/** Entries in a piece. */
const PIECE = 1_000;

/**
 * `GET /sandbox/truth` (`api`, `from`, `to`, `visible_at`, `text=true`): what a sandbox holds, whether or not its APIs
 * show it now. `GET /sandbox/requests` (`api`): what it was asked.
 */
export function createInspect(sandbox: Pick<Sandbox, Api | 'requests'>): Inspect {
  const shows: Readonly<Record<string, (params: URLSearchParams) => Iterable<string>>> = {
    '/sandbox/truth': (params) => truthOf(sandbox, params),
    '/sandbox/requests': (params) => requestsOf(sandbox, params),
  };
  return (method, { pathname, searchParams }) => {
    const show = shows[pathname];
    if (show === undefined) return refusal(404, `${pathname}: expected /sandbox/truth or /sandbox/requests`);
    if (method !== 'GET') return refusal(405, `${method}: expected GET`);
    try {
      return { status: 200, pieces: show(searchParams) };
    } catch (error) {
      if (error instanceof RangeError) return refusal(400, error.message);
      throw error;
    }
  };
}

function truthOf({ qstash, datadog }: Pick<Sandbox, Api>, params: URLSearchParams): Iterable<string> {
  const query = queryOf(params);
  const withText = params.get('text') === 'true';
  const lists: Readonly<Record<Api, () => Iterable<object>>> = {
    qstash: () =>
      lazily(qstash.truth(query), ({ fields, timeMs, visibleAtMs, text }) => ({
        id: fields.messageId ?? null,
        state: fields.state ?? null,
        time: iso(timeMs),
        visible_at: iso(visibleAtMs),
        ...(withText ? { text } : {}),
      })),
    datadog: () =>
      lazily(datadog.truth(query), ({ id, inner, timeMs, visibleAtMs, text }) => ({
        id,
        event_id: inner,
        time: iso(timeMs),
        visible_at: iso(visibleAtMs),
        ...(withText ? { text } : {}),
      })),
  };
  return documentOf(apisOf(params).map((api) => [api, lists[api]()]));
}

function requestsOf({ requests }: Pick<Sandbox, 'requests'>, params: URLSearchParams): Iterable<string> {
  const apis = apisOf(params);
  const asked = requests().filter(({ api }) => apis.includes(api));
  return documentOf([['requests', lazily(asked, ({ atMs, ...rest }) => ({ at: iso(atMs), ...rest }))]]);
}

/** An object of lists as JSON, in pieces. */
function* documentOf(lists: readonly (readonly [name: string, list: Iterable<object>])[]): Generator<string> {
  let piece = '{';
  let count = 0;
  for (const [index, [name, list]] of lists.entries()) {
    piece += `${index === 0 ? '' : ',\n'}${JSON.stringify(name)}:[`;
    let first = true;
    for (const one of list) {
      piece += `${first ? '\n' : ',\n'}${JSON.stringify(one)}`;
      first = false;
      if (++count % PIECE > 0) continue;
      yield piece;
      piece = '';
    }
    piece += ']';
  }
  yield `${piece}}\n`;
}

function* lazily<A, B>(list: Iterable<A>, make: (one: A) => B): Generator<B> {
  for (const one of list) yield make(one);
}

function apisOf(params: URLSearchParams): readonly Api[] {
  const said = params.get('api');
  const chosen = APIS.filter((api) => said === null || api === said);
  if (chosen.length === 0)
    throw new RangeError(`api: ${JSON.stringify(said)}: expected ${APIS.join(' or ')}`);
  return chosen;
}

function queryOf(params: URLSearchParams): TruthOptions<never> {
  const [from, to, visibleAt] = ['from', 'to', 'visible_at'].map((name) => timeOf(params, name));
  return {
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(visibleAt === undefined ? {} : { visibleAt }),
  };
}

function timeOf(params: URLSearchParams, name: string): Ms | undefined {
  const said = params.get(name);
  if (said === null) return undefined;
  const ms = /^\d+$/.test(said) ? Number(said) : Date.parse(said);
  if (!Number.isNaN(ms)) return ms;
  throw new RangeError(
    `${name}: ${JSON.stringify(said)}: expected ms since 1970, or a time such as 2026-11-01T00:00:00Z`,
  );
}

/** Null: never. */
function iso(ms: Ms): string | null {
  const date = new Date(ms);
  return Number.isNaN(+date) ? null : date.toISOString();
}

function refusal(status: number, error: string): Inspection {
  return { status, pieces: [`${JSON.stringify({ error })}\n`] };
}
