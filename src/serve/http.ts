import { createServer, type RequestListener, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { errorText, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Metrics } from './metrics.ts';
import { type Checks, createReadiness } from './ready.ts';

/** What the server of health and metrics needs. */
export interface HttpOptions {
  /** Address to listen on, such as 127.0.0.1, 0.0.0.0 or ::. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** What /readyz asks; see `readyChecks`. */
  readonly checks: Checks;
  readonly metrics: Pick<Metrics, 'contentType' | 'text'>;
  readonly log: Log;
}

/** The server of health and metrics, listening. */
export interface HttpServer {
  readonly port: number;
  /** Such as `http://127.0.0.1:9464`. */
  readonly url: string;
  /** Takes no new connections, lets answers under way end for up to half a second, and never rejects. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const LINGER_MS = 500;

/**
 * Serves /healthz (200 as long as the event loop turns), /readyz (503 with what is wrong), and /metrics. Only reads,
 * and tells no secret, no entry and no setting. Throws LogkeepError `config` where the address cannot be had.
 */
export async function startHttp(options: HttpOptions): Promise<HttpServer> {
  const { host, port, log } = options;
  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 5_000, keepAliveTimeout: 5_000 },
    createListener(options),
  );
  server.maxConnections = 256;
  await listen(server, host, port);
  server.on('error', (error) => log.warn({ error: errorText(error) }, 'health and metrics: server error'));
  const bound = server.address() as AddressInfo;
  const name = host.includes(':') ? `[${host}]` : host;
  return {
    port: bound.port,
    url: `http://${name}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => server.closeAllConnections(), LINGER_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

const REFUSALS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another process is listening there',
  EADDRNOTAVAIL: 'this machine does not have that address',
  EACCES: 'only root may listen there',
  ENOTFOUND: 'no such host',
};

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const refuse = (error: NodeJS.ErrnoException) => {
      const what = REFUSALS[error.code ?? ''] ?? error.code ?? error.message;
      reject(
        new LogkeepError(
          'config',
          `host ${host}, port ${port}: ${what}: expected a free port on an address of this machine; set port (0: any free one) and host`,
          { cause: error },
        ),
      );
    };
    server.once('error', refuse);
    server.listen({ host, port }, () => {
      server.off('error', refuse);
      resolve();
    });
  });
}

function createListener({ checks, metrics, log }: HttpOptions): RequestListener {
  const ready = createReadiness(checks);
  const pages: Readonly<Record<string, () => Promise<Answer>>> = {
    '/healthz': async () => json(200, { status: 'ok' }),
    '/readyz': async () => {
      const results = await ready();
      const good = Object.values(results).every(({ ok }) => ok);
      return json(good ? 200 : 503, { status: good ? 'ready' : 'not ready', checks: results });
    },
    '/metrics': async () => ({ status: 200, type: metrics.contentType, body: await metrics.text() }),
  };
  return (request, response) => {
    const path = (request.url ?? '').split('?')[0] ?? '';
    const page = Object.hasOwn(pages, path) ? pages[path] : undefined;
    if (page === undefined) {
      send(response, json(404, { error: `expected one of ${Object.keys(pages).join(', ')}` }), true);
      return;
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      response.setHeader('allow', 'GET, HEAD');
      send(response, json(405, { error: 'expected GET or HEAD' }), true);
      return;
    }
    page().then(
      (answer) => send(response, answer, request.method !== 'HEAD'),
      (error: unknown) => {
        log.error({ path, error: errorText(error) }, 'health and metrics: no answer');
        send(response, json(500, { error: 'see the log' }), true);
      },
    );
  };
}

function json(status: number, value: unknown): Answer {
  return { status, type: 'application/json; charset=utf-8', body: `${JSON.stringify(value)}\n` };
}

function send(response: ServerResponse, { status, type, body }: Answer, withBody: boolean): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(withBody ? body : undefined);
}
