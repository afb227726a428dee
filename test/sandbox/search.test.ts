import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseSearch, SearchSyntaxError } from '../../src/sandbox/datadog/query.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { manualClock, NOON } from './ask.ts';

let sandbox: Sandbox;

beforeAll(async () => {
  sandbox = await startSandbox({ clock: manualClock() });
  const logs = [
    {
      message: 'Order 4711 confirmed by web-store',
      service: 'web-store',
      host: 'web-1',
      tags: ['env:prod', 'team:shop', 'canary'],
      attributes: { http: { status_code: 200, method: 'GET' }, 'dotted.key': 'x', usr: { ids: ['a', 'b'] } },
    },
    {
      message: 'payment declined: card expired',
      service: 'billing',
      host: 'billing-1',
      tags: ['env:prod', 'source:java'],
      attributes: { http: { status_code: 404 }, ok: false, path: '/a b/(c)', nothing: null },
    },
    {
      message: 'confirmed nothing',
      service: 'web',
      tags: ['env:staging'],
      attributes: { http: { status_code: 500 }, duration: 12.5 },
    },
  ];
  sandbox.datadog.add(
    logs.map((content, n) => ({ content, atMs: NOON + n, status: ['info', 'error', 'warn'][n] })),
  );
});
afterAll(() => sandbox.close());

/** The numbers of the logs that a search finds. */
function find(query: string): string {
  return sandbox.datadog
    .truth({ filter: query })
    .map(({ timeMs }) => `${timeMs - NOON}`)
    .join('');
}

test.each([
  ['', '012'],
  ['*', '012'],
  ['confirmed', '02'],
  ['CONFIRMED', '02'],
  ['confirm', ''],
  ['confirm*', '02'],
  ['?onfirmed', '02'],
  ['web-store', '0'],
  ['"order 4711"', '0'],
  ['"4711 order"', ''],
  ['"payment declined: card"', '1'],
  ['service:web', '2'],
  ['service:web*', '02'],
  ['service:"web-store"', '0'],
  ['service:WEB', ''],
  ['host:web-1', '0'],
  ['host:*', '01'],
  ['-host:*', '2'],
  ['env:prod', '01'],
  ['env:p?od', '01'],
  ['source:java', '1'],
  ['tags:canary', '0'],
  ['status:error', '1'],
  ['status:(error OR warn)', '12'],
  ['@http.status_code:404', '1'],
  ['@http.status_code:4*', '1'],
  ['@http.status_code:[200 TO 404]', '01'],
  ['@http.status_code:{200 TO 500}', '1'],
  ['@http.status_code:[404 TO *]', '12'],
  ['@http.status_code:>=404', '12'],
  ['@http.status_code:<404', '0'],
  ['@duration:>12', '2'],
  ['@dotted.key:x', '0'],
  ['@usr.ids:b', '0'],
  ['@ok:false', '1'],
  ['@nothing:*', ''],
  ['@path:"/a b/(c)"', '1'],
  ['@path:\\/a\\ b\\/\\(c\\)', '1'],
  ['confirmed service:web', '2'],
  ['confirmed AND service:web', '2'],
  ['service:billing OR service:web', '12'],
  ['service:billing OR service:web AND confirmed', '12'],
  ['(service:billing OR service:web) AND confirmed', '2'],
  ['NOT confirmed', '1'],
  ['-confirmed', '1'],
  ['confirmed -env:staging', '0'],
  ['confirmed AND NOT (env:staging OR service:x)', '0'],
  ['-(service:web OR service:billing)', '0'],
  ['*:GET', '0'],
  ['ORDER', '0'],
])('the search %s finds the logs %s', (query, found) => {
  expect(find(query)).toBe(found);
});

test.each(['(a', 'a)', 'a AND', 'OR a', 'a OR', 'service:', '"a', 'service:(a OR', '@n:[a TO b]', 'NOT'])(
  'the search %s is refused',
  (query) => {
    expect(() => parseSearch(query)).toThrow(SearchSyntaxError);
  },
);
