import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isEarly } from '../../src/serve/rest.ts';
import { createServeStand, QUICK, type ServeStand, says, until } from './stand.ts';

let stand: ServeStand;

beforeEach(async () => {
  stand = await createServeStand();
});
afterEach(() => stand.close());

/** Requests for logs with the query that the API refuses. */
const refused = () => stand.sandbox.requests().filter(({ body }) => body?.includes('service:(web')).length;

test('a stream whose requests are refused is asked less and less often, and at once by hand or after a reload', async () => {
  const second = QUICK.replace('*/2 * * * * *', '* * * * * *');
  stand.settings(
    `${second}  datadog.bad: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}', query: 'service:(web' }\n`,
  );
  const served = stand.start('serve');
  await says(served, 'serving');
  await until(
    'the second refusal',
    () => refused() >= 2,
    20_000,
    () => served.said(),
  );
  await delay(8_000);
  // The rests are of 1, 2, 4 and 8 s.
  expect(refused()).toBeLessThanOrEqual(5);
  const others = stand.sandbox.requests().length - refused();
  expect(others).toBeGreaterThan(10);
  let before = refused();
  const run = stand.start('run sync --stream datadog.bad');
  expect(await run.ended()).toBe(1);
  expect(run.said()).toContain('400');
  expect(refused()).toBe(before + 1);
  before = refused();
  served.signal('SIGHUP');
  await until(
    'a request after the reload',
    () => refused() > before,
    5_000,
    () => served.said(),
  );
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
}, 60_000);

test('the rest doubles with each refusal, up to ten minutes or the schedule`s own', () => {
  const minute = 60_000;
  const rests = (everyMs: number) =>
    [1, 2, 3, 4, 5, 20].map((runs) => {
      let ticks = 1;
      while (isEarly({ runs, agoMs: ticks * everyMs - 900 }, everyMs)) ticks += 1;
      return (ticks * everyMs) / minute;
    });
  expect(rests(minute)).toEqual([1, 2, 4, 8, 10, 10]);
  expect(rests(60 * minute)).toEqual([60, 60, 60, 60, 60, 60]);
});
