import { expect, test } from 'vitest';
import { datadogAllowance } from '../../src/sources/datadog/api.ts';
import { qstashAllowance } from '../../src/sources/qstash/client.ts';

const now = Date.UTC(2026, 4, 1, 12);
const at = (ours = now, dateMs: number | null = null, refused = false) => ({ now: ours, dateMs, refused });

test('QStash: the reset is a time in seconds or ms, and the daily limit is of no concern', () => {
  const burst = (reset: string) => ({
    'burst-ratelimit-limit': '10',
    'burst-ratelimit-remaining': '3',
    'burst-ratelimit-reset': reset,
    'ratelimit-remaining': '0',
  });
  const told = { limit: 10, remaining: 3, periodMs: null };
  expect(qstashAllowance(burst(String(now / 1000 + 2)), at())).toMatchObject({
    ...told,
    resetInMs: 2_000,
  });
  expect(qstashAllowance(burst(String(now + 700)), at())).toMatchObject({ ...told, resetInMs: 700 });
  expect(qstashAllowance(burst('1'), at())).toMatchObject({ ...told, resetInMs: 1_000 });
  expect(qstashAllowance({ 'ratelimit-remaining': '0', 'ratelimit-reset': '1' }, at())).toBeNull();
  expect(qstashAllowance(burst(String(now + 365 * 86_400_000)), at())?.resetInMs).toBe(60_000);
  expect(qstashAllowance({ ...burst('soon'), 'burst-ratelimit-remaining': 'few' }, at())).toMatchObject({
    remaining: 0,
    resetInMs: null,
  });
});

test('QStash: the reset counts by the server`s clock where ours is wrong', () => {
  const headers = { 'burst-ratelimit-remaining': '0', 'burst-ratelimit-reset': String(now + 1_000) };
  expect(qstashAllowance(headers, at(now - 600_000, now))?.resetInMs).toBe(1_000);
  expect(qstashAllowance(headers, at(now + 600_000, now))?.resetInMs).toBe(1_000);
});

test('Datadog: limit, period and reset are read, never assumed', () => {
  const headers = {
    'x-ratelimit-limit': '300',
    'x-ratelimit-period': '3600',
    'x-ratelimit-remaining': '299',
    'x-ratelimit-reset': '1234',
  };
  expect(datadogAllowance(headers, at())).toEqual({
    limit: 300,
    remaining: 299,
    resetInMs: 1_234_000,
    windowId: null,
    periodMs: 3_600_000,
  });
  expect(datadogAllowance({}, at())).toBeNull();
});

test('headers that come twice, or joined as proxies do it: the most careful value counts', () => {
  for (const twice of [(a: string, b: string) => `${a}, ${b}`, (a: string, b: string) => [a, b]]) {
    expect(
      datadogAllowance(
        {
          'x-ratelimit-limit': twice('300', '200'),
          'x-ratelimit-period': twice('3600', '3600'),
          'x-ratelimit-remaining': twice('9', '7'),
          'x-ratelimit-reset': twice('1234', '1300'),
        },
        at(),
      ),
    ).toEqual({ limit: 200, remaining: 7, resetInMs: 1_300_000, windowId: null, periodMs: 3_600_000 });
    const [soon, later] = [String(now / 1000 + 2), String(now / 1000 + 3)];
    expect(
      qstashAllowance(
        {
          'burst-ratelimit-limit': twice('10', '10'),
          'burst-ratelimit-remaining': twice('3', '3'),
          'burst-ratelimit-reset': twice(soon, later),
        },
        at(),
      ),
    ).toMatchObject({ limit: 10, remaining: 3, resetInMs: 3_000 });
  }
});

test('a refusal that tells when the window ends leaves nothing until then, also where it does not tell what is left', () => {
  const refused = at(now, null, true);
  const end = { 'burst-ratelimit-reset': String(now / 1000 + 2) };
  expect(qstashAllowance(end, refused)).toMatchObject({ remaining: 0, resetInMs: 2_000 });
  expect(datadogAllowance({ 'x-ratelimit-reset': '1234' }, refused)).toMatchObject({
    remaining: 0,
    resetInMs: 1_234_000,
  });
  // An end that no window can have is none.
  expect(qstashAllowance({ 'burst-ratelimit-reset': '90000' }, refused)).toBeNull();
  expect(datadogAllowance({ 'x-ratelimit-reset': '1777634400' }, refused)).toBeNull();
  // Without an end nothing is known, and an answer that is no refusal allows what it did before.
  expect(qstashAllowance({}, refused)).toBeNull();
  expect(datadogAllowance({ 'x-ratelimit-limit': '300' }, refused)).toBeNull();
  expect(qstashAllowance(end, at())).toBeNull();
  expect(datadogAllowance({ 'x-ratelimit-reset': '1234' }, at())).toBeNull();
});
