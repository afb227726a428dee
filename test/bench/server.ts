import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import type { Span } from '../../src/model.ts';
import { beChild, childTask } from './child.ts';
import { renderPages, type SourceName } from './pages.ts';

/** What the server is to serve. */
export interface ServerTask {
  readonly source: SourceName;
  readonly entries: number;
  readonly span: Span;
}

/** What it serves, and where. */
export interface Served {
  readonly url: string;
  readonly entries: number;
  readonly pages: number;
  readonly bytes: number;
}

const { source, entries, span } = childTask<ServerTask>();
const rendered = renderPages(source, span, entries);
const asIso = { from: new Date(span.from).toISOString(), to: new Date(span.to).toISOString() };

/** The cursor that is asked for ('' for none); null for another window than the one that was rendered. */
async function askedCursor(request: IncomingMessage): Promise<string | null> {
  if (source === 'qstash') {
    const query = new URLSearchParams(request.url?.split('?')[1]);
    const same = query.get('fromDate') === `${span.from}` && query.get('toDate') === `${span.to - 1}`;
    return same ? (query.get('cursor') ?? '') : null;
  }
  const { time, startAt } = JSON.parse(await text(request));
  return time.from === asIso.from && time.to === asIso.to ? (startAt ?? '') : null;
}

function quotaHeaders(): Record<string, string> {
  if (source === 'datadog') {
    return {
      'X-RateLimit-Limit': '1000000',
      'X-RateLimit-Period': '3600',
      'X-RateLimit-Remaining': '999000',
      'X-RateLimit-Reset': '3600',
    };
  }
  return {
    'Burst-RateLimit-Limit': '1000000',
    'Burst-RateLimit-Remaining': '999000',
    'Burst-RateLimit-Reset': `${Math.floor(Date.now() / 1000) + 1}`,
  };
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const cursor = await askedCursor(request);
  const page = cursor === null ? undefined : rendered.pages.get(cursor);
  if (page === undefined) {
    response.writeHead(400).end(`{"error":"the bench serves one window, [${span.from}, ${span.to})"}`);
    return;
  }
  response.writeHead(200, {
    'Content-Type': 'application/json',
    'Content-Length': page.length,
    ...quotaHeaders(),
  });
  response.end(page);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)));
});
server.listen(0, '127.0.0.1', () => {
  const { port } = server.address() as AddressInfo;
  const served: Served = {
    url: `http://127.0.0.1:${port}`,
    entries: rendered.entries,
    pages: rendered.pages.size,
    bytes: rendered.bytes,
  };
  void beChild(served, async () => null);
});
