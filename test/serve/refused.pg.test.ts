import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { isResting, isWithinRest } from '../../src/serve/rest.ts';
import { createWorld } from '../world.ts';
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

test('the rest doubles with each refusal, up to ten minutes', () => {
  const minute = 60_000;
  const rests = [1, 2, 3, 4, 5, 20].map((runs) => {
    let ticks = 1;
    while (isWithinRest({ runs, agoMs: ticks * minute - 900 }, minute)) ticks += 1;
    return ticks;
  });
  expect(rests).toEqual([1, 2, 4, 8, 10, 10]);
});

const MINUTELY = { name: 'sync', schedule: '* * * * *' };

/** Whether a tick rests after four runs that were refused a minute, and so many minutes, ago. */
async function rests(change = '', servedMs = 3_600_000, job = MINUTELY): Promise<boolean> {
  const world = await createWorld();
  const app = await world.open();
  try {
    const [open] = app.streams;
    if (open === undefined) throw new Error('no stream');
    const { id, fingerprint } = open.stream;
    await world.query(
      `insert into logkeep.run (stream, fingerprint, job, holder, outcome, error_kind, finished_at)
      select $1, $2, 'sync', 'host:1:a', 'failed', 'auth', clock_timestamp() - n * interval '61 s'
      from generate_series(4, 1, -1) n`,
      [id, fingerprint],
    );
    if (change !== '') await world.query(change);
    return await isResting(app, open, job, servedMs);
  } finally {
    await app.close();
    await world.close();
  }
}

test('a tick rests after refusals', async () => {
  expect(await rests()).toBe(true);
});

test('none counts that got something first: a backlog is read on at once', async () => {
  expect(await rests('update logkeep.run set fetched = 1, new = 1')).toBe(false);
});

test('none counts from before the process began to serve with its settings', async () => {
  // The last one alone does, and its rest is over.
  expect(await rests('', 100_000)).toBe(false);
});

test('none counts that ended after now, as after a clock that was set back', async () => {
  expect(await rests("update logkeep.run set finished_at = finished_at + interval '1 h'")).toBe(false);
});

test('a job that comes no oftener than every ten minutes never rests', async () => {
  expect(await rests('', 3_600_000, { name: 'sync', schedule: '*/10 * * * *' })).toBe(false);
});
