import { type Clock, systemClock } from '../clock.ts';
import type { Ms } from '../model.ts';
import { createDatadogApi } from './datadog/api.ts';
import { DATADOG_DEFAULTS, type DatadogBehaviour } from './datadog/behaviour.ts';
import { writeDatadogHistory } from './datadog/history.ts';
import { createDatadogLedger, type DatadogLogInput, type DatadogStored } from './datadog/ledger.ts';
import { compileSearch } from './datadog/match.ts';
import { createDice } from './dice.ts';
import { createFaultPlayer, type FaultScript } from './faults.ts';
import { createInspect } from './inspect.ts';
import { createQstashApi } from './qstash/api.ts';
import { QSTASH_DEFAULTS, type QstashBehaviour } from './qstash/behaviour.ts';
import { compileQstashFilter, type QstashFilter } from './qstash/filter.ts';
import { writeQstashHistory } from './qstash/history.ts';
import { createQstashLedger, type QstashEntryInput, type QstashStored } from './qstash/ledger.ts';
import { type RequestRecord, serve } from './server.ts';
import type { StoredEntry } from './shelf.ts';

/** Credentials that the stand-ins take. */
export interface SandboxTokens {
  readonly qstash: string;
  readonly apiKey: string;
  readonly appKey: string;
}

/** The credentials of a sandbox that was given none; they open nothing else. */
const SANDBOX_TOKENS: SandboxTokens = {
  qstash: 'sandbox-qstash-token',
  apiKey: 'sandbox-dd-api-key',
  appKey: 'sandbox-dd-app-key',
};

/** How the stand-ins behave; all of it has defaults. */
export interface SandboxOptions {
  /** Default 1. The same seed, clock and calls give the same answers to the byte. */
  readonly seed?: number;
  readonly clock?: Clock;
  /** Default 0: any free port. */
  readonly port?: number;
  readonly tokens?: SandboxTokens;
  /** What differs from QSTASH_DEFAULTS. */
  readonly qstash?: Partial<QstashBehaviour>;
  /** What differs from DATADOG_DEFAULTS. */
  readonly datadog?: Partial<DatadogBehaviour>;
}

/** Which part of the truth: `from` inclusive, `to` exclusive, in event time. */
export interface TruthOptions<Filter> {
  readonly from?: Ms;
  readonly to?: Ms;
  readonly filter?: Filter;
  /** Only what the API shows at this time: visible by then, and not yet expired. */
  readonly visibleAt?: Ms;
}

/** Both stand-ins, serving until closed. */
export interface Sandbox {
  /** Where both APIs are. */
  readonly url: string;
  /** The environment that points logkeep at it. */
  readonly env: Readonly<
    Record<'QSTASH_URL' | 'QSTASH_TOKEN' | 'DD_API_URL' | 'DD_API_KEY' | 'DD_APP_KEY', string>
  >;
  readonly qstash: {
    add(entries: readonly QstashEntryInput[]): void;
    /** Adds the life cycles of `messages` messages, all entries with a time in [from, to). */
    history(options: { from: Ms; to: Ms; messages: number }): void;
    /** What is there, in order of writing. */
    truth(options?: TruthOptions<QstashFilter>): readonly QstashStored[];
  };
  readonly datadog: {
    add(logs: readonly DatadogLogInput[]): void;
    /** Adds `logs` logs with a time in [from, to); some tell of QStash messages that are there by then. */
    history(options: { from: Ms; to: Ms; logs: number }): void;
    /** What is there, by time; the filter is a search. */
    truth(options?: TruthOptions<string>): readonly DatadogStored[];
    /** Rewrites storage: raw ids (of layouts 2 and 3) change, inner ids stay. */
    compact(): void;
  };
  readonly faults: FaultScript;
  /** The last 10,000 requests, oldest first. */
  requests(): readonly RequestRecord[];
  /** Adds messages and logs at this rate from now on, until the sandbox closes; 0 stops. */
  live(perSecond: number): void;
  close(): Promise<void>;
}

const MOST_RECORDS = 10_000;
const LIVE_TICK_MS = 500;

/** Starts stand-ins for both APIs on 127.0.0.1 that know the truth of what they hold. */
export async function startSandbox(options: SandboxOptions = {}): Promise<Sandbox> {
  const seed = options.seed ?? 1;
  const clock = options.clock ?? systemClock;
  const tokens = options.tokens ?? SANDBOX_TOKENS;
  const qstashBehaviour = { ...QSTASH_DEFAULTS, ...options.qstash };
  const datadogBehaviour = { ...DATADOG_DEFAULTS, ...options.datadog };
  const qstash = createQstashLedger(qstashBehaviour, seed);
  const datadog = createDatadogLedger(datadogBehaviour, seed);
  const faults = createFaultPlayer(seed);
  const qstashDice = createDice(seed ^ 0x0c5);
  const datadogDice = createDice(seed ^ 0xda7a);
  let records: RequestRecord[] = [];
  let liveTimer: NodeJS.Timeout | undefined;

  const server = await serve({
    port: options.port ?? 0,
    clock,
    faults,
    apis: {
      qstash: createQstashApi(qstash, qstashBehaviour, tokens.qstash),
      datadog: createDatadogApi(datadog, datadogBehaviour, tokens, seed),
    },
    record: (request) => {
      records.push(request);
      if (records.length >= 2 * MOST_RECORDS) records = records.slice(-MOST_RECORDS);
    },
    inspect: (method, url) => createInspect(sandbox)(method, url),
  });
  const url = `http://127.0.0.1:${server.port}`;

  const sandbox: Sandbox = {
    url,
    env: {
      QSTASH_URL: url,
      QSTASH_TOKEN: tokens.qstash,
      DD_API_URL: url,
      DD_API_KEY: tokens.apiKey,
      DD_APP_KEY: tokens.appKey,
    },
    qstash: {
      add: (entries) => qstash.add(entries, clock.now()),
      history: (span) => qstash.add(writeQstashHistory(qstashDice, span, qstashBehaviour), clock.now()),
      truth: (query = {}) => {
        const accept = compileQstashFilter(query.filter ?? {});
        return within(qstash.shelf.all(), query, qstashBehaviour.retentionMs).filter(({ fields }) =>
          accept(fields),
        );
      },
    },
    datadog: {
      add: (logs) => datadog.add(logs, clock.now()),
      history: (span) => datadog.add(writeDatadogHistory(datadogDice, span, qstash.shelf.all()), clock.now()),
      truth: (query = {}) =>
        within(datadog.shelf.all(), query, datadogBehaviour.retentionMs).filter(
          compileSearch(query.filter ?? ''),
        ),
      compact: () => datadog.compact(),
    },
    faults,
    requests: () => records.slice(-MOST_RECORDS),
    live(perSecond) {
      clearInterval(liveTimer);
      if (perSecond <= 0) return;
      let from = clock.now();
      let owed = 0;
      liveTimer = setInterval(() => {
        const to = clock.now();
        owed += (perSecond * (to - from)) / 1000;
        const count = Math.floor(owed);
        owed -= count;
        if (count > 0) {
          sandbox.qstash.history({ from, to: to + 60_000, messages: count });
          sandbox.datadog.history({ from, to, logs: count });
        }
        from = to;
      }, LIVE_TICK_MS);
      liveTimer.unref();
    },
    close: async () => {
      clearInterval(liveTimer);
      await server.close();
    },
  };
  return sandbox;
}

function within<E extends StoredEntry>(
  entries: readonly E[],
  { from, to, visibleAt }: TruthOptions<unknown>,
  retentionMs: number,
): readonly E[] {
  return entries.filter(
    ({ timeMs, visibleAtMs }) =>
      timeMs >= (from ?? Number.NEGATIVE_INFINITY) &&
      timeMs < (to ?? Number.POSITIVE_INFINITY) &&
      (visibleAt === undefined || (visibleAtMs <= visibleAt && timeMs >= visibleAt - retentionMs)),
  );
}
