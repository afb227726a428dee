import { type Attributes, type Span, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { LogkeepError } from './errors.ts';

export type { Attributes, Span } from '@opentelemetry/api';

/** `client`: a call to another system; `internal`: work of our own. */
export type Kind = 'internal' | 'client';

/**
 * Runs `work` in a span of the OpenTelemetry SDK that the user brought, if any: without one this is a call and
 * nothing more. A failure marks the span with its kind and is thrown on. Attributes hold no secret and no entry.
 */
export function inSpan<T>(
  name: string,
  attributes: Attributes,
  work: (span: Span) => Promise<T>,
  kind: Kind = 'internal',
): Promise<T> {
  const options = { attributes, kind: kind === 'client' ? SpanKind.CLIENT : SpanKind.INTERNAL };
  return trace.getTracer('logkeep').startActiveSpan(name, options, async (span) => {
    try {
      return await work(span);
    } catch (error) {
      markFailed(span, error);
      throw error;
    } finally {
      span.end();
    }
  });
}

/** Marks a span as failed: by the kind of a failed call, else by the class of the error, whose text may hold anything. */
export function markFailed(span: Span, error: unknown): void {
  const known = error instanceof LogkeepError;
  const type = known ? error.kind : error instanceof Error ? error.name : typeof error;
  span.setAttribute('error.type', type);
  span.setStatus({ code: SpanStatusCode.ERROR, ...(known ? { message: error.message } : {}) });
}
