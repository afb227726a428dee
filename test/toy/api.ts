import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../src/clock.ts';
import type { Trouble } from '../contract/source.ts';

/** A measurement as the toy API gives it. */
export interface Reading {
  readonly id: string;
  /** Unix time in ms. */
  readonly at: number;
  readonly value: number;
}

/** A third API that exists nowhere: `GET /readings?from=&to=&limit=&after=`, oldest first. */
export interface ToyApi {
  readonly url: string;
  readonly token: string;
  readonly readings: Reading[];
  requests(): number;
  trouble(kind: Trouble): void;
  close(): Promise<void>;
}

/** Starts the toy API on loopback. */
export async function startToyApi(clock: Clock): Promise<ToyApi> {
  const token = 'toy-token-1234';
  const readings: Reading[] = [];
  const troubles: Trouble[] = [];
  let requests = 0;
  const server = createServer((request, response) => {
    requests += 1;
    const params = new URL(request.url ?? '', 'http://toy').searchParams;
    const after = params.get('after');
    const trouble = troubles[0] === 'lost' && after === null ? undefined : troubles.shift();
    response.sendDate = false;
    response.setHeader('date', new Date(clock.now()).toUTCString());
    const answer = (status: number, body: unknown) =>
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    if (trouble === 'silent') return;
    if (trouble === 'refuse' || request.headers.authorization !== `Bearer ${token}`)
      return void answer(401, { error: `bad token ${request.headers.authorization}` });
    if (trouble === 'unavailable') return void response.writeHead(503).end('<html>busy</html>');
    if (trouble === 'quota') {
      response.setHeader('retry-after', '2');
      return void answer(429, { error: 'slow down' });
    }
    if (trouble === 'lost') return void answer(400, { error: 'no such place' });
    if (trouble === 'unknown') return void answer(200, { measurements: [] });
    const from = Number(params.get('from'));
    const to = Number(params.get('to'));
    const limit = Number(params.get('limit'));
    const sorted = readings
      .filter(({ at }) => at >= from && at < to)
      .sort((a, b) => a.at - b.at || Number(a.id) - Number(b.id));
    const start = after === null ? 0 : sorted.findIndex(({ id }) => id === after) + 1;
    const page = sorted.slice(start, start + limit);
    const last = page.at(-1);
    const body = JSON.stringify({
      readings: page,
      ...(last === undefined || start + limit >= sorted.length ? {} : { more: last.id }),
    });
    if (trouble === 'cut') {
      response.writeHead(200, { 'content-length': Buffer.byteLength(body) });
      response.write(body.slice(0, 20), () => response.destroy());
      return;
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token,
    readings,
    requests: () => requests,
    trouble: (kind) => troubles.push(kind),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
