import { LogkeepError } from '../errors.ts';
import { inSpan } from '../trace.ts';
import type { Api, HttpAnswer, HttpRequest } from './exchange.ts';

/**
 * One try of one request in a span of its own, as OpenTelemetry's conventions for HTTP clients say it; `resend` is 0
 * for the first try. The query of the address and every header stay out: filters may name a person.
 */
export function traceRequest(
  { label }: Pick<Api, 'label'>,
  { method, url }: Pick<HttpRequest, 'method' | 'url'>,
  resend: number,
  send: () => Promise<HttpAnswer>,
): Promise<HttpAnswer> {
  const attributes = {
    'http.request.method': method,
    'server.address': url.hostname,
    'server.port': url.port === '' ? (url.protocol === 'http:' ? 80 : 443) : Number(url.port),
    'url.full': url.origin + url.pathname,
    'logkeep.stream': label,
    ...(resend > 0 ? { 'http.request.resend_count': resend } : {}),
  };
  return inSpan(
    method,
    attributes,
    async (span) => {
      try {
        const answer = await send();
        span.setAttributes({ 'http.response.status_code': 200, 'http.response.body.size': answer.bytes });
        return answer;
      } catch (error) {
        const status = error instanceof LogkeepError ? error.status : null;
        if (status !== null) span.setAttribute('http.response.status_code', status);
        throw error;
      }
    },
    'client',
  );
}
