import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../src/clock.ts';
import type { Api } from '../../src/sources/exchange.ts';
import type { QuotaGate, Turn } from '../../src/sources/quota.ts';
import { createMeter } from '../../src/sources/source.ts';

/** A request as the server saw it. */
export interface Seen {
  readonly method: string;
  readonly url: URL;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  /** 0 for the first. */
  readonly index: number;
}

export interface Stand {
  readonly url: string;
  readonly seen: readonly Seen[];
  /** TCP connections that were ever opened. */
  connections(): number;
  close(): Promise<void>;
}

/** A server on loopback that answers as `answer` says; headers are sent as given, without a Date of its own. */
export async function serve(
  answer: (request: Seen, response: ServerResponse) => void | Promise<void>,
): Promise<Stand> {
  const seen: Seen[] = [];
  let connections = 0;
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    response.sendDate = false;
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const one: Seen = {
        method: request.method ?? '',
        url: new URL(request.url ?? '', 'http://stand'),
        headers: request.headers,
        body: Buffer.concat(chunks).toString(),
        index: seen.length,
      };
      seen.push(one);
      void answer(one, response);
    });
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

/** Answers 200 with `body` as JSON. */
export function json(response: ServerResponse, body: unknown, headers: Record<string, string> = {}): void {
  response.writeHead(200, { 'content-type': 'application/json', ...headers });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

export interface TestClock extends Clock {
  /** Lets time pass, and what sleeps wake. */
  advance(ms: number): Promise<void>;
  /** Lengths of all sleeps that were begun. */
  readonly slept: readonly number[];
  /** Sleeps under way. */
  sleeping(): number;
}

/** A clock that stands still until it is told to go on; with `leap`, every sleep takes its time at once. */
export function testClock(o: { start?: number; leap?: boolean } = {}): TestClock {
  let now = o.start ?? Date.UTC(2026, 4, 1, 12);
  const slept: number[] = [];
  const sleepers = new Set<{ at: number; wake: () => void }>();
  return {
    now: () => now,
    slept,
    sleeping: () => sleepers.size,
    sleep(ms, signal) {
      slept.push(ms);
      return new Promise((resolve, reject) => {
        const sleeper = { at: now + ms, wake: () => resolve() };
        sleepers.add(sleeper);
        const stop = () => {
          sleepers.delete(sleeper);
          reject(signal?.reason);
        };
        if (signal?.aborted) stop();
        else signal?.addEventListener('abort', stop, { once: true });
        if (o.leap !== true) return;
        setImmediate(() => {
          if (!sleepers.delete(sleeper)) return;
          now = Math.max(now, sleeper.at);
          sleeper.wake();
        });
      });
    },
    async advance(ms) {
      now += ms;
      for (const sleeper of [...sleepers]) {
        if (sleeper.at > now) continue;
        sleepers.delete(sleeper);
        sleeper.wake();
      }
      await settle();
    },
  };
}

/** Turns of the event loop, in which Bottleneck's own timers of a few ms come to their end, however busy the machine. */
export async function settle(turns = 30): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setTimeout(resolve, 1));
}

/** An API with no quota, quick to give up. */
export function plainApi(credential: QuotaGate, changes: Partial<Api> = {}): Api {
  return {
    label: 'toy.main',
    credential,
    secrets: ['s3cret/token+value='],
    authHint: 'check the token',
    maxBodyBytes: 1_000_000,
    timeoutMs: 2_000,
    retryMs: 400,
    allowance: () => null,
    sense: () => null,
    ...changes,
  };
}

export function turn(changes: Partial<Turn> = {}): Turn {
  return { signal: new AbortController().signal, meter: createMeter(), ...changes };
}
