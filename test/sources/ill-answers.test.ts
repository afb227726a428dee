import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import type { Api } from '../../src/sources/exchange.ts';
import { createHttp } from '../../src/sources/http.ts';
import { plainApi, turn } from './stand.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** What becomes of a request that a server answers with these very bytes, each time. */
async function failureOf(answer: string, changes: Partial<Api> = {}): Promise<LogkeepError> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.once('data', () => socket.end(answer));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  const http = createHttp({ clock: systemClock });
  closers.push(http.close);
  const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }), {
    retryMs: 50,
    ...changes,
  });
  const url = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  const request = { method: 'GET' as const, url, headers: {}, hasCursor: false, ...turn() };
  const error = await http.request(api, request, (got) => got.text).catch((thrown: unknown) => thrown);
  if (error instanceof LogkeepError) return error;
  throw new Error(`expected a LogkeepError, got ${String(error)}`);
}

test.each([
  ['a chunk without a size', 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz-private\r\n'],
  ['another protocol', 'SSH-2.0-private\r\n'],
])('an answer that is no HTTP (%s) is trouble of the network, and is not quoted', async (_, answer) => {
  const error = await failureOf(answer);
  expect(error.kind).toBe('unavailable');
  expect(error.message).toContain('the answer is not HTTP');
  expect(`${error.message} ${JSON.stringify(error)} ${String(error.cause)}`).not.toContain('private');
});

test('I11: a refusal that is cut within our key does not show its beginning', async () => {
  const cut = 'HTTP/1.1 500 X\r\ncontent-length: 500\r\n\r\nbad key: sk_live_ABCDEF';
  const error = await failureOf(cut, { secrets: ['sk_live_ABCDEFGHIJKL'] });
  expect(error).toMatchObject({ kind: 'unavailable', status: 500 });
  expect(error.message).not.toContain('sk_live');
});

test('two encodings, one in the other, are a protocol error', async () => {
  const twice =
    'HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{}';
  expect(await failureOf(twice)).toMatchObject({ kind: 'protocol' });
});
