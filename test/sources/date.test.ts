import { afterEach, expect, test } from 'vitest';
import { createHttp } from '../../src/sources/http.ts';
import { json, plainApi, serve, testClock, turn } from './stand.ts';

const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

/** What an answer's Date header is read as. */
async function dateOf(date: string): Promise<string | null> {
  const stand = await serve((_request, response) => json(response, {}, { date }));
  const http = createHttp({ clock: testClock() });
  closers.push(stand.close, http.close);
  const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }));
  const request = { method: 'GET' as const, url: new URL(stand.url), headers: {}, hasCursor: false };
  const dateMs = await http.request(api, { ...request, ...turn() }, (answer) => answer.dateMs);
  return dateMs === null ? null : new Date(dateMs).toISOString();
}

test.each([
  ['Sat, 01 Jan 2000 00:00:00 GMT', '2000-01-01T00:00:00.000Z'],
  ['Sun, 22 Nov 2026 11:05:09 GMT', '2026-11-22T11:05:09.000Z'],
  ['Fri, 31 Dec 9999 23:59:59 GMT', '9999-12-31T23:59:59.000Z'],
])('the date %s is %s', async (date, iso) => {
  expect(await dateOf(date)).toBe(iso);
});

test.each([
  'Thu, 01 Jan 1970 00:00:00 GMT',
  'Fri, 31 Dec 1999 23:59:59 GMT',
  'Sat, 01 Jan 10000 00:00:00 GMT',
  'Sat, 13 Sep 275760 00:00:00 GMT',
  '-000100-01-01T00:00:00Z',
  '1',
  '2026',
  '2026-11-22T11:05:09Z',
  '22 Nov 2026 11:05:09',
  'Sun, 22 Nov 2026 11:05:09 +0200',
  'Sun, 22 Nov 2026 11:05:09',
  'Tue, 31 Feb 2026 11:05:09 GMT',
  'yesterday',
  '',
])('"%s" is no date that coverage could be claimed by', async (date) => {
  expect(await dateOf(date)).toBeNull();
});
