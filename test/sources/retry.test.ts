import { Pool } from 'undici';
import { afterEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { type Api, exchange } from '../../src/sources/exchange.ts';
import { createHttp } from '../../src/sources/http.ts';
import type { Answered } from '../../src/sources/ration.ts';
import { json, plainApi, serve, testClock, turn } from './stand.ts';

const closers: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

const CROWD = 24;

test('those who failed at the same moment do not all try again at the same moment', async () => {
  const againAt: number[] = [];
  const stand = await serve(({ index }, response) => {
    if (index < CROWD) {
      response.writeHead(503).end();
      return;
    }
    againAt.push(performance.now());
    json(response, {});
  });
  const http = createHttp({ clock: systemClock });
  closers.push(stand.close, http.close);
  const gate = http.gate('toy', { concurrency: CROWD, spacingMs: 0, reserve: 0 });
  // The first pause is half a second then, or up to twice that.
  const api = plainApi(gate, { retryMs: 4_000 });
  const request = { method: 'GET', url: new URL(stand.url), headers: {}, hasCursor: false } as const;
  await Promise.all(
    Array.from({ length: CROWD }, () => http.request(api, { ...request, ...turn() }, () => 0)),
  );
  expect(againAt).toHaveLength(CROWD);
  expect(Math.max(...againAt) - Math.min(...againAt)).toBeGreaterThan(200);
});

describe('how long an answer asks to wait', () => {
  const clock = testClock({ start: Date.UTC(2026, 4, 1, 12) });

  /** What the gate is told of an answer with such headers. */
  async function told(
    status: number,
    headers: Record<string, string | readonly string[]>,
    changes: Partial<Api> = {},
  ): Promise<Answered> {
    const stand = await serve(
      (_request, response) => void response.writeHead(status, headers as never).end('{}'),
    );
    const pool = new Pool(stand.url);
    const http = createHttp({ clock });
    closers.push(stand.close, http.close, () => pool.destroy());
    const api = plainApi(http.gate('toy', { concurrency: 1, spacingMs: 0, reserve: 0 }), changes);
    const request = { method: 'GET', url: new URL(stand.url), headers: {}, hasCursor: false } as const;
    const heard: Answered[] = [];
    await exchange(pool, clock, api, { ...request, ...turn() }, (one) => heard.push(one)).catch(() => {});
    expect(heard).toHaveLength(1);
    return heard[0] as Answered;
  }

  test('is as long as it says at a 429, and a minute at most at any other status', async () => {
    expect(await told(429, { 'retry-after': '3600' })).toMatchObject({ retryAfterMs: 3_600_000 });
    for (const status of [200, 500, 503]) {
      expect(await told(status, { 'retry-after': '3600' })).toMatchObject({ retryAfterMs: 60_000 });
      expect(await told(status, { 'retry-after': '7' })).toMatchObject({ retryAfterMs: 7_000 });
    }
  });

  test("may be a date, by the server's own clock, or by ours where it tells none", async () => {
    const at = (minutes: number) => new Date(Date.UTC(2026, 4, 1, 12, minutes)).toUTCString();
    const cases = [
      [{ 'retry-after': at(9), date: at(5) }, 240_000],
      [{ 'retry-after': at(3) }, 180_000],
      [{ 'retry-after': at(4), date: at(5) }, null],
      [{ 'retry-after': 'soon', date: at(5) }, null],
      [{}, null],
    ] as const;
    for (const [headers, retryAfterMs] of cases)
      expect(await told(429, headers)).toMatchObject({ retryAfterMs });
  });

  test('is the longest of several, as a proxy adds its own', async () => {
    const at = (minutes: number) => new Date(Date.UTC(2026, 4, 1, 12, minutes)).toUTCString();
    const date = at(5);
    const cases = [
      [['60', '90'], 90_000],
      ['60, 90', 90_000],
      ['1, 1', 1_000],
      ['soon, 7', 7_000],
      [`${at(9)}, ${at(7)}`, 240_000],
      [`30, ${at(7)}`, 120_000],
      [[at(4), '0'], 0],
      [', ', null],
    ] as const;
    for (const [value, retryAfterMs] of cases)
      expect(await told(429, { 'retry-after': value, date })).toMatchObject({ retryAfterMs });
  });

  test('means that no quota is left only where the refusal is for want of it and asks for no wait of its own', async () => {
    const spent = { limit: null, remaining: 0, resetInMs: 1_000, windowId: null, periodMs: null };
    const allowance: Api['allowance'] = (_headers, { refused }) => (refused ? spent : null);
    expect(await told(429, {}, { allowance })).toMatchObject({ kind: 'refused', allowance: spent });
    for (const [status, headers, changes] of [
      [429, { 'retry-after': '7' }, {}],
      [429, {}, { sense: () => 'busy' as const }],
      [503, {}, {}],
      [200, {}, {}],
    ] as const)
      expect(await told(status, headers, { allowance, ...changes })).toMatchObject({ allowance: null });
  });
});
