import type { ServerResponse } from 'node:http';
import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { equalJson } from '../../src/json.ts';
import { rebuildDatadog } from '../../src/sources/datadog/rebuild.ts';
import { datadog } from '../../src/sources/datadog/source.ts';
import { tables as datadogTables } from '../../src/sources/datadog/table.ts';
import { rebuildQstash } from '../../src/sources/qstash/rebuild.ts';
import { qstash } from '../../src/sources/qstash/source.ts';
import { tables as qstashTables } from '../../src/sources/qstash/table.ts';
import { isRow, type Row, type Source } from '../../src/sources/source.ts';
import { readUtf8 } from '../../src/utf8.ts';
import { openStream, readAll } from './opened.ts';
import { serve, testClock } from './stand.ts';
import { stored } from './stored.ts';

const NOW = Date.UTC(2026, 4, 2, 12);
const WINDOW = { from: NOW - 7_200_000, to: NOW - 3_600_000 };
const AT = WINDOW.from + 1_000;
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** Text of which each character stands for one byte, as bytes. */
const raw = (text: string) => Buffer.from(text, 'latin1');
/** What the API sent, as text in which nothing is lost. */
const sent = (text: string) => readUtf8(raw(text));

/** A stream of an API that gives one page: these very bytes. */
async function reading(source: Source, body: Buffer, own: Record<string, unknown> = {}) {
  const stand = await serve((_request, response: ServerResponse) => {
    response.writeHead(200, { date: new Date(NOW).toUTCString() });
    response.end(body);
  });
  const address =
    source === qstash
      ? { url: stand.url, token: 'a-token' }
      : { api_url: stand.url, api_key: 'a-key', app_key: 'another' };
  const clock = testClock({ start: NOW, leap: true });
  const { stream, http } = openStream(source, { ...address, ...own }, clock, { retryMs: 50 });
  closers.push(stand.close, http.close);
  return stream;
}

async function qstashRows(entries: readonly string[]) {
  const stream = await reading(qstash, raw(`{"cursor":"","events":[${entries.join(',')}]}`));
  const [page] = await readAll(stream, WINDOW);
  return { stream, rows: page?.rows ?? [], rejects: page?.rejects ?? [] };
}

const qstashBack = (row: Row) =>
  rebuildQstash(stored(row, qstashTables.stages, 0) ?? {}, stored(row, qstashTables.stages, 1));

const QSTASH_PLACES: readonly ((text: string) => string)[] = [
  (text) => `"url":"${text}"`,
  (text) => `"state":"${text}","error":"\\u0000${text}\\n"`,
  (text) => `"messageId":"msg_${text}"`,
  (text) => `"header":{"X-${text}":["${text}","b"]},"responseHeaders":{"Y":["${text}"]}`,
  (text) => `"body":"${text}","responseBody":"aGk="`,
  (text) => `"labels":["${text}"],"label":"${text}","queueName":"${text}"`,
  (text) => `"unheardOf":{"${text}":["${text}",12345678901234567890]}`,
  (text) => `"unheard${text}":1`,
  (text) => `"url":"a","url":"${text}"`,
];
const STRAY = [
  '\xff',
  '\xfe',
  '\xff\xfe\xc3',
  '\xe2\x82',
  '\xc0\xaf',
  '\xed\xb3\xbf',
  '\xf4\x90\x80\x80',
  '\x80a',
];

test('I7: a QStash entry with bytes that are no UTF-8 becomes a row that gives them back, wherever they stand', async () => {
  const entries = QSTASH_PLACES.flatMap((place, at) =>
    STRAY.map((text) => {
      const id = at === 2 ? '' : `"messageId":"msg_${at}",`;
      return `{${id}"time":${AT + at},${place(text)}}`;
    }),
  );
  const { rows, rejects } = await qstashRows([
    `{"time":${AT},"messageId":"good","url":"\xc3\xa9"}`,
    ...entries,
  ]);
  expect(rejects).toEqual([]);
  expect(rows).toHaveLength(entries.length + 1);
  expect(qstashBack(rows[0] as Row)).toBe(`{"time":${AT},"messageId":"good","url":"é"}`);
  for (const [index, text] of entries.entries()) {
    const back = qstashBack(rows[index + 1] as Row);
    if (!equalJson(back, sent(text))) throw new Error(`sent ${JSON.stringify(text)}, rebuilt ${back}`);
  }
});

test('QStash entries that differ in nothing but such bytes are entries of their own', async () => {
  const places = QSTASH_PLACES.slice(0, 3);
  const entries = places.flatMap((place) =>
    STRAY.map((text) => {
      const rest = place(text);
      return `{${rest.includes('messageId') ? '' : '"messageId":"m",'}"time":${AT},${rest}}`;
    }),
  );
  const { rows } = await qstashRows(entries);
  expect(new Set(rows.map(({ key }) => key)).size).toBe(entries.length);
});

test('what was sent with a message is told apart by such bytes too', async () => {
  const { rows } = await qstashRows(
    STRAY.map((text) => `{"time":${AT},"messageId":"m","header":{"X":["${text}"]}}`),
  );
  const hashes = rows.map((row) => stored(row, qstashTables.stages, 1)?.hash);
  expect(new Set(hashes).size).toBe(STRAY.length);
});

test('an entry with such bytes that cannot become a row waits with them, and can be tried again', async () => {
  const { stream, rejects } = await qstashRows([`{"messageId":"m","url":"\xff\xfe"}`]);
  expect(rejects).toMatchObject([{ reason: 'no_time', timeMs: null }]);
  const waiting = rejects[0]?.rawText ?? '';
  expect(equalJson(waiting, sent('{"messageId":"m","url":"\xff\xfe"}'))).toBe(true);
  const mended = stream.normalise(waiting.replace('{', `{"time":${AT},`));
  expect(isRow(mended) && JSON.parse(qstashBack(mended))).toMatchObject({ url: '\udcff\udcfe' });
});

for (const api of ['v1', 'v2'] as const) {
  test(`I7: a Datadog log with bytes that are no UTF-8 becomes a row that gives them back (${api})`, async () => {
    const [key, container] = api === 'v1' ? ['logs', 'content'] : ['data', 'attributes'];
    const timestamp = `"timestamp":"${new Date(AT).toISOString()}"`;
    const places: readonly ((text: string) => string)[] = [
      (text) => `"message":"${text}","host":"\\ud800${text.slice(0, 0)}"`,
      (text) => `"tags":["a:${text}","${text}"],"service":"${text}"`,
      (text) => `"attributes":{"${text}":{"b":["${text}",1e400]}}`,
      (text) => `"unheard${text}":"${text}"`,
    ];
    const logs = places.flatMap((place, at) =>
      STRAY.map(
        (text, n) =>
          `{"id":"${at === 3 ? text : `id-${at}-${n}`}","type":"log","${container}":{${timestamp},${place(text)}}}`,
      ),
    );
    const body = raw(`{"${key}":[${logs.join()}],"status":"done"}`);
    const [page] = await readAll(await reading(datadog, body, { api }), WINDOW);
    const rows = page?.rows ?? [];
    expect(page?.rejects).toEqual([]);
    expect(new Set(rows.map((row) => row.key)).size).toBe(logs.length);
    for (const [index, text] of logs.entries()) {
      const back = rebuildDatadog(stored(rows[index] as Row, datadogTables.stages, 0) ?? {}, api);
      if (!equalJson(back, sent(text))) throw new Error(`sent ${JSON.stringify(text)}, rebuilt ${back}`);
    }
  });
}

test('such bytes outside of strings are no JSON, as ever', async () => {
  for (const entry of [`\xff{"time":${AT},"messageId":"m"}`, `{"time":${AT}\xff,"messageId":"m"}`]) {
    await expect(qstashRows([entry])).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('no complete JSON'),
    });
  }
});

test('whatever the bytes of its strings, a page is read whole and given back', async () => {
  const bytes = fc
    .array(fc.integer({ min: 0x20, max: 0xff }), { maxLength: 6 })
    .map((codes) => String.fromCharCode(...codes).replaceAll(/["\\]/g, '_'));
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.nat(8), bytes), { minLength: 1, maxLength: 20 }),
      async (members) => {
        const entries = members.map(([at, text], n) => {
          const place = QSTASH_PLACES[at === 2 ? 0 : at] as (text: string) => string;
          return `{"time":${AT + n},"messageId":"m",${place(text)}}`;
        });
        const { rows, rejects } = await qstashRows(entries);
        expect(rejects).toEqual([]);
        expect(rows).toHaveLength(entries.length);
        for (const [index, text] of entries.entries())
          expect(equalJson(qstashBack(rows[index] as Row), sent(text))).toBe(true);
      },
    ),
    { numRuns: 60 },
  );
});
