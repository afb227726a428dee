import type { ServerResponse } from 'node:http';
import { afterEach, describe, expect, test } from 'vitest';
import type { Cursor, Ms } from '../../../src/model.ts';
import { createHttp } from '../../../src/sources/http.ts';
import { type QstashAccess, qstashAllowance, readPages } from '../../../src/sources/qstash/client.ts';
import type { ReadOptions } from '../../../src/sources/source.ts';
import { valuesOf } from '../entries.ts';
import { json, plainApi, type Seen, serve, testClock, turn } from '../stand.ts';

const FROM = Date.UTC(2026, 4, 1);
const WINDOW = { from: FROM, to: FROM + 100_000 };
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Entry {
  readonly time: Ms;
  readonly messageId: string;
  readonly body?: string;
}

async function open(
  answer: (request: Seen, response: ServerResponse) => void,
  changes: { maxBodyBytes?: number; filters?: QstashAccess['filters']; pageSize?: number } = {},
) {
  const stand = await serve(answer);
  const clock = testClock({ leap: true, start: FROM + 200_000 });
  const http = createHttp({ clock });
  closers.push(stand.close, http.close);
  const access: QstashAccess = {
    http,
    api: plainApi(http.gate('toy', { concurrency: 2, spacingMs: 0, reserve: 0 }), {
      maxBodyBytes: changes.maxBodyBytes ?? 1_000_000,
      allowance: qstashAllowance,
    }),
    url: stand.url,
    token: 'token',
    filters: changes.filters ?? [],
    pageSize: changes.pageSize ?? 100,
  };
  const read = async (options: Partial<ReadOptions> = {}) => {
    const entries: Entry[] = [];
    const sizes: number[] = [];
    for await (const page of readPages(access, { window: WINDOW, cursor: null, ...turn(), ...options })) {
      sizes.push(page.entries.length);
      entries.push(...(valuesOf(page.entries) as Entry[]));
    }
    return { entries, sizes };
  };
  return { stand, clock, access, read };
}

/** An API that holds `entries` (newest first) and pages through them as the live one does; `emptyEnd`: to an empty page. */
function holding(entries: readonly Entry[], emptyEnd = false) {
  return ({ url }: Seen, response: ServerResponse): void => {
    const ask = (name: string) => url.searchParams.get(name) ?? '';
    const after = ask('cursor') === '' ? -1 : Number(ask('cursor').split('-')[1]);
    const found = entries
      .map((entry, index) => ({ entry, index }))
      .filter(({ entry }) => entry.time >= Number(ask('fromDate')) && entry.time <= Number(ask('toDate')))
      .filter(({ index }) => index > after);
    const page = found.slice(0, Number(ask('count')));
    const last = page.at(-1);
    json(response, {
      ...((emptyEnd || found.length > page.length) && last
        ? { cursor: `${last.entry.time}-${last.index}` }
        : {}),
      events: page.map(({ entry }) => entry),
    });
  };
}

function many(count: number): Entry[] {
  return Array.from({ length: count }, (_, i) => ({ time: WINDOW.to - 1 - i * 50, messageId: `msg_${i}` }));
}

test('a window is asked for with both ends inclusive, the filters, and the same again with each cursor', async () => {
  const filters = [
    ['label', 'a'],
    ['label', 'b&c'],
    ['queueName', 'q'],
  ] as const;
  const { read, stand } = await open(holding(many(250)), { filters });
  const { entries, sizes } = await read();
  expect(entries).toEqual(many(250));
  expect(sizes).toEqual([100, 100, 50]);
  for (const [index, { url, method, headers }] of stand.seen.entries()) {
    expect(method).toBe('GET');
    expect(url.pathname).toBe('/v2/logs');
    expect(headers.authorization).toBe('Bearer token');
    expect(url.searchParams.get('count')).toBe('100');
    expect(url.searchParams.get('fromDate')).toBe(String(WINDOW.from));
    expect(url.searchParams.get('toDate')).toBe(String(WINDOW.to - 1));
    expect(url.searchParams.getAll('label')).toEqual(['a', 'b&c']);
    expect(url.searchParams.get('queueName')).toBe('q');
    expect(url.searchParams.has('cursor')).toBe(index > 0);
  }
  expect(stand.seen).toHaveLength(3);
});

describe('the envelope', () => {
  for (const name of ['events', 'logs']) {
    test(`may be \`${name}\``, async () => {
      const { read } = await open((_r, response) => json(response, { [name]: many(2) }));
      expect((await read()).entries).toEqual(many(2));
    });
  }

  for (const body of [
    '{}',
    '{"events":null}',
    '{"events":{}}',
    '{"events":[],"logs":[{"messageId":"m","time":1777634400083}]}',
    '{"data":[]}',
    '[]',
    'null',
    '7',
    '"events"',
  ]) {
    test(`${body} is an error, never no rows`, async () => {
      const { read } = await open((_r, response) => json(response, body));
      await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
    });
  }
});

describe('the chain', () => {
  for (const end of ['', null, undefined]) {
    test(`ends with a cursor that is ${end === '' ? 'empty' : String(end)}`, async () => {
      const { read, stand } = await open((_r, response) => json(response, { cursor: end, events: many(1) }));
      expect((await read()).entries).toHaveLength(1);
      expect(stand.seen).toHaveLength(1);
    });
  }

  test('goes on after a short page and after an empty page with a cursor', async () => {
    const pages = [
      { cursor: 'a', events: many(3) },
      { cursor: 'b', events: [] },
      { cursor: 'c', events: [] },
      { events: many(1) },
    ];
    const { read, stand } = await open(({ index }, response) => json(response, pages[index]));
    expect((await read()).sizes).toEqual([3, 0, 0, 1]);
    expect(stand.seen.map(({ url }) => url.searchParams.get('cursor'))).toEqual([null, 'a', 'b', 'c']);
  });

  test('takes a page longer than was asked for', async () => {
    const { read } = await open((_r, response) => json(response, { events: many(1000) }));
    expect((await read()).entries).toHaveLength(1000);
  });

  test('sends an opaque cursor back to the letter', async () => {
    const cursor = '0017776344000830000000001-0+/=&?ä';
    const { read, stand } = await open(({ index }, response) =>
      json(response, index === 0 ? { cursor, events: [] } : { events: [] }),
    );
    await read();
    expect(stand.seen[1]?.url.searchParams.get('cursor')).toBe(cursor);
  });

  test('a cursor that is no text is an error', async () => {
    const { read } = await open((_r, response) => json(response, { cursor: 1777634400083, events: [] }));
    await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
  });

  for (const loop of [1, 2, 7]) {
    test(`a cursor that comes again after ${loop} is an error`, async () => {
      const { read, stand } = await open(({ index }, response) =>
        json(response, { cursor: `c${index % loop}`, events: many(1) }),
      );
      await expect(read()).rejects.toMatchObject({ kind: 'protocol' });
      expect(stand.seen).toHaveLength(loop + 1);
    });
  }

  test('that comes back to the cursor it resumed at was started over: the cursor is lost', async () => {
    const { read } = await open(({ index }, response) =>
      json(response, { cursor: index < 2 ? `c${index}` : 'here', events: many(1) }),
    );
    await expect(read({ cursor: 'here' as Cursor })).rejects.toMatchObject({ kind: 'cursor' });
  });
});

describe('I3, I8: a lost cursor', () => {
  test('a 400 to a cursor is `cursor`, a 400 without is `request`', async () => {
    const { read } = await open((_r, response) => {
      response.writeHead(400);
      response.end('{"error":"invalid cursor"}');
    });
    await expect(read({ cursor: 'x' as Cursor })).rejects.toMatchObject({ kind: 'cursor', status: 400 });
    await expect(read()).rejects.toMatchObject({ kind: 'request', status: 400 });
  });

  test('an empty end in answer to a resumed cursor is not believed', async () => {
    const { read } = await open((_r, response) => json(response, { events: [] }));
    await expect(read({ cursor: 'x' as Cursor })).rejects.toMatchObject({ kind: 'cursor' });
    expect((await read()).entries).toEqual([]);
  });

  test('an empty end in answer to a fresh cursor is the end, once a further look finds nothing older', async () => {
    const entries = many(100);
    const { read, stand } = await open((request, response) => {
      if (request.index === 0) return json(response, { cursor: 'a', events: entries });
      if (request.index === 1) return json(response, { events: [] });
      holding(entries)(request, response);
    });
    expect((await read()).sizes).toEqual([100, 0]);
    expect(stand.seen).toHaveLength(3);
  });

  test('an empty end is not believed where older entries are there, of the same ms too', async () => {
    const entries = many(150);
    const twins = entries.map((entry, i) => (i < 99 ? entry : { ...entry, time: entries[99]?.time ?? 0 }));
    for (const all of [entries, twins]) {
      const { read } = await open((request, response) => {
        if (request.index === 1) return json(response, { events: [] });
        holding(all)(request, response);
      });
      await expect(read()).rejects.toMatchObject({ kind: 'cursor' });
    }
  });
});

describe('I6: an incomplete answer never counts as read', () => {
  test('a body cut in the middle is asked for again', async () => {
    const { read, stand } = await open((request, response) => {
      if (request.index > 0) return holding(many(5))(request, response);
      response.end('{"events":[{"time":1,"messageId":"m"}');
    });
    expect((await read()).entries).toEqual(many(5));
    expect(stand.seen).toHaveLength(2);
  });
});

describe('a page beyond the body cap', () => {
  const big = (bytes: number) => 'x'.repeat(bytes);

  test('is asked for in parts, and the size comes back', async () => {
    const entries = many(300).map((entry, i) => (i < 40 ? { ...entry, body: big(1_000) } : entry));
    const { read, stand } = await open(holding(entries), { maxBodyBytes: 20_000 });
    expect((await read()).entries).toEqual(entries);
    const counts = stand.seen.map(({ url }) => Number(url.searchParams.get('count')));
    expect(counts.slice(0, 5)).toEqual([100, 50, 25, 12, 15]);
    expect(counts.at(-1)).toBe(100);
  });

  test('does not keep an empty end from being believed', async () => {
    const entries = Array.from({ length: 30 }, (_, i) => ({
      time: FROM,
      messageId: `msg_${i}`,
      body: big(1_000),
    }));
    const { read } = await open(holding(entries, true), { maxBodyBytes: 20_000 });
    expect((await read()).entries).toEqual(entries);
  });

  const cases: Record<string, (i: number) => boolean> = {
    'in the middle': (i) => i === 130,
    'the newest': (i) => i === 0,
    'the oldest': (i) => i === 199,
  };
  for (const [name, isHuge] of Object.entries(cases)) {
    test(`a single entry beyond it, ${name}: its time is found and told`, async () => {
      const entries = many(200).map((entry, i) => (isHuge(i) ? { ...entry, body: big(50_000) } : entry));
      const { read } = await open(holding(entries), { maxBodyBytes: 20_000 });
      const atMs = entries.find(({ body }) => body !== undefined)?.time;
      await expect(read()).rejects.toMatchObject({ kind: 'oversize', atMs });
    });
  }

  test('a single entry beyond it among others of its ms is found too', async () => {
    const time = WINDOW.to - 5_000;
    const entries = Array.from({ length: 9 }, (_, i) => ({
      time,
      messageId: `msg_${i}`,
      body: i === 5 ? big(50_000) : '',
    }));
    for (const list of [entries, [...many(30), ...entries], entries.slice(5), entries.slice(0, 6)]) {
      const { read } = await open(holding(list), { maxBodyBytes: 20_000 });
      await expect(read()).rejects.toMatchObject({ kind: 'oversize', atMs: time });
    }
  });

  test('a single entry beyond it after a resumed cursor costs the cursor, since nothing says where it stands', async () => {
    const entries = many(20).map((entry, i) => (i === 10 ? { ...entry, body: big(50_000) } : entry));
    const { read } = await open(holding(entries), { maxBodyBytes: 20_000 });
    await expect(read({ cursor: `${entries[9]?.time}-9` as Cursor })).rejects.toMatchObject({
      kind: 'cursor',
    });
  });
});

test('the daily publishing limit does not make reading wait', async () => {
  const { read, clock } = await open(({ index }, response) =>
    json(response, index < 4 ? { cursor: `c${index}`, events: [] } : { events: [] }, {
      'ratelimit-remaining': '0',
      'ratelimit-reset': '86400',
    }),
  );
  await read();
  expect(clock.slept).toEqual([]);
});

test('429s are waited for and never failed on, however many', async () => {
  const meter = turn().meter;
  const { read } = await open(({ index }, response) => {
    if (index >= 15) return json(response, { events: many(1) });
    response.writeHead(429);
    response.end('Too Many Requests');
  });
  expect((await read({ meter })).entries).toHaveLength(1);
  expect(meter).toMatchObject({ requests: 16, retries: 15, waits: 15 });
});

test('no request is sent that the headers say will be refused', async () => {
  const start = FROM + 200_000;
  let left = 5;
  let windowEnd = start + 1_000;
  let refused = 0;
  const { read, clock } = await open(({ index }, response) => {
    if (clock.now() >= windowEnd) {
      left = 5;
      windowEnd = Math.floor(clock.now() / 1_000) * 1_000 + 1_000;
    }
    if (left === 0) refused += 1;
    else left -= 1;
    json(response, index < 32 ? { cursor: `c${index}`, events: [] } : { events: many(1) }, {
      'burst-ratelimit-limit': '5',
      'burst-ratelimit-remaining': String(left),
      'burst-ratelimit-reset': String(windowEnd),
    });
  });
  const meter = turn().meter;
  await read({ meter });
  expect(refused).toBe(0);
  expect(meter.requests).toBe(33);
  expect(meter.waits).toBeGreaterThanOrEqual(6);
});
