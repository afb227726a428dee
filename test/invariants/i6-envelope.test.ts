import { afterEach, expect, test } from 'vitest';
import { countHours } from '../../src/sources/datadog/count.ts';
import { v1, v2 } from '../../src/sources/datadog/transport.ts';
import { createHttp } from '../../src/sources/http.ts';
import { type QstashAccess, requestPage } from '../../src/sources/qstash/client.ts';
import { json, plainApi, serve, testClock, turn } from '../sources/stand.ts';

const FROM = Date.UTC(2026, 4, 1);
const WINDOW = { from: FROM, to: FROM + 3_600_000 };
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** An API that says `text` to each request, and what asks it. */
async function saying(text: string) {
  const stand = await serve((_request, response) => json(response, text));
  const http = createHttp({ clock: testClock({ leap: true, start: WINDOW.to }) });
  closers.push(stand.close, http.close);
  const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }), { retryMs: 20 });
  return { url: stand.url, http, api };
}

const READERS = {
  async qstash(text: string) {
    const { url, http, api } = await saying(text);
    const access: QstashAccess = { url, http, api, token: 't', filters: [], pageSize: 100 };
    const { entries, next } = await requestPage(access, turn(), WINDOW, null, 100);
    return { count: entries.length, next };
  },
  async v1(text: string) {
    const { entries, next } = v1.read({ body: Buffer.from(text), text });
    return { count: entries.length, next };
  },
  async v2(text: string) {
    const { entries, next } = v2.read({ body: Buffer.from(text), text });
    return { count: entries.length, next };
  },
  async count(text: string) {
    const { url, http, api } = await saying(text);
    const search = { query: '*', indexes: [], storageTier: null };
    const access = { url, http, api, apiKey: 'k', appKey: 'a', search, transport: v2, pageSize: 1 };
    const hours = await countHours(access, api, { ...turn(), window: WINDOW });
    return { count: hours.length, next: null };
  },
};
type Reader = keyof typeof READERS;

/** The same answer as it is scanned, and as it must be parsed: line breaks no scan takes. */
const SPELLINGS = [(text: string) => text, (text: string) => `\n${text.replace('{', '{\n')}`];

const PARTIAL: readonly (readonly [reader: Reader, text: string])[] = [
  ['v1', '{"status":"timeout","logs":[],"status":"done"}'],
  ['v1', '{"status":"done","logs":[],"st\\u0061tus":"done"}'],
  ['v1', '{"status":"done","logs":[{"id":"a"}],"logs":[]}'],
  ['v1', '{"status":"done","logs":[],"nextLogId":"AQ","nextLogId":null}'],
  ['v1', '{"status":"done","logs":[],"requestId":"a","requestId":"b"}'],
  ['v1', '{"status":"done","logs":[],"error":{"message":"x"}}'],
  ['v1', '{"status":"done","logs":[],"errors":["x"]}'],
  ['v2', '{"data":[],"meta":{"status":"timeout"},"meta":{}}'],
  ['v2', '{"data":[],"meta":{"warnings":[{"a":1}],"warnings":[]}}'],
  ['v2', '{"data":[],"meta":{"page":{"after":"a","after":""}}}'],
  ['v2', '{"data":[],"meta":[{"status":"timeout"}]}'],
  ['v2', '{"data":[],"meta":"timeout"}'],
  ['v2', '{"data":[],"meta":{"page":["a"]}}'],
  ['v2', '{"data":[],"errors":["partial"]}'],
  ['v2', '{"data":[],"errors":"partial"}'],
  ['qstash', '{"events":[],"cursor":"a","cursor":""}'],
  ['qstash', '{"events":[],"events":[{"time":1}]}'],
  ['qstash', '{"events":null,"events":[{"time":1}]}'],
  ['qstash', '{"events":[{"time":1}],"error":"partial"}'],
  ['qstash', '{"events":[{"time":1.0}],"errors":[{}]}'],
  ['count', '{"data":{"buckets":[]},"meta":{"status":"timeout"},"meta":{"status":"done"}}'],
  ['count', '{"data":{"buckets":[]},"data":{"buckets":[]}}'],
  ['count', '{"data":{"buckets":[]},"meta":"timeout"}'],
  ['count', '{"data":{"buckets":[]},"errors":["partial"]}'],
];

for (const [reader, text] of PARTIAL)
  test(`I6: ${reader} does not take ${text} for whole, scanned or parsed`, async () => {
    for (const spell of SPELLINGS)
      await expect(READERS[reader](spell(text))).rejects.toMatchObject({ kind: 'protocol' });
  });

const WHOLE: readonly (readonly [reader: Reader, text: string, next: string | null])[] = [
  ['v1', '{"status":"done","logs":[{"id":"a","id":"b"}],"error":null,"errors":[],"nextLogId":"AQ"}', 'AQ'],
  ['v2', '{"data":[{"id":"a","id":"b"}],"meta":{"page":{"after":"a"},"status":"done"},"errors":null}', 'a'],
  ['v2', '{"data":[{"id":"meta"}],"meta":null,"links":{"next":{"meta":1,"data":{"meta":1}}}}', null],
  ['qstash', '{"cursor":"a","events":[{"error":"x","error":"y"}],"error":"","errors":{}}', 'a'],
];

for (const [reader, text, next] of WHOLE)
  test(`${reader} takes ${text} for whole, scanned or parsed`, async () => {
    for (const spell of SPELLINGS) expect(await READERS[reader](spell(text))).toEqual({ count: 1, next });
  });

test('I11: what an answer says of an error beside its entries is not repeated', async () => {
  const reading = READERS.qstash('{"events":[],"error":"bad token s3cret"}');
  await expect(reading).rejects.toThrow(/toy\.main: the answer is partial, it reports an error in `error`$/);
});
