import type { Clock } from '../../src/clock.ts';
import type { Ms } from '../../src/model.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';

/** 2026-03-01T12:00:00Z: a now for tests that control time. */
export const NOON = Date.UTC(2026, 2, 1, 12);

export interface ManualClock extends Clock {
  set(nowMs: Ms): void;
}

/** A clock that stands still until it is told otherwise. */
export function manualClock(startMs: Ms = NOON): ManualClock {
  let nowMs = startMs;
  return {
    now: () => nowMs,
    set: (ms) => {
      nowMs = ms;
    },
    sleep: async (ms) => {
      nowMs += ms;
    },
  };
}

export interface Reply<Body> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: Body;
}

export interface QstashBody {
  readonly cursor?: string | null;
  readonly events: readonly Record<string, unknown>[];
  readonly logs?: readonly Record<string, unknown>[];
  readonly error?: string;
}

export interface V1Body {
  readonly status: string;
  readonly nextLogId?: string | null;
  readonly logs: readonly { readonly id: string; readonly content: Record<string, unknown> }[];
  readonly error?: { readonly message: string; readonly code: string };
}

export interface V2Body {
  readonly data: readonly { readonly id: string; readonly attributes: Record<string, unknown> }[];
  readonly meta?: {
    readonly status?: string;
    readonly page?: { readonly after: string };
    readonly warnings?: unknown;
  };
  readonly links?: { readonly next: string };
  readonly errors?: readonly string[];
}

/** One page of `/v2/logs`. */
export function askQstash(
  sandbox: Sandbox,
  params: Record<string, string | number> = {},
  path = '/v2/logs',
): Promise<Reply<QstashBody>> {
  const query = new URLSearchParams(Object.entries(params).map(([name, value]) => [name, `${value}`]));
  const headers = { authorization: `Bearer ${sandbox.env.QSTASH_TOKEN}` };
  return reply(fetch(`${sandbox.url}${path}?${query}`, { headers }));
}

/** One page of v1. */
export function askV1(sandbox: Sandbox, body: object): Promise<Reply<V1Body>> {
  return reply(post(sandbox, '/api/v1/logs-queries/list', body));
}

/** One page of v2. */
export function askV2(sandbox: Sandbox, body: object): Promise<Reply<V2Body>> {
  return reply(post(sandbox, '/api/v2/logs/events/search', body));
}

/** A v2 GET; `pathAndQuery` follows the origin. */
export function getV2(sandbox: Sandbox, pathAndQuery: string): Promise<Reply<V2Body>> {
  return reply(fetch(`${sandbox.url}${pathAndQuery}`, { headers: keys(sandbox) }));
}

/** Every page of `/v2/logs` to the end, entries in the order given; throws on any status but 200. */
export async function walkQstash(
  sandbox: Sandbox,
  params: Record<string, string | number> = {},
): Promise<{ entries: readonly Record<string, unknown>[]; pages: number }> {
  const entries: Record<string, unknown>[] = [];
  let cursor: string | null | undefined;
  let pages = 0;
  do {
    const page = await askQstash(sandbox, cursor ? { ...params, cursor } : params);
    if (page.status !== 200) throw new Error(`page ${pages}: ${page.status} ${page.text}`);
    entries.push(...(page.body.events ?? page.body.logs));
    cursor = page.body.cursor;
    pages++;
  } while (cursor && pages < 1000);
  return { entries, pages };
}

/** Every page of v1 to the end; `between` runs after each page. */
export async function walkV1(
  sandbox: Sandbox,
  body: object,
  between: () => void = () => {},
): Promise<{ logs: V1Body['logs']; pages: number }> {
  const logs: V1Body['logs'][number][] = [];
  let startAt: string | null | undefined;
  let pages = 0;
  do {
    const page = await askV1(sandbox, startAt ? { ...body, startAt } : body);
    if (page.status !== 200) throw new Error(`page ${pages}: ${page.status} ${page.text}`);
    logs.push(...page.body.logs);
    startAt = page.body.nextLogId;
    pages++;
    between();
  } while (startAt && pages < 1000);
  return { logs, pages };
}

function post(sandbox: Sandbox, path: string, body: object): Promise<Response> {
  return fetch(`${sandbox.url}${path}`, {
    method: 'POST',
    headers: { ...keys(sandbox), 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
}

function keys(sandbox: Sandbox): Record<string, string> {
  return { 'dd-api-key': sandbox.env.DD_API_KEY, 'dd-application-key': sandbox.env.DD_APP_KEY };
}

async function reply<Body>(pending: Promise<Response>): Promise<Reply<Body>> {
  const response = await pending;
  const text = await response.text();
  let body = {} as Body;
  try {
    body = JSON.parse(text) as Body;
  } catch {
    // Not every answer is JSON: the text is there to look at.
  }
  return { status: response.status, headers: response.headers, text, body };
}
