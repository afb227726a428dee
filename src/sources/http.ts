import pRetry from 'p-retry';
import { Pool } from 'undici';
import type { Clock } from '../clock.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import { type Api, exchange, type HttpAnswer, type HttpRequest, isSlow, named } from './exchange.ts';
import { createGate, type GateOptions, type QuotaGate } from './quota.ts';
import type { GateSettings } from './ration.ts';
import { traceRequest } from './trace.ts';

/** The connections and credentials of one process. */
export interface Http {
  readonly clock: Clock;
  /**
   * One request, tried again while that may help, and what `accept` makes of its answer. A SyntaxError from
   * `accept` means a cut body; a `protocol` error from it is tried three times in all, since a partial answer may
   * be whole the next time. Each try is taken from the request's allowance; when that, or the time (`time_up`), is over
   * between tries, the failure of the last one is the end. Rejects with LogkeepError of any kind but `quota`.
   */
  request<T>(api: Api, request: HttpRequest, accept: (answer: HttpAnswer) => T): Promise<T>;
  /** The gate of a credential; `key` names host and account without holding the secret itself. */
  gate(key: string, settings: GateSettings): QuotaGate;
  /** Ends what is under way and closes all connections. */
  close(): Promise<void>;
}

const PROTOCOL_TRIES = 3;

/** Opens no connection before the first request; `random` (0 to 1) spreads the waits of many processes. */
export function createHttp(options: GateOptions): Http {
  const { clock } = options;
  const pools = new Map<string, Pool>();
  const gates = new Map<string, QuotaGate>();
  const closing = new AbortController();

  /** The connections of one credential, as many as requests in flight: one too many would be opened for nothing. */
  function poolOf(gate: QuotaGate, url: URL): Pool {
    const key = `${url.origin} ${gate.key}`;
    let pool = pools.get(key);
    if (pool === undefined) {
      // The whole time of a request is bounded in `exchange`.
      pool = new Pool(url.origin, {
        connections: gate.concurrency,
        pipelining: 1,
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      pools.set(key, pool);
    }
    return pool;
  }

  async function request<T>(api: Api, r: HttpRequest, accept: (answer: HttpAnswer) => T): Promise<T> {
    const startedAt = performance.now();
    let queuedMs = 0;
    let tries = 0;
    let protocolErrors = 0;
    // Of the last try; a refusal for quota is none, as it is waited for.
    let failure: LogkeepError | null = null;
    const stopping = new AbortController();
    const stop = () => stopping.abort();
    r.signal.addEventListener('abort', stop, { once: true });
    closing.signal.addEventListener('abort', stop, { once: true });
    if (r.signal.aborted || closing.signal.aborted) stop();
    const { signal } = stopping;
    const asked: HttpRequest = { ...r, signal };
    const attempt = () => {
      const askedAt = performance.now();
      return api.credential.run(asked, async (answered) => {
        queuedMs += performance.now() - askedAt;
        r.meter.requests += 1;
        if (tries > 0) r.meter.retries += 1;
        tries += 1;
        const answer = await traceRequest(api, asked, tries - 1, () =>
          exchange(poolOf(api.credential, r.url), clock, api, asked, answered),
        );
        r.meter.bytes += answer.bytes;
        return read(api, answer, accept);
      });
    };
    const mayHelp = (error: unknown) => {
      if (isFailure(error, 'protocol')) return ++protocolErrors < PROTOCOL_TRIES;
      if (r.divisible === true && isSlow(error)) return false;
      return isFailure(error, 'unavailable') && performance.now() - startedAt - queuedMs < api.retryMs;
    };
    const firstPauseMs = Math.min(500, api.retryMs / 8);
    const mayRequest = () => r.mayRequest === undefined || r.mayRequest();
    const refuseBeyondAllowance = () => {
      if (!mayRequest())
        throw new LogkeepError('aborted', `${api.label}: stopped: no more requests are allowed`);
    };
    try {
      refuseBeyondAllowance();
      return await pRetry(attempt, {
        retries: Number.POSITIVE_INFINITY,
        minTimeout: firstPauseMs,
        maxTimeout: Math.min(30_000, Math.max(firstPauseMs * 2, api.retryMs / 4)),
        randomize: true,
        signal,
        // The gate itself waits out a refusal for quota, however long that takes.
        shouldConsumeRetry: ({ error }) => !isFailure(error, 'quota'),
        shouldRetry: ({ error }) => {
          failure = null;
          if (isFailure(error, 'quota')) {
            refuseBeyondAllowance();
            return true;
          }
          if (!isFailure(error) || !mayHelp(error) || !mayRequest()) return false;
          failure = error;
          r.onRetry?.(error, tries);
          return true;
        },
      });
    } catch (error) {
      if (!signal.aborted) throw error;
      // Whoever gave it some time is told what it was spent on; whoever sends it away asks for nothing.
      if (failure !== null && isFailure(r.signal.reason, 'time_up')) throw failure;
      throw new LogkeepError('aborted', `${api.label}: stopped on request`);
    } finally {
      r.signal.removeEventListener('abort', stop);
      closing.signal.removeEventListener('abort', stop);
    }
  }

  return {
    clock,
    request,
    gate(key, settings) {
      let gate = gates.get(key);
      if (gate === undefined) {
        gate = createGate(key, settings, options);
        gates.set(key, gate);
      } else gate.tighten(settings);
      return gate;
    },
    async close() {
      closing.abort();
      await Promise.all([
        ...[...gates.values()].map((gate) => gate.close()),
        ...[...pools.values()].map((pool) => pool.destroy()),
      ]);
    },
  };
}

function read<T>(api: Api, answer: HttpAnswer, accept: (answer: HttpAnswer) => T): T {
  try {
    return accept(answer);
  } catch (error) {
    if (error instanceof SyntaxError) {
      const what = isWebPage(answer.body)
        ? 'a web page, not JSON: expected the API itself, not a proxy or sign-in page'
        : 'no complete JSON';
      // Without `cause`: the parser's message quotes the body.
      throw new LogkeepError('unavailable', `${api.label}: the body (${answer.bytes} bytes) is ${what}`);
    }
    throw error instanceof LogkeepError ? named(api, error) : error;
  }
}

function isWebPage(body: Buffer): boolean {
  return body.toString('latin1', 0, 100).trimStart().startsWith('<');
}
