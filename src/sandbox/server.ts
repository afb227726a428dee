import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import type { Clock } from '../clock.ts';
import type { Ms } from '../model.ts';
import type { Api, ApiAnswer, ApiHandler, ApiRequest } from './exchange.ts';
import type { Fault, FaultKind, FaultPlayer } from './faults.ts';
import type { Inspect, Inspection } from './inspect.ts';

/** One request as it was met. */
export interface RequestRecord {
  /** When it had arrived, by the sandbox's clock. */
  readonly atMs: Ms;
  readonly api: Api;
  readonly method: string;
  readonly path: string;
  /** Query parameters; the token is left out. */
  readonly params: Readonly<Record<string, string>>;
  readonly body: string;
  readonly cursor: string | null;
  /** Null where no answer was sent. */
  readonly status: number | null;
  readonly fault: FaultKind | null;
  /** Length of the body before compression. */
  readonly bytes: number;
  /** Entries in the answer, whether or not it arrived. */
  readonly entries: number;
}

/** What the HTTP server needs. */
export interface ServerOptions {
  readonly port: number;
  readonly clock: Clock;
  readonly apis: Readonly<Record<Api, ApiHandler>>;
  readonly faults: FaultPlayer;
  readonly record: (request: RequestRecord) => void;
  /** What the sandbox says of itself, below `/sandbox/`: no request to an API, so neither recorded nor faulted. */
  readonly inspect: Inspect;
}

/** A server that listens. */
export interface RunningServer {
  readonly port: number;
  close(): Promise<void>;
}

const MAX_REQUEST_BYTES = 1_000_000;
const INDEX =
  'logkeep sandbox\n\nQStash: GET /v2/logs, GET /v2/events\nDatadog: POST /api/v1/logs-queries/list, POST /api/v2/logs/events/search, GET /api/v2/logs/events\nWhat it holds and was asked: GET /sandbox/truth, GET /sandbox/requests (api=, from=, to=, visible_at=, text=true)\n';
const compress = promisify(gzip);

/** Serves both APIs on one port, with keep-alive and gzip, and plays the faults of the wire. */
export async function serve(options: ServerOptions): Promise<RunningServer> {
  const timers = new Set<NodeJS.Timeout>();
  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(() => {
        timers.delete(timer);
        resolve();
      }, ms);
      timers.add(timer);
    });
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    handle(request, response).catch((error: unknown) => {
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' });
      response.end(error instanceof Error ? error.stack : `${error}`);
    });
  });

  const handle = async (message: IncomingMessage, response: ServerResponse): Promise<void> => {
    response.sendDate = false;
    const body = await readBody(message);
    const url = new URL(message.url ?? '/', 'http://sandbox');
    if (url.pathname.startsWith('/sandbox/')) {
      await sendPieces(response, options.inspect(message.method ?? 'GET', url));
      return;
    }
    const nowMs = options.clock.now();
    const request: ApiRequest = {
      method: message.method ?? 'GET',
      path: url.pathname,
      params: url.searchParams,
      headers: message.headers,
      body: body ?? '',
      nowMs,
    };
    const api = (['qstash', 'datadog'] as const).find((name) => options.apis[name].owns(url.pathname));
    if (api === undefined || body === null) {
      response.writeHead(body === null ? 413 : url.pathname === '/' ? 200 : 404, {
        'content-type': 'text/plain',
      });
      response.end(url.pathname === '/' ? INDEX : 'not found\n');
      return;
    }
    const cursor = options.apis[api].cursorOf(request);
    const fault = options.faults.draw(api, cursor !== null);
    const answer = options.apis[api].answer(request, fault);
    const happened = fault !== null && (answer.faulted || WIRE.has(fault.kind));
    if (fault !== null) options.faults.settle(api, fault, happened);
    const params = Object.fromEntries(url.searchParams);
    delete params.qstash_token;
    options.record({
      atMs: nowMs,
      api,
      method: request.method,
      path: url.pathname,
      params,
      body: request.body,
      cursor,
      status:
        fault?.kind === 'silent' || (fault?.kind === 'reset' && fault.when !== 'body') ? null : answer.status,
      fault: happened ? fault.kind : null,
      bytes: Buffer.byteLength(answer.body),
      entries: answer.entries,
    });
    await send(message, response, answer, nowMs, happened ? fault : null);
  };

  const send = async (
    message: IncomingMessage,
    response: ServerResponse,
    answer: ApiAnswer,
    nowMs: Ms,
    fault: Fault | null,
  ): Promise<void> => {
    if (fault?.kind === 'silent') return;
    if (fault?.kind === 'slow') await pause(fault.ms);
    const socket = response.socket;
    if (socket === null || socket.destroyed) return;
    if (fault?.kind === 'reset' && fault.when !== 'body') {
      socket.resetAndDestroy();
      return;
    }
    const zipped = /\bgzip\b/.test(`${message.headers['accept-encoding'] ?? ''}`);
    const plain = Buffer.from(answer.body);
    const payload = zipped ? await compress(plain, { level: 1 }) : plain;
    response.setHeaders(new Headers(answer.headers));
    if (zipped) response.setHeader('content-encoding', 'gzip');
    if (fault?.kind !== 'no_date') {
      const dateMs = nowMs + (fault?.kind === 'wrong_date' ? fault.byMs : 0);
      response.setHeader('date', new Date(dateMs).toUTCString());
    }
    response.setHeader('content-length', payload.length);
    response.statusCode = answer.status;
    if (fault?.kind === 'cut' || fault?.kind === 'reset') {
      await breakOff(response, socket, payload, fault.kind);
      return;
    }
    response.end(payload);
  };

  const breakOff = async (
    response: ServerResponse,
    socket: Socket,
    payload: Uint8Array,
    kind: 'cut' | 'reset',
  ): Promise<void> => {
    await new Promise<void>((resolve) => {
      response.write(payload.subarray(0, payload.length >> 1), () => resolve());
    });
    if (kind === 'cut') {
      socket.destroySoon();
      return;
    }
    // A reset overtakes what was sent: give the client time to take the first half.
    await pause(10);
    socket.resetAndDestroy();
  };

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, '127.0.0.1', resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      for (const timer of timers) clearTimeout(timer);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      await closed;
    },
  };
}

const WIRE: ReadonlySet<FaultKind> = new Set(['reset', 'cut', 'slow', 'silent', 'wrong_date', 'no_date']);

/** No faster than they are taken. */
async function sendPieces(response: ServerResponse, { status, pieces }: Inspection): Promise<void> {
  response.writeHead(status, { 'content-type': 'application/json' });
  await pipeline(Readable.from(pieces), response);
}

async function readBody(message: IncomingMessage): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of message as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_REQUEST_BYTES) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}
