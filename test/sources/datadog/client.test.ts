import { readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import type { Cursor } from '../../../src/model.ts';
import { datadogAllowance, datadogSense } from '../../../src/sources/datadog/api.ts';
import { type DatadogPage, readPages } from '../../../src/sources/datadog/client.ts';
import type { DatadogAccess } from '../../../src/sources/datadog/request.ts';
import { v1, v2 } from '../../../src/sources/datadog/transport.ts';
import { createHttp } from '../../../src/sources/http.ts';
import type { ReadOptions } from '../../../src/sources/source.ts';
import { valuesOf } from '../entries.ts';
import { json, plainApi, type Seen, serve, testClock, turn } from '../stand.ts';
import { asked, holding, type Log, log } from './stand.ts';

const FROM = Date.UTC(2026, 4, 1);
const WINDOW = { from: FROM, to: FROM + 100_000 };
const BOTH = [v1, v2];
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(
  answer: (request: Seen, response: ServerResponse) => void,
  changes: Partial<DatadogAccess> & { maxBodyBytes?: number } = {},
) {
  const stand = await serve(answer);
  const clock = testClock({ leap: true, start: FROM + 200_000 });
  const http = createHttp({ clock });
  closers.push(stand.close, http.close);
  const access: DatadogAccess = {
    http,
    api: plainApi(http.gate('toy', { concurrency: 2, spacingMs: 0, reserve: 0 }), {
      maxBodyBytes: changes.maxBodyBytes ?? 10_000_000,
      allowance: datadogAllowance,
      sense: datadogSense,
    }),
    url: stand.url,
    apiKey: 'api',
    appKey: 'app',
    search: { query: '*', indexes: [], storageTier: null },
    transport: v1,
    pageSize: 1000,
    ...changes,
  };
  const read = async (options: Partial<ReadOptions> = {}) => {
    const pages: DatadogPage[] = [];
    for await (const page of readPages(access, { window: WINDOW, cursor: null, ...turn(), ...options })) {
      pages.push(page);
    }
    const ids = pages.flatMap(({ entries }) =>
      valuesOf(entries).map((value) => (value as { id: string }).id),
    );
    return { pages, ids };
  };
  return { stand, clock, read };
}

function many(count: number): Log[] {
  return Array.from({ length: count }, (_, i) => log(FROM + i * 10, i % 3, `m${i}`));
}

const ids = (logs: readonly Log[]) => logs.map(({ id }) => id);
const after = (one: Log) => Buffer.from(JSON.stringify({ after: one.id })).toString('base64url') as Cursor;
const cursorTo = (version: 'v1' | 'v2', logs: readonly Log[], index: number) =>
  version === 'v1' ? (logs[index]?.id as Cursor) : after(logs[index - 1] ?? log(0));

for (const transport of BOTH) {
  const version = transport === v1 ? 'v1' : 'v2';
  describe(version, () => {
    test('reads a window in ascending order, every log once, and says how far it is given', async () => {
      const logs = many(2_500);
      const { read, stand } = await open(
        holding(() => logs),
        { transport },
      );
      const { pages, ids: found } = await read();
      expect(found).toEqual(ids(logs));
      const ends = [FROM + 9_990, FROM + 19_990, WINDOW.to];
      expect(pages.map(({ readTo }) => readTo)).toEqual(
        version === 'v1' ? ends : [...ends.slice(0, 2), FROM + 24_990, WINDOW.to],
      );
      // v2 tells the end only by an empty page.
      expect(stand.seen).toHaveLength(version === 'v1' ? 3 : 4);
    });

    test('asks the same to the letter through a chain, but for the cursor', async () => {
      const search = { query: 'service:web* "a"', indexes: ['main', 'other'], storageTier: null };
      const { read, stand } = await open(
        holding(() => many(25)),
        { transport, search, pageSize: 10 },
      );
      await read();
      const bodies = stand.seen.map(({ body }) => {
        const { startAt, page, ...rest } = JSON.parse(body);
        return { ...rest, limit: page?.limit ?? rest.limit };
      });
      for (const body of bodies) expect(body).toEqual(bodies[0]);
      const time = { from: '2026-05-01T00:00:00.000Z', to: '2026-05-01T00:01:40.000Z' };
      expect(bodies[0]).toEqual(
        version === 'v1'
          ? { query: search.query, index: 'main,other', limit: 10, sort: 'asc', time }
          : {
              filter: { query: search.query, indexes: search.indexes, ...time },
              limit: 10,
              sort: 'timestamp',
            },
      );
      expect(stand.seen[0]).toMatchObject({
        method: 'POST',
        headers: { 'dd-api-key': 'api', 'dd-application-key': 'app', 'content-type': 'application/json' },
      });
      expect(stand.seen[0]?.url.pathname).toBe(transport.path);
    });

    test('gets through more logs in one ms than a page holds', async () => {
      const logs = Array.from({ length: 57 }, (_, i) => log(FROM + 5, i - 20));
      const { read } = await open(
        holding(() => logs),
        { transport, pageSize: 10 },
      );
      const { ids: found, pages } = await read();
      expect(found).toEqual(ids(logs));
      expect(pages[0]?.readTo).toBe(FROM + 5);
    });

    test('resumes at a cursor', async () => {
      const logs = many(25);
      const { read } = await open(
        holding(() => logs),
        { transport, pageSize: 10 },
      );
      expect((await read({ cursor: cursorTo(version, logs, 8) })).ids).toEqual(ids(logs.slice(8)));
    });

    test('an empty window is one request, read to its end', async () => {
      const { read, stand } = await open(
        holding(() => []),
        { transport },
      );
      expect((await read()).pages).toMatchObject([{ entries: { length: 0 }, next: null, readTo: WINDOW.to }]);
      expect(stand.seen).toHaveLength(1);
    });

    test('claims nothing of an answer that is not in ascending order before the end', async () => {
      const logs = many(30).reverse();
      const { read } = await open(
        holding(() => logs),
        { transport, pageSize: 30 },
      );
      expect((await read()).pages.map(({ readTo }) => readTo)).toEqual(
        version === 'v1' ? [WINDOW.to] : [null, WINDOW.to],
      );
    });

    describe('I3: a lost cursor', () => {
      test('is noticed when the API ignores it and starts over', async () => {
        const logs = many(30);
        for (const lost of [[], logs.slice(0, 10)]) {
          let shown = logs;
          const { read } = await open(
            (request, response) => {
              if (request.index === 1) shown = lost.length > 0 ? [...lost, ...logs.slice(20)] : logs;
              const ignore = request.index === 1 && lost.length === 0;
              const { startAt, page, ...rest } = JSON.parse(request.body);
              const body = ignore ? JSON.stringify({ ...rest, page: { limit: page?.limit } }) : request.body;
              holding(() => shown)({ ...request, body }, response);
            },
            { transport, pageSize: 15 },
          );
          await expect(read()).rejects.toMatchObject({ kind: 'cursor' });
        }
      });

      test('is noticed when a resumed read starts elsewhere', async () => {
        const logs = many(30);
        const { read } = await open(
          holding(() => logs.slice(0, 5)),
          { transport, pageSize: 10 },
        );
        await expect(read({ cursor: cursorTo(version, logs, 20) })).rejects.toMatchObject({ kind: 'cursor' });
      });

      test('is noticed when a resumed read finds nothing more', async () => {
        const logs = many(30);
        const { read } = await open(
          holding(() => []),
          { transport },
        );
        await expect(read({ cursor: cursorTo(version, logs, 20) })).rejects.toMatchObject({ kind: 'cursor' });
      });

      test('is a 400 to a request with a cursor', async () => {
        const { read } = await open(
          (_r, response) => {
            response.writeHead(400);
            response.end('{"error":{"message":"Invalid event id \'x\'","code":"InvalidArgument"}}');
          },
          { transport },
        );
        await expect(read({ cursor: 'x' as Cursor })).rejects.toMatchObject({
          kind: 'cursor',
          message: expect.stringContaining("Invalid event id 'x'"),
        });
        await expect(read()).rejects.toMatchObject({ kind: 'request' });
      });
    });

    describe('I6: an incomplete answer never counts as read', () => {
      const key = version === 'v1' ? 'logs' : 'data';
      const partial = (status: unknown) =>
        version === 'v1' ? { status, [key]: [] } : { meta: { status }, [key]: [] };
      for (const status of ['running', 'error', null, 7]) {
        test(`a status of ${JSON.stringify(status)} is asked for again, then refused`, async () => {
          const { read, stand } = await open((_r, response) => json(response, partial(status)), {
            transport,
          });
          await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
          expect(stand.seen).toHaveLength(3);
        });
      }

      test('a partial answer that is whole the next time is no trouble', async () => {
        const logs = many(5);
        const { read } = await open(
          (request, response) => {
            if (request.index === 0) return json(response, partial('running'));
            holding(() => logs)(request, response);
          },
          { transport },
        );
        expect((await read()).ids).toEqual(ids(logs));
      });

      for (const body of [
        '{}',
        `{"${key}":null}`,
        `{"${key}":{}}`,
        '[]',
        '{"errors":[]}',
        '{"status":"done"}',
      ]) {
        test(`${body} is an error, never no rows`, async () => {
          const { read } = await open((_r, response) => json(response, body), { transport });
          await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
        });
      }
    });

    test('a query time-out halves the limit, which then comes back', async () => {
      const logs = many(3_000);
      const { read, stand } = await open(
        (request, response) => {
          if (request.index < 2) {
            response.writeHead(504);
            return void response.end('{"errors":["deadline_exceeded(The query timed out)"]}');
          }
          holding(() => logs)(request, response);
        },
        { transport },
      );
      expect((await read()).ids).toEqual(ids(logs));
      const limits = stand.seen.map((request) => asked(request).limit);
      expect(limits.slice(0, 5)).toEqual([1000, 500, 250, 500, 1000]);
    });

    test('query time-outs down to a small limit end the chain as `timeout`', async () => {
      for (const [index, body] of timeoutBodies().entries()) {
        const { read, stand } = await open(
          (_r, response) => {
            response.writeHead([504, 408, 400, 429, 500][index % 5] ?? 504);
            response.end(body);
          },
          { transport },
        );
        await expect(read()).rejects.toMatchObject({ kind: 'timeout' });
        expect(asked(stand.seen.at(-1) as Seen).limit).toBe(50);
      }
    });

    describe('a page beyond the body cap', () => {
      test('is asked for in parts, and the limit comes back', async () => {
        const logs = many(300).map((one, i) => (i < 40 ? { ...one, message: 'x'.repeat(2_000) } : one));
        const { read, stand } = await open(
          holding(() => logs),
          { transport, pageSize: 100, maxBodyBytes: 40_000 },
        );
        expect((await read()).ids).toEqual(ids(logs));
        const limits = stand.seen.map((request) => asked(request).limit);
        expect(limits.slice(0, 4)).toEqual([100, 50, 25, 12]);
        expect(limits.at(-1)).toBe(100);
      });

      for (const inclusive of [true, false]) {
        for (const where of [0, 1, 57, 199]) {
          test(`log ${where} alone beyond it: its time is told (\`to\` ${inclusive ? 'inclusive' : 'exclusive'})`, async () => {
            const logs = many(200).map((one, i) =>
              i === where ? { ...one, message: 'x'.repeat(90_000) } : one,
            );
            const { read } = await open(
              holding(() => logs, inclusive),
              { transport, pageSize: 10, maxBodyBytes: 40_000 },
            );
            await expect(read()).rejects.toMatchObject({ kind: 'oversize', atMs: logs[where]?.ms });
          });
        }
      }

      test('one of many logs of a ms alone beyond it: its time is told', async () => {
        for (const where of [0, 3, 8]) {
          const logs = Array.from({ length: 9 }, (_, i) =>
            log(FROM + 777, i, i === where ? 'x'.repeat(90_000) : ''),
          );
          const { read } = await open(
            holding(() => logs),
            { transport, pageSize: 10, maxBodyBytes: 40_000 },
          );
          await expect(read()).rejects.toMatchObject({ kind: 'oversize', atMs: FROM + 777 });
        }
      });
    });
  });
}

describe('v1 pages', () => {
  test('are checked by event time and inner id, since raw ids change when storage is compacted', async () => {
    const logs = many(30);
    const compacted = logs.map(({ ms, tie, message }) => log(ms, tie, message, 9));
    const { read } = await open(
      (request, response) => {
        if (request.index === 0) return holding(() => logs)(request, response);
        const { startAt, ...rest } = JSON.parse(request.body);
        const found = compacted[logs.findIndex(({ id }) => id === startAt)]?.id ?? startAt;
        holding(() => compacted)({ ...request, body: JSON.stringify({ ...rest, startAt: found }) }, response);
      },
      { pageSize: 10 },
    );
    expect((await read()).ids).toEqual([...ids(logs.slice(0, 10)), ...ids(compacted.slice(10))]);
  });

  test('whose next page was given before are an error', async () => {
    const logs = many(30);
    const { read } = await open(
      (request, response) => {
        const { cursor } = asked(request);
        const at = cursor === null ? 0 : logs.findIndex(({ id }) => id === cursor);
        const entry = { id: logs[at]?.id, content: {} };
        json(response, { status: 'done', nextLogId: logs[at === 2 ? 1 : at + 1]?.id, logs: [entry] });
      },
      { pageSize: 1 },
    );
    await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
  });

  test('whose ids do not decode are checked by the raw id', async () => {
    const answer = (first: string) => (request: Seen, response: ServerResponse) =>
      asked(request).cursor === null
        ? json(response, { status: 'done', nextLogId: 'odd-2', logs: [{ id: 'odd-1', content: {} }] })
        : json(response, { status: 'done', nextLogId: null, logs: [{ id: first, content: {} }] });
    expect((await (await open(answer('odd-2'))).read()).ids).toEqual(['odd-1', 'odd-2']);
    await expect((await open(answer('odd-1'))).read()).rejects.toMatchObject({ kind: 'cursor' });
  });

  for (const end of [null, '', undefined]) {
    test(`end with a nextLogId that is ${end === '' ? 'empty' : String(end)}, however full`, async () => {
      const { read, stand } = await open(
        (_r, response) =>
          json(response, {
            status: 'done',
            nextLogId: end,
            logs: many(10).map(({ id }) => ({ id, content: {} })),
          }),
        { pageSize: 10 },
      );
      expect((await read()).ids).toHaveLength(10);
      expect(stand.seen).toHaveLength(1);
    });
  }

  test('follow a recorded chain of the live service', async () => {
    const file = new URL('../../fixtures/datadog/v1_go_TestLogsList.json', import.meta.url);
    const { interactions } = JSON.parse(readFileSync(file, 'utf8'));
    const lists = interactions.filter(({ url }: { url: string }) =>
      url.endsWith('/api/v1/logs-queries/list'),
    );
    const chain = lists.slice(-2);
    const { read, stand } = await open(
      ({ index }, response) => json(response, chain[index].response_body, chain[index].response_headers),
      { pageSize: 1, search: { query: chain[0].request_body.query, indexes: [], storageTier: null } },
    );
    const window = {
      from: Date.parse(chain[0].request_body.time.from),
      to: Date.parse(chain[0].request_body.time.to),
    };
    const { ids: found, pages } = await read({ window });
    expect(found).toEqual(
      chain.flatMap(({ response_body }: { response_body: { logs: Log[] } }) => ids(response_body.logs)),
    );
    expect(JSON.parse(stand.seen[1]?.body ?? '').startAt).toBe(chain[1].request_body.startAt);
    expect(pages[0]?.readTo).toBe(Date.UTC(2022, 9, 25, 14, 3, 49));
    expect(pages[0]?.dateMs).toBe(Date.UTC(2022, 9, 25, 14, 4, 21));
  });
});

describe('v2 pages', () => {
  test('with a warning are partial: asked for again, then refused with what they warn of', async () => {
    const warnings = [{ code: 'unknown_index', title: 'One or several indexes are missing or invalid' }];
    const { read, stand } = await open((_r, response) => json(response, { meta: { warnings }, data: [] }), {
      transport: v2,
    });
    await expect(read()).rejects.toMatchObject({
      kind: 'protocol',
      message: expect.stringContaining('unknown_index'),
      remedy: expect.stringMatching(/^correct `index` of the stream/),
    });
    expect(stand.seen).toHaveLength(3);
  });

  test('with a warning of anything else have no remedy but the general one', async () => {
    const warnings = [{ code: 'busy' }, 'unknown_index', null];
    const { read } = await open((_r, response) => json(response, { meta: { warnings }, data: [] }), {
      transport: v2,
    });
    await expect(read()).rejects.toMatchObject({ kind: 'protocol', remedy: null });
  });

  test('with a warning that repeats our key quote it without', async () => {
    const warnings = [{ code: 'restricted', detail: 'key s3cret/token+value= may not read index main' }];
    const { read } = await open((_r, response) => json(response, { meta: { warnings }, data: [] }), {
      transport: v2,
    });
    await expect(read()).rejects.toMatchObject({
      message: expect.stringMatching(/^toy\.main: .*"key \[credential\] may not read index main"/),
    });
  });

  test('with a status of timeout are partial: a smaller limit, then `timeout`', async () => {
    const { read, stand } = await open(
      (_r, response) => json(response, { meta: { status: 'timeout' }, data: [] }),
      { transport: v2 },
    );
    await expect(read()).rejects.toMatchObject({ kind: 'timeout' });
    expect(stand.seen.map((request) => asked(request).limit)).toEqual([1000, 500, 250, 125, 62, 50]);
  });

  test('ask for a storage tier where one is set', async () => {
    const { read, stand } = await open(
      holding(() => []),
      { transport: v2, search: { query: '*', indexes: [], storageTier: 'flex' } },
    );
    await read();
    expect(JSON.parse(stand.seen[0]?.body ?? '').filter.storage_tier).toBe('flex');
  });
});

test('a window`s quota is spent to the last request and not beyond, and then waited for', async () => {
  const logs = many(60);
  let left = 5;
  let refused = 0;
  let windowEnd = 0;
  // Short enough for a cursor to outlast the wait.
  const period = 300_000;
  const { read, clock } = await open(
    (request, response) => {
      if (clock.now() >= windowEnd) {
        left = 5;
        windowEnd = Math.floor(clock.now() / period) * period + period;
      }
      if (left === 0) refused += 1;
      else left -= 1;
      response.setHeader('x-ratelimit-limit', '5');
      response.setHeader('x-ratelimit-period', '300');
      response.setHeader('x-ratelimit-remaining', String(left));
      response.setHeader('x-ratelimit-reset', String(Math.ceil((windowEnd - clock.now()) / 1_000)));
      holding(() => logs)(request, response);
    },
    { pageSize: 5 },
  );
  const meter = turn().meter;
  const waits: number[] = [];
  expect((await read({ meter, onWait: (ms) => waits.push(ms) })).ids).toEqual(ids(logs));
  expect(refused).toBe(0);
  expect(meter).toMatchObject({ requests: 12, waits: 2 });
  expect(waits).toHaveLength(2);
});

test('too many pending queries are waited out, not failed on', async () => {
  const meter = turn().meter;
  const { read } = await open((request, response) => {
    if (request.index >= 4) return holding(() => many(3))(request, response);
    response.writeHead(429);
    response.end('{"errors":["resource_exhausted(RateLimited: Too many pending queries)"]}');
  });
  expect((await read({ meter })).ids).toHaveLength(3);
  expect(meter.requests).toBe(5);
});

function timeoutBodies(): readonly string[] {
  const file = new URL('../../fixtures/datadog/v2_error_bodies_429_timeouts_verbatim.json', import.meta.url);
  const { data } = JSON.parse(readFileSync(file, 'utf8')) as { data: { errors: string[] }[] };
  const found = data.filter(({ errors }) => /^(deadline|request)_/.test(errors[0] ?? ''));
  expect(found).toHaveLength(3);
  return found.map((body) => JSON.stringify(body));
}
