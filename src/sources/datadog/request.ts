import type { Cursor, Span } from '../../model.ts';
import type { RawPage } from '../chain.ts';
import type { Api, HttpRequest } from '../exchange.ts';
import type { Http } from '../http.ts';
import type { RequestOptions } from '../source.ts';
import type { Ask, Search, Transport } from './transport.ts';

/** One stream's access to the log search. */
export interface DatadogAccess {
  readonly http: Http;
  readonly api: Api;
  /** Address of the API, without a trailing slash. */
  readonly url: string;
  readonly apiKey: string;
  readonly appKey: string;
  readonly search: Search;
  readonly transport: Transport;
  /** Entries asked for per request. */
  readonly pageSize: number;
}

/** One request for up to `limit` logs of the window, ascending unless said otherwise. */
export function requestPage(
  access: DatadogAccess,
  turn: RequestOptions & Pick<HttpRequest, 'onTurn'>,
  window: Span,
  cursor: Cursor | null,
  limit: number,
  order: Ask['order'] = 'ascending',
): Promise<RawPage> {
  const { transport } = access;
  return access.http.request(
    access.api,
    {
      ...turn,
      method: 'POST',
      url: new URL(access.url + transport.path),
      headers: {
        'content-type': 'application/json',
        'dd-api-key': access.apiKey,
        'dd-application-key': access.appKey,
      },
      body: transport.body(access.search, { window, cursor, limit, order }),
      hasCursor: cursor !== null,
      divisible: limit > 1,
    },
    (answer) => {
      const { entries, next } = transport.read(answer);
      return { entries, next: next as Cursor | null, dateMs: answer.dateMs, bytes: answer.bytes };
    },
  );
}
