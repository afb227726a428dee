import type { Ms } from '../model.ts';
import type { Fault } from './faults.ts';

/** Which of the two stand-ins. */
export type Api = 'qstash' | 'datadog';

/** A request as the stand-ins see it. */
export interface ApiRequest {
  readonly method: string;
  readonly path: string;
  readonly params: URLSearchParams;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
  /** The sandbox's clock when the request had arrived. */
  readonly nowMs: Ms;
}

/** An answer before it goes over the wire. */
export interface ApiAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
  /** Entries in the body. */
  readonly entries: number;
  /** Whether the fault that was asked for changed this answer. */
  readonly faulted: boolean;
}

/** One stand-in, without the wire. */
export interface ApiHandler {
  /** Whether the path is one of this API's. */
  owns(path: string): boolean;
  /** The cursor that the request carries, if any. */
  cursorOf(request: ApiRequest): string | null;
  answer(request: ApiRequest, fault: Fault | null): ApiAnswer;
}

/** A JSON answer. */
export function jsonAnswer(
  status: number,
  body: string | object,
  options: { headers?: Record<string, string>; entries?: number; faulted?: boolean } = {},
): ApiAnswer {
  return {
    status,
    headers: { 'content-type': 'application/json', ...options.headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
    entries: options.entries ?? 0,
    faulted: options.faulted ?? false,
  };
}

const TITLES: Readonly<Record<number, string>> = {
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Time-out',
};

/** What a load balancer says instead of JSON. */
export function htmlAnswer(status: number): ApiAnswer {
  const title = `${status} ${TITLES[status] ?? 'OK'}`;
  return {
    status,
    headers: { 'content-type': 'text/html' },
    body: `<html>\r\n<head><title>${title}</title></head>\r\n<body>\r\n<center><h1>${title}</h1></center>\r\n</body>\r\n</html>\r\n`,
    entries: 0,
    faulted: true,
  };
}
