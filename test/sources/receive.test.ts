import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createRawServer, type Server } from 'node:net';
import { Pool } from 'undici';
import { afterEach, expect, test } from 'vitest';
import { LATE, receive } from '../../src/sources/receive.ts';

const closers: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Sends one request and gives the statuses that were told, and the body's parts as one. */
async function ask(
  origin: string,
  { signal = new AbortController().signal, timeoutMs = 10_000, add = (_: Uint8Array) => {} } = {},
) {
  const pool = new Pool(origin, { connections: 1 });
  closers.push(() => pool.destroy());
  const statuses: number[] = [];
  const parts: Buffer[] = [];
  await receive({ pool, request: { path: '/', method: 'GET' }, signal, timeoutMs }, (status) => {
    statuses.push(status);
    return {
      add(chunk) {
        add(chunk);
        parts.push(Buffer.from(chunk));
      },
    };
  });
  return { statuses, body: Buffer.concat(parts).toString() };
}

async function serve(
  answer: (response: ServerResponse) => void,
): Promise<{ origin: string; server: Server }> {
  const server = createServer((_, response) => answer(response));
  const port = await listen(server);
  closers.push(() => server.closeAllConnections());
  return { origin: `http://127.0.0.1:${port}`, server };
}

/** A server that takes connections and never says a word, so that TLS is never there. */
async function mute(): Promise<string> {
  const server = createRawServer((socket) => {
    socket.on('error', () => {});
    closers.push(() => socket.destroy());
  });
  return `https://127.0.0.1:${await listen(server)}`;
}

test('an abort while the connection is being made is felt at once', async () => {
  const stop = new AbortController();
  const asked = ask(await mute(), { signal: stop.signal });
  setTimeout(() => stop.abort(), 100);
  const startedAt = performance.now();
  await expect(asked).rejects.toThrow('stopped on request');
  expect(performance.now() - startedAt).toBeLessThan(1_000);
});

test('the time an answer may take begins before the connection', async () => {
  await expect(ask(await mute(), { timeoutMs: 200 })).rejects.toBe(LATE);
});

test('what a server says before its answer is not the answer', async () => {
  const { origin } = await serve((response) => {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.writeProcessing();
    response.end('yes');
  });
  expect(await ask(origin)).toEqual({ statuses: [200], body: 'yes' });
});

test('what the taker of a body throws ends the request and closes its connection', async () => {
  let closed = false;
  const { origin } = await serve((response) => {
    const more = setInterval(() => response.write('x'.repeat(1_000)), 1);
    response.on('close', () => {
      closed = true;
      clearInterval(more);
    });
  });
  const tooMuch = new Error('too much');
  const add = () => {
    throw tooMuch;
  };
  await expect(ask(origin, { add })).rejects.toBe(tooMuch);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(closed).toBe(true);
});

test('a body that is cut, with and without a length, is an error and no answer', async () => {
  for (const headers of [{ 'content-length': '1000' }, {}]) {
    const { origin } = await serve((response) => {
      response.writeHead(200, headers);
      response.write('part');
      setTimeout(() => response.destroy(), 20);
    });
    await expect(ask(origin)).rejects.toMatchObject({ code: expect.any(String) });
  }
});
