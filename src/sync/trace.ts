import type { Page, Stream } from '../sources/source.ts';
import { inSpan } from '../trace.ts';
import type { Ledger } from './ledger.ts';

/** `stream` with a span around the wait for each page: its requests, retries and waits for quota. */
export function traceStream(stream: Stream): Stream {
  return {
    ...stream,
    read(options) {
      const pages = stream.read(options)[Symbol.asyncIterator]();
      const { meter } = options;
      const next = (): Promise<IteratorResult<Page>> => {
        const before = { ...meter };
        return inSpan('logkeep.page', { 'logkeep.stream': stream.id }, async (span) => {
          try {
            const result = await pages.next();
            if (result.done !== true) span.setAttribute('logkeep.bytes', result.value.bytes);
            return result;
          } finally {
            span.setAttributes({
              'logkeep.requests': meter.requests - before.requests,
              'logkeep.retries': meter.retries - before.retries,
              'logkeep.wait_ms': Math.round(meter.waitMs - before.waitMs),
            });
          }
        });
      };
      return {
        [Symbol.asyncIterator]: () => ({
          next,
          return: async (value) => (await pages.return?.(value)) ?? { done: true, value },
        }),
      };
    },
  };
}

/** `ledger` with a span around each commit. */
export function traceLedger(ledger: Ledger, stream: string): Ledger {
  return {
    next: (plan, see) => ledger.next(plan, see),
    openBatch: () => ledger.openBatch(),
    commit: (lease, batch) => {
      const attributes = {
        'db.system.name': 'postgresql',
        'db.operation.name': 'COMMIT',
        'logkeep.stream': stream,
        'logkeep.pages': batch.pages,
        'logkeep.entries': batch.content.fetched,
      };
      return inSpan(
        'logkeep.commit',
        attributes,
        async (span) => {
          const stored = await ledger.commit(lease, batch);
          span.setAttributes({
            'logkeep.new': stored.fresh,
            'logkeep.known': stored.known,
            'logkeep.quarantined': stored.quarantined,
          });
          return stored;
        },
        'client',
      );
    },
    replan: (lease, rest, oversize) => ledger.replan(lease, rest, oversize),
    retract: (nowMs) => ledger.retract(nowMs),
    renew: (lease) => ledger.renew(lease),
    release: (lease, once) => ledger.release(lease, once),
    note: (names) => ledger.note(names),
    spend: (meter, quota, skewMs, pace) => ledger.spend(meter, quota, skewMs, pace),
    end: (outcome, error) => ledger.end(outcome, error),
  };
}
