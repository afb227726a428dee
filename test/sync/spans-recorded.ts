import { AsyncLocalStorage } from 'node:async_hooks';
import {
  type Attributes,
  type Context,
  type ContextManager,
  context,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  type SpanStatus,
  type Tracer,
  trace,
} from '@opentelemetry/api';

/** A span as it ended. */
export interface Recorded {
  readonly name: string;
  readonly kind: number;
  readonly parent: string | null;
  readonly attributes: Attributes;
  readonly status: SpanStatus;
}

/** What a user's SDK would do: keeps every span that ends, in order, until `stop`. */
export function recordSpans(): { readonly spans: Recorded[]; stop(): void } {
  const spans: Recorded[] = [];
  const names = new Map<string, string>();
  let count = 0;
  const tracer: Tracer = {
    startSpan(name, options = {}, within = context.active()) {
      const id = String(++count).padStart(16, '0');
      names.set(id, name);
      const parent = trace.getSpanContext(within)?.spanId;
      const attributes: Attributes = { ...options.attributes };
      let status: SpanStatus = { code: 0 };
      const spanContext: SpanContext = { traceId: '1'.repeat(32), spanId: id, traceFlags: 1 };
      const span: Span = {
        spanContext: () => spanContext,
        setAttribute(key, value) {
          attributes[key] = value;
          return span;
        },
        setAttributes(more) {
          Object.assign(attributes, more);
          return span;
        },
        addEvent: () => span,
        addLink: () => span,
        addLinks: () => span,
        setStatus(said) {
          status = said;
          return span;
        },
        updateName: () => span,
        end: () =>
          void spans.push({
            name,
            kind: options.kind ?? 0,
            parent: parent === undefined ? null : (names.get(parent) ?? null),
            attributes,
            status,
          }),
        isRecording: () => true,
        recordException: () => {},
      };
      return span;
    },
    startActiveSpan(name: string, ...rest: unknown[]) {
      const work = rest.at(-1) as (span: Span) => unknown;
      const span = tracer.startSpan(name, rest.length > 1 ? (rest[0] as object) : {});
      return context.with(trace.setSpan(context.active(), span), () => work(span)) as never;
    },
  };
  const storage = new AsyncLocalStorage<Context>();
  const manager: ContextManager = {
    active: () => storage.getStore() ?? ROOT_CONTEXT,
    with: (within, work, self, ...args) => storage.run(within, () => work.call(self as never, ...args)),
    bind: (_, target) => target,
    enable: () => manager,
    disable: () => manager,
  };
  trace.setGlobalTracerProvider({ getTracer: () => tracer });
  context.setGlobalContextManager(manager);
  return {
    spans,
    stop() {
      trace.disable();
      context.disable();
    },
  };
}
