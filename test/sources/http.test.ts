import { inspect } from 'node:util';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import type { Api, HttpRequest } from '../../src/sources/exchange.ts';
import { createHttp } from '../../src/sources/http.ts';
import { json, plainApi, type Seen, serve, turn } from './stand.ts';

const SECRET = 's3cret/token+value=';
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(answer: Parameters<typeof serve>[0], changes: Partial<Api> = {}) {
  const stand = await serve(answer);
  const http = createHttp({ clock: systemClock });
  closers.push(stand.close, http.close);
  const api = plainApi(http.gate('toy', { concurrency: 4, spacingMs: 0, reserve: 0 }), changes);
  const ask = (request: Partial<HttpRequest> = {}, accept = (text: string): unknown => JSON.parse(text)) =>
    http.request(
      api,
      {
        method: 'GET',
        url: new URL(`${stand.url}/logs?x=1`),
        headers: { authorization: `Bearer ${SECRET}` },
        hasCursor: false,
        ...turn(),
        ...request,
      },
      (got) => ({ value: accept(got.text), bytes: got.bytes, dateMs: got.dateMs }),
    );
  return { stand, http, api, ask };
}

async function failure(promise: Promise<unknown>): Promise<LogkeepError> {
  const error = await promise.then(
    () => null,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof LogkeepError)) throw new Error(`expected a LogkeepError, got ${inspect(error)}`);
  return error;
}

function status(code: number, body: string, headers: Record<string, string> = {}) {
  return (_request: Seen, response: Parameters<Parameters<typeof serve>[0]>[1]) => {
    response.writeHead(code, headers);
    response.end(body);
  };
}

describe('a good answer', () => {
  test('comes with its text, its decoded length and its Date, over connections kept alive', async () => {
    const { ask, stand } = await open((_r, response) =>
      json(response, { ok: 'ä' }, { date: 'Fri, 01 May 2026 12:00:00 GMT' }),
    );
    for (let i = 0; i < 20; i++) {
      expect(await ask()).toEqual({ value: { ok: 'ä' }, bytes: 11, dateMs: Date.UTC(2026, 4, 1, 12) });
    }
    expect(stand.connections()).toBeLessThanOrEqual(2);
    expect(stand.seen[0]?.headers['accept-encoding']).toBe('gzip');
  });

  test('has no date where the Date header is missing or none', async () => {
    const { ask } = await open(({ index }, response) =>
      json(response, {}, index === 0 ? {} : { date: 'yesterday' }),
    );
    expect((await ask()).dateMs).toBeNull();
    expect((await ask()).dateMs).toBeNull();
  });

  test('is decompressed, also in several gzip members, and counted by its decoded bytes', async () => {
    const text = JSON.stringify({ long: 'x'.repeat(5000) });
    const meter = turn().meter;
    const { ask } = await open(({ index }, response) => {
      const body =
        index === 0
          ? gzipSync(text)
          : index === 1
            ? Buffer.concat([gzipSync(text.slice(0, 99)), gzipSync(text.slice(99))])
            : brotliCompressSync(text);
      response.writeHead(200, { 'content-encoding': index === 2 ? 'br' : 'gzip' });
      response.end(body);
    });
    for (let i = 0; i < 3; i++) expect((await ask({ meter })).bytes).toBe(text.length);
    expect(meter).toMatchObject({ requests: 3, retries: 0, bytes: 3 * text.length });
  });

  test('may begin with a byte order mark', async () => {
    const { ask } = await open((_r, response) => {
      response.end(Buffer.from('\ufeff{"a":1}'));
    });
    expect((await ask()).value).toEqual({ a: 1 });
  });
});

describe('what may pass is tried again', () => {
  const troubles: Record<string, Parameters<typeof serve>[0]> = {
    'a connection cut before the answer': (_r, response) => void response.destroy(),
    'a connection cut within the body': (_r, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('{"a":');
      setTimeout(() => response.destroy(), 20);
    },
    'a body shorter than its Content-Length': (_r, response) => {
      response.writeHead(200, { 'content-length': '100', connection: 'close' });
      response.write('{"a":1}');
      setTimeout(() => response.socket?.end(), 20);
    },
    'a gzip body cut short': (_r, response) => {
      const body = gzipSync(JSON.stringify({ a: 'b'.repeat(1000) }));
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end(body.subarray(0, body.length - 6));
    },
    'a damaged gzip body': (_r, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' });
      response.end('this is no gzip');
    },
    'JSON cut short': (_r, response) => void response.end('{"a":'),
    'an empty body': (_r, response) => void response.end(),
    'a 500': status(500, '<html><style>p{}</style><h1>Internal Server Error</h1></html>'),
    'a 502': status(502, 'Bad Gateway'),
    'a 503': status(503, ''),
    'a 408': status(408, ''),
  };
  for (const [name, trouble] of Object.entries(troubles)) {
    test(`${name}, once: the next try serves`, async () => {
      const meter = turn().meter;
      const { ask } = await open((request, response) =>
        request.index === 0 ? trouble(request, response) : json(response, { fine: true }),
      );
      expect((await ask({ meter })).value).toEqual({ fine: true });
      expect(meter).toMatchObject({ requests: 2, retries: 1 });
    });
  }

  test('but no longer than the retry time, then it is `unavailable` and says what happened', async () => {
    const { ask, stand } = await open(status(500, '<html><h1>Oh\n no</h1></html>'));
    const startedAt = performance.now();
    const error = await failure(ask());
    expect(error).toMatchObject({ kind: 'unavailable', status: 500 });
    expect(error.message).toContain('toy.main: the API answered 500: "Oh no"');
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    expect(stand.seen.length).toBeGreaterThan(2);
  });

  test('a wait for quota takes nothing from the retry time', async () => {
    const { ask } = await open(
      ({ index }, response) => {
        if (index === 2) return json(response, { fine: true });
        response.writeHead(index === 0 ? 429 : 503, index === 0 ? { 'retry-after': '1' } : {});
        response.end();
      },
      { retryMs: 300 },
    );
    expect((await ask()).value).toEqual({ fine: true });
  });

  test('an answer that does not come in time is asked for again', async () => {
    const { ask } = await open(
      (request, response) => {
        if (request.index > 0) return json(response, {});
        response.writeHead(200);
        response.write('{');
        const slowly = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(slowly));
      },
      { timeoutMs: 150 },
    );
    expect((await ask()).value).toEqual({});
  });

  test('a server that is not there is `unavailable`', async () => {
    const { ask, stand } = await open((_r, response) => json(response, {}));
    await stand.close();
    const error = await failure(ask());
    expect(error).toMatchObject({ kind: 'unavailable' });
    expect(error.message.match(/ECONNREFUSED/g)).toHaveLength(1);
  });

  test('an incomplete answer is asked for three times, then it is `protocol`', async () => {
    const { ask, stand } = await open((_r, response) => json(response, { status: 'running' }));
    const incomplete = () => {
      throw new LogkeepError('protocol', 'the answer is incomplete');
    };
    const error = await failure(ask({}, incomplete));
    expect(error).toMatchObject({ kind: 'protocol', message: 'toy.main: the answer is incomplete' });
    expect(stand.seen).toHaveLength(3);
  });

  test('a bug is thrown as it is and never tried again', async () => {
    const { ask, stand } = await open((_r, response) => json(response, {}));
    const bug = () => {
      throw new RangeError('a bug');
    };
    await expect(ask({}, bug)).rejects.toThrow(RangeError);
    expect(stand.seen).toHaveLength(1);
  });
});

describe('what will not pass stops at once', () => {
  const cases: readonly (readonly [number, boolean, string])[] = [
    [400, false, 'request'],
    [400, true, 'cursor'],
    [401, false, 'auth'],
    [403, true, 'auth'],
    [404, false, 'request'],
    [413, false, 'request'],
    [422, true, 'request'],
  ];
  for (const [code, hasCursor, kind] of cases) {
    test(`a ${code} to a request ${hasCursor ? 'with' : 'without'} a cursor is \`${kind}\``, async () => {
      const { ask, stand } = await open(status(code, '{"error":"no way"}'));
      const error = await failure(ask({ hasCursor }));
      expect(error).toMatchObject({ kind, status: code });
      expect(error.message).toContain(`${code}: "no way"`);
      expect(stand.seen).toHaveLength(1);
    });
  }

  test('a refused credential says what to do', async () => {
    const { ask } = await open(status(401, '{"error":"unable to authenticate: invalid token"}'));
    expect((await failure(ask())).message).toBe(
      'toy.main: the API answered 401: "unable to authenticate: invalid token": check the token',
    );
  });

  test('a redirect is not followed, so that the credentials stay here', async () => {
    const elsewhere = await serve((_r, response) => json(response, {}));
    closers.push(elsewhere.close);
    const { ask, stand } = await open(status(302, '', { location: `${elsewhere.url}/login` }));
    const error = await failure(ask());
    expect(error).toMatchObject({ kind: 'request', status: 302 });
    expect(error.message).toContain('not followed');
    expect(stand.seen).toHaveLength(1);
    expect(elsewhere.seen).toHaveLength(0);
  });

  test('a query time-out by its error code is `timeout`, whatever the status', async () => {
    for (const code of [400, 408, 429, 500, 504]) {
      const { ask, stand } = await open(status(code, 'slow'), {
        sense: (_status, text) => (text === 'slow' ? 'timeout' : null),
      });
      expect(await failure(ask())).toMatchObject({ kind: 'timeout', status: code });
      expect(stand.seen).toHaveLength(1);
    }
  });
});

describe('the cap on a body', () => {
  const cap = { maxBodyBytes: 10_000 };
  test('holds for the length that is announced, which is not read', async () => {
    const { ask, stand } = await open(status(200, JSON.stringify('x'.repeat(20_000))), cap);
    expect(await failure(ask())).toMatchObject({ kind: 'oversize', atMs: null });
    expect(stand.seen).toHaveLength(1);
  });

  test('closes the connection of a body whose announced length is too long', async () => {
    let closed = false;
    const { ask } = await open((_r, response) => {
      response.writeHead(200, { 'content-length': '20000' });
      response.write('{');
      response.on('close', () => {
        closed = true;
      });
    }, cap);
    expect(await failure(ask())).toMatchObject({ kind: 'oversize' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(true);
  });

  test('holds for a body without an end, and closes its connection', async () => {
    let closed = false;
    const { ask } = await open((_r, response) => {
      const more = setInterval(() => response.write('x'.repeat(1_000)), 1);
      response.on('close', () => {
        closed = true;
        clearInterval(more);
      });
    }, cap);
    expect(await failure(ask())).toMatchObject({ kind: 'oversize' });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(closed).toBe(true);
  });

  test('holds for what a gzip body decodes to: a bomb does not fill the memory', async () => {
    const bomb = gzipSync(Buffer.alloc(150_000_000, 'x'), { level: 1 });
    const { ask } = await open(
      (_r, response) => {
        response.writeHead(200, { 'content-encoding': 'gzip' });
        response.end(bomb);
      },
      { maxBodyBytes: 5_000_000 },
    );
    const before = process.memoryUsage.rss();
    expect(await failure(ask())).toMatchObject({ kind: 'oversize' });
    expect(process.memoryUsage.rss() - before).toBeLessThan(80_000_000);
  });
});

describe('an allowance', () => {
  test('is asked before each try, and a try that it refuses is not made: the failure before it is the end', async () => {
    const meter = turn().meter;
    let left = 3;
    const retries: unknown[] = [];
    const { ask, stand } = await open(status(503, ''), { retryMs: 60_000 });
    const error = await failure(
      ask({
        meter,
        mayRequest: () => left-- > 0,
        onRetry: (why, retry) => retries.push([retry, why.kind, why.message]),
      }),
    );
    expect(error).toMatchObject({ kind: 'unavailable', status: 503 });
    expect(stand.seen).toHaveLength(3);
    expect(meter).toMatchObject({ requests: 3, retries: 2 });
    expect(retries).toEqual([
      [1, 'unavailable', error.message],
      [2, 'unavailable', error.message],
    ]);
  });

  test('that is used up sends nothing', async () => {
    const { ask, stand } = await open((_r, response) => json(response, {}));
    expect(await failure(ask({ mayRequest: () => false }))).toMatchObject({ kind: 'aborted' });
    expect(stand.seen).toHaveLength(0);
  });

  test('that is used up by a refusal for quota ends as `aborted`: to be told to wait is no failure', async () => {
    let left = 1;
    const retries: unknown[] = [];
    const { ask, stand } = await open(status(429, '', { 'retry-after': '3600' }));
    const asked = ask({ mayRequest: () => left-- > 0, onRetry: (why) => retries.push(why) });
    expect(await failure(asked)).toMatchObject({ kind: 'aborted' });
    expect([stand.seen.length, retries]).toEqual([1, []]);
  });
});

describe('the end of the time that was given', () => {
  async function outOfTime(answer: Parameters<typeof serve>[0]): Promise<LogkeepError> {
    const controller = new AbortController();
    const { ask, stand } = await open(answer, { retryMs: 60_000, timeoutMs: 60_000 });
    const asked = failure(ask({ signal: AbortSignal.any([controller.signal]) }));
    await expect.poll(() => stand.seen.length).toBeGreaterThan(0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    controller.abort(new LogkeepError('time_up', 'stopped after 1s'));
    return asked;
  }

  test('while a request is tried again tells what failed', async () => {
    expect(await outOfTime(status(503, ''))).toMatchObject({ kind: 'unavailable', status: 503 });
  });

  test('within a second try tells what the first one failed with', async () => {
    const once = ({ index }: Seen, response: Parameters<Parameters<typeof serve>[0]>[1]) =>
      index === 0 ? status(502, '')({ index } as Seen, response) : undefined;
    expect(await outOfTime(once)).toMatchObject({ kind: 'unavailable', status: 502 });
  });

  test('before anything failed, and in a wait for quota, is `aborted`', async () => {
    expect(await outOfTime(() => {})).toMatchObject({ kind: 'aborted' });
    expect(await outOfTime(status(429, '', { 'retry-after': '3600' }))).toMatchObject({ kind: 'aborted' });
  });
});

describe('an abort', () => {
  const states: Record<string, Parameters<typeof serve>[0]> = {
    'while the answer is waited for': () => {},
    'within the body': (_r, response) => {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{');
    },
    'in a pause between tries': status(503, ''),
    'in a wait for quota': status(429, '', { 'retry-after': '3600' }),
  };
  for (const [name, answer] of Object.entries(states)) {
    test(`${name} stops within a second as \`aborted\``, async () => {
      const controller = new AbortController();
      const { ask } = await open(answer, { retryMs: 60_000, timeoutMs: 60_000 });
      const asked = failure(ask({ signal: controller.signal }));
      await new Promise((resolve) => setTimeout(resolve, 100));
      const abortedAt = performance.now();
      controller.abort();
      expect(await asked).toMatchObject({ kind: 'aborted' });
      expect(performance.now() - abortedAt).toBeLessThan(1_000);
    });
  }

  test('before the request sends nothing', async () => {
    const { ask, stand } = await open((_r, response) => json(response, {}));
    expect(await failure(ask({ signal: AbortSignal.abort() }))).toMatchObject({ kind: 'aborted' });
    expect(stand.seen).toHaveLength(0);
  });

  test('by closing everything ends requests under way', async () => {
    const { ask, http } = await open(() => {}, { timeoutMs: 60_000 });
    const asked = failure(ask());
    await new Promise((resolve) => setTimeout(resolve, 50));
    await http.close();
    expect(await asked).toMatchObject({ kind: 'aborted' });
  });
});

describe('I11: our own credentials reach no error', () => {
  const echoes = [
    SECRET,
    `${'x'.repeat(190)}${SECRET}`,
    encodeURIComponent(SECRET),
    JSON.stringify({ error: `bad token ${SECRET}` }),
    JSON.stringify({ error: { message: `bad\ntoken ${SECRET}` } }),
    JSON.stringify({ errors: [`${Buffer.from(SECRET).toString('base64')}`] }),
    `<html><body>${SECRET}</body></html>`,
  ];
  for (const code of [400, 401, 403, 404, 500]) {
    test(`a ${code} whose body repeats them is quoted without, on one line of 200 characters`, async () => {
      for (const echo of echoes) {
        const { ask } = await open(status(code, echo), { retryMs: 1 });
        const error = await failure(ask());
        const shown = inspect(error, { depth: 20, showHidden: true });
        for (const form of [SECRET, encodeURIComponent(SECRET), Buffer.from(SECRET).toString('base64')]) {
          expect(shown).not.toContain(form);
        }
        expect(/"(.*)"/s.exec(error.message)?.[1]?.length ?? 0).toBeLessThanOrEqual(200);
        expect(error.message).not.toMatch(/[\n\r]/);
      }
    });
  }

  test('nor does what is amiss in an answer of 200, whichever stream it begins with', async () => {
    for (const begin of ['', 'toy.main: ', SECRET]) {
      const { ask } = await open((_r, response) => json(response, {}));
      const partial = () => {
        throw new LogkeepError('protocol', `${begin}the answer warns: "${SECRET} may not read this"`);
      };
      const error = await failure(ask({}, partial));
      expect(error).toMatchObject({
        kind: 'protocol',
        message: `toy.main: ${begin === SECRET ? '[credential]' : ''}the answer warns: "[credential] may not read this"`,
      });
      expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(SECRET);
    }
  });

  test('nor does a header that cannot be sent, which is wrong in the settings of the stream', async () => {
    const { ask, stand } = await open((_r, response) => json(response, {}));
    const error = await failure(ask({ headers: { authorization: `Bearer ${SECRET}\n` } }));
    expect(error).toMatchObject({
      kind: 'config',
      message: expect.stringMatching(/^toy\.main: a setting cannot be sent in a request: expected/),
    });
    expect(inspect(error, { depth: 20, showHidden: true })).not.toContain(SECRET);
    expect(stand.seen).toEqual([]);
  });

  test('nor does an error of the network', async () => {
    const { ask } = await open((_r, response) => void response.destroy(), { retryMs: 1 });
    const shown = inspect(await failure(ask()), { depth: 20, showHidden: true });
    expect(shown).toContain('unavailable');
    expect(shown).not.toContain(SECRET);
  });
});
