import { createDice } from './dice.ts';
import type { Api } from './exchange.ts';

/** What can go wrong with one request, on request. Times are ms unless the name says otherwise. */
export type Fault =
  /** 429. With the quota headers unless `headers` is false; they (and `retryAfterS`) say when to come again. */
  | {
      readonly kind: 'rate_limit';
      readonly headers?: boolean;
      readonly body?: 'json' | 'short' | 'pending' | 'text';
      /** Default 1. */
      readonly resetS?: number;
      readonly retryAfterS?: number;
    }
  /** 5xx with an HTML body; default 503. */
  | { readonly kind: 'unavailable'; readonly status?: 500 | 502 | 503 | 504 }
  /** The connection is reset before the answer or in the middle of its body. */
  | { readonly kind: 'reset'; readonly when?: 'before' | 'body' }
  /** Content-Length promises more than is sent, then the connection is closed. */
  | { readonly kind: 'cut' }
  /** The right answer, after `ms` of real time. */
  | { readonly kind: 'slow'; readonly ms: number }
  /** No answer at all until the client or the sandbox closes. */
  | { readonly kind: 'silent' }
  /** 200 with half of the page: v1 a status that is not done; v2 a warning or a status `timeout`. */
  | { readonly kind: 'partial'; readonly how?: 'status' | 'warning' }
  /** Datadog's bodies of a query that took too long; default status 504. */
  | {
      readonly kind: 'query_timeout';
      readonly body?: 'deadline' | 'request' | 'query';
      readonly status?: number;
    }
  /** The right page, but its cursor is the one that the request carried. */
  | { readonly kind: 'repeat_cursor' }
  /** The previous answer once more, to a request that carried a cursor. */
  | { readonly kind: 'repeat_page' }
  /** No entries, and a cursor behind which they all are. */
  | { readonly kind: 'empty_page' }
  /** The cursor is ignored: the first page again. */
  | { readonly kind: 'start_over' }
  /** 400 to a request that carried a cursor. */
  | { readonly kind: 'bad_cursor' }
  /** Datadog's storage is compacted before a page that is not the first: raw ids change, inner ids stay. */
  | { readonly kind: 'compact' }
  /** A key beside the entries that nobody documented. */
  | { readonly kind: 'unknown_field' }
  /** An entry with an unknown state and unknown fields joins the far end of the window (and the truth). */
  | { readonly kind: 'unknown_entry' }
  /** The entries come under a key that nobody knows. */
  | { readonly kind: 'unknown_envelope' }
  /** 200 with an HTML body. */
  | { readonly kind: 'not_json' }
  | { readonly kind: 'wrong_date'; readonly byMs: number }
  | { readonly kind: 'no_date' }
  /** The credentials are refused; default 401 for QStash, 403 for Datadog. */
  | { readonly kind: 'refuse'; readonly status?: 401 | 403 };

/** Name of a fault. */
export type FaultKind = Fault['kind'];

/** Which faults each API can have. */
export const FAULT_KINDS: Readonly<Record<FaultKind, readonly Api[]>> = {
  rate_limit: ['qstash', 'datadog'],
  unavailable: ['qstash', 'datadog'],
  reset: ['qstash', 'datadog'],
  cut: ['qstash', 'datadog'],
  slow: ['qstash', 'datadog'],
  silent: ['qstash', 'datadog'],
  partial: ['datadog'],
  query_timeout: ['datadog'],
  repeat_cursor: ['qstash', 'datadog'],
  repeat_page: ['qstash', 'datadog'],
  empty_page: ['qstash', 'datadog'],
  start_over: ['qstash', 'datadog'],
  bad_cursor: ['qstash', 'datadog'],
  compact: ['datadog'],
  unknown_field: ['qstash', 'datadog'],
  unknown_entry: ['qstash', 'datadog'],
  unknown_envelope: ['qstash', 'datadog'],
  not_json: ['qstash', 'datadog'],
  wrong_date: ['qstash', 'datadog'],
  no_date: ['qstash', 'datadog'],
  refuse: ['qstash', 'datadog'],
};

const NEED_CURSOR: ReadonlySet<FaultKind> = new Set([
  'repeat_cursor',
  'repeat_page',
  'start_over',
  'bad_cursor',
  'compact',
]);

/** The script of what goes wrong, and the count of what did. */
export interface FaultScript {
  /** Each fault meets one coming request of the API, in order; one that cannot happen yet waits for its chance. */
  next(api: Api, ...faults: readonly Fault[]): void;
  /** `times` (default 1) requests of the API meet the fault, once `after` (default 0) others have passed. */
  add(entry: { api: Api; fault: Fault; after?: number; times?: number }): void;
  /** Every `n`-th request (of one API, if given) meets the fault; one that cannot happen then is left out. */
  every(n: number, fault: Fault, api?: Api): void;
  /** Each request meets one of the faults with this probability, by the seed. */
  random(options: { probability: number; faults: readonly Fault[]; api?: Api; seed?: number }): void;
  /** Ends the script; the counts stay. */
  clear(): void;
  /** How often each fault really happened; every kind is listed. */
  counts(): Readonly<Record<FaultKind, number>>;
  /** Each fault that really happened, in order. */
  happened(): readonly Fault[];
}

/** The script as the server plays it. */
export interface FaultPlayer extends FaultScript {
  /** The fault that this request meets, if any. */
  draw(api: Api, hasCursor: boolean): Fault | null;
  /** Says whether the drawn fault happened. */
  settle(api: Api, fault: Fault, happened: boolean): void;
}

/** A fault that waits for its turn. */
interface Waiting {
  readonly fault: Fault;
  after: number;
  times: number;
}

/** An empty script. */
export function createFaultPlayer(seed: number): FaultPlayer {
  const queued: Record<Api, Waiting[]> = { qstash: [], datadog: [] };
  const tally = Object.fromEntries(Object.keys(FAULT_KINDS).map((kind) => [kind, 0])) as Record<
    FaultKind,
    number
  >;
  const met: Fault[] = [];
  const served: Record<Api | 'both', number> = { qstash: 0, datadog: 0, both: 0 };
  let rules: ((api: Api, hasCursor: boolean) => Fault | null)[] = [];
  const possible = (fault: Fault, api: Api, hasCursor: boolean): boolean =>
    FAULT_KINDS[fault.kind].includes(api) && (hasCursor || !NEED_CURSOR.has(fault.kind));
  const check = (fault: Fault, api?: Api): void => {
    if (api !== undefined && !FAULT_KINDS[fault.kind].includes(api)) {
      throw new RangeError(`fault ${fault.kind}: ${api} has none; it belongs to ${FAULT_KINDS[fault.kind]}`);
    }
  };
  return {
    next(api, ...faults) {
      for (const fault of faults) {
        check(fault, api);
        queued[api].push({ fault: { ...fault }, after: 0, times: 1 });
      }
    },
    add({ api, fault, after = 0, times = 1 }) {
      check(fault, api);
      queued[api].push({ fault: { ...fault }, after, times });
    },
    every(n, fault, api) {
      check(fault, api);
      rules.push((of, hasCursor) =>
        (api === undefined || api === of) && served[api ?? 'both'] % n === 0 && possible(fault, of, hasCursor)
          ? fault
          : null,
      );
    },
    random(options) {
      const dice = createDice(options.seed ?? seed);
      for (const fault of options.faults) check(fault, options.api);
      rules.push((of, hasCursor) => {
        if (options.api !== undefined && options.api !== of) return null;
        if (!dice.chance(options.probability)) return null;
        const now = options.faults.filter((fault) => possible(fault, of, hasCursor));
        return now.length === 0 ? null : dice.pick(now);
      });
    },
    clear() {
      queued.qstash = [];
      queued.datadog = [];
      rules = [];
    },
    counts: () => ({ ...tally }),
    happened: () => [...met],
    draw(api, hasCursor) {
      served[api]++;
      served.both++;
      const due = queued[api].find((entry) => entry.after === 0 && possible(entry.fault, api, hasCursor));
      for (const entry of queued[api]) if (entry.after > 0) entry.after--;
      if (due !== undefined) return due.fault;
      for (const rule of rules) {
        const fault = rule(api, hasCursor);
        if (fault !== null) return fault;
      }
      return null;
    },
    settle(api, fault, happened) {
      if (!happened) return;
      tally[fault.kind]++;
      met.push(fault);
      for (const entry of queued[api]) if (entry.fault === fault) entry.times--;
      queued[api] = queued[api].filter(({ times }) => times > 0);
    },
  };
}
