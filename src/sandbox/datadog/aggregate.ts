import { type ApiAnswer, type ApiRequest, jsonAnswer } from '../exchange.ts';
import type { Fault } from '../faults.ts';
import type { DatadogBehaviour } from './behaviour.ts';
import type { DatadogLedger, DatadogStored } from './ledger.ts';
import { compileSearch } from './match.ts';
import { SearchSyntaxError } from './query.ts';
import { runSearch } from './search.ts';
import { readTime } from './time.ts';
import { readBody } from './v1.ts';

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

interface Compute {
  readonly type: 'total' | 'timeseries';
  readonly intervalMs: number;
}

/**
 * `POST /api/v2/logs/analytics/aggregate`, as far as counting goes: totals and time series without groups. Time
 * series leave empty intervals out and begin on whole ones, as recorded.
 */
export function createV2Aggregate(
  ledger: DatadogLedger,
  behaviour: DatadogBehaviour,
  newRequestId: () => string,
): (request: ApiRequest, fault: Fault | null, headers: Record<string, string>) => ApiAnswer {
  return (request, fault, headers) => {
    const refuse = (message: string): ApiAnswer =>
      jsonAnswer(400, { errors: [`invalid_argument(${message})`] }, { headers });
    const asked = readBody(request.body);
    if (asked === null) return refuse('Invalid request body');
    const { nowMs } = request;
    const filter = (asked.filter ?? {}) as Readonly<Record<string, unknown>>;
    const from = filter.from === undefined ? nowMs - 900_000 : readTime(filter.from, nowMs);
    const to = filter.to === undefined ? nowMs : readTime(filter.to, nowMs);
    if (from === null || to === null) return refuse(`Invalid ${from === null ? 'from' : 'to'}`);
    if (asked.group_by !== undefined) return refuse('Groups are not served here');
    const computes = (Array.isArray(asked.compute) ? asked.compute : []).map(readCompute);
    if (computes.length === 0 || computes.includes(null)) return refuse('Invalid compute');
    let test: (log: DatadogStored) => boolean;
    try {
      test = compileSearch(typeof filter.query === 'string' ? filter.query : '*');
    } catch (error) {
      if (error instanceof SearchSyntaxError) return refuse(`Invalid query: ${error.message}`);
      throw error;
    }
    const { logs } = runSearch(
      ledger,
      behaviour,
      {
        from,
        to,
        test,
        indexes: Array.isArray(filter.indexes) ? filter.indexes.map(String) : null,
        tier: typeof filter.storage_tier === 'string' ? filter.storage_tier : 'indexes',
        ascending: true,
        limit: Number.POSITIVE_INFINITY,
        start: null,
      },
      nowMs,
    );
    const partial = fault?.kind === 'partial';
    const counted = partial ? logs.slice(0, logs.length >> 1) : logs;
    const bucket = {
      computes: Object.fromEntries(
        computes.map((compute, n) => [`c${n}`, countOf(compute as Compute, counted)]),
      ),
      by: {},
    };
    const meta = {
      status: partial && fault.how === 'status' ? 'timeout' : 'done',
      request_id: newRequestId(),
      elapsed: 3 + logs.length,
      ...(partial && fault.how !== 'status'
        ? { warnings: [{ code: 'unknown_index', detail: 'indexes: foo', title: 'An index is missing' }] }
        : {}),
    };
    const envelope = fault?.kind === 'unknown_envelope' ? 'groups' : 'buckets';
    return jsonAnswer(
      200,
      { meta, data: { [envelope]: counted.length === 0 ? [] : [bucket] } },
      { headers, entries: 0, faulted: partial || fault?.kind === 'unknown_envelope' },
    );
  };
}

function readCompute(value: unknown): Compute | null {
  const { aggregation, type = 'total', interval } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (aggregation !== 'count' || (type !== 'total' && type !== 'timeseries')) return null;
  if (type === 'total') return { type, intervalMs: 0 };
  const [, count, unit] = /^(\d{1,5})([smhd])$/.exec(typeof interval === 'string' ? interval : '') ?? [];
  const intervalMs = Number(count) * (UNITS[unit ?? ''] ?? 0);
  return intervalMs > 0 ? { type, intervalMs } : null;
}

function countOf({ type, intervalMs }: Compute, logs: readonly DatadogStored[]): unknown {
  if (type === 'total') return logs.length;
  const counts = new Map<number, number>();
  for (const { timeMs } of logs) {
    const begin = timeMs - (timeMs % intervalMs);
    counts.set(begin, (counts.get(begin) ?? 0) + 1);
  }
  return [...counts].map(([begin, value]) => ({ value, time: new Date(begin).toISOString() }));
}
