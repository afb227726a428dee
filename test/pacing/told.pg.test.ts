import { afterEach, beforeEach, expect, test } from 'vitest';
import { createServeStand, type Served, type ServeStand, says, until } from '../serve/stand.ts';

const SETTINGS = `
defaults: { settle: 2s, overlap: 20s, since: 1h, retention: 1d, retry_for: 5s, timeout: 5s }
streams:
  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}', schedule: '* * * * * *' }
  datadog.web: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}', schedule: '*/5 * * * * *' }
`;
const CARRIED = SETTINGS.replace('*/5 * * * * *', '*/15 * * * * *');

let stand: ServeStand;

beforeEach(async () => {
  stand = await createServeStand({ sandbox: { datadog: { quota: { limit: 300, periodS: 3_600 } } } });
  stand.settings(SETTINGS);
});
afterEach(() => stand.close());

async function serveUntil(seen: (served: Served) => boolean | Promise<boolean>): Promise<readonly string[]> {
  const served = stand.start('serve');
  await says(served, 'serving');
  await until(
    'what it serves for',
    () => seen(served),
    30_000,
    () => served.said(),
  );
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
  return served.lines().flatMap(({ level, msg }) => (Number(level) === 40 || level === 'warn' ? [msg] : []));
}

async function recorded(): Promise<boolean> {
  const rows = await stand.query('select from logkeep.quota where quota_limit = 300 and period is not null');
  return rows.length > 0;
}

async function caughtUp(): Promise<boolean> {
  const rows = await stand.query(
    `select from logkeep.run where stream = 'datadog.web' and job = 'sync' and outcome = 'done'`,
  );
  return rows.length > 0;
}

async function why(): Promise<{ cause: string; sentence: string } | undefined> {
  const asked = stand.start('why --json --stream datadog.web');
  await asked.ended();
  return JSON.parse(asked.said()).streams[0];
}

test('serve warns at its start of a schedule that its quota does not carry, once the quota is known', async () => {
  expect(await serveUntil(recorded)).toEqual([]);
  expect(await serveUntil(() => true)).toEqual([
    'datadog.web: its schedule "*/5 * * * * *" asks for 720 requests an hour, and the quota allows 270 beyond the reserve: it is read every 14 s instead of every 5 s; set schedule to "*/15 * * * * *" or slower',
  ]);
  stand.settings(CARRIED);
  expect(await serveUntil(() => true)).toEqual([]);
}, 120_000);

test('settings that are taken over are looked at too', async () => {
  stand.settings(CARRIED);
  const warnings = await serveUntil(async (served) => {
    if (!(await recorded())) return false;
    stand.settings(SETTINGS);
    served.signal('SIGHUP');
    await says(served, 'settings applied');
    return true;
  });
  expect(warnings).toEqual([
    expect.stringContaining('datadog.web: its schedule "*/5 * * * * *" asks for 720'),
  ]);
}, 120_000);

test('why says how often a stream is read, by what any process heard of its quota last', async () => {
  await serveUntil(caughtUp);
  const left = (remaining: number, ends: string) =>
    stand.query(
      `update logkeep.quota set remaining = $1, ends_at = clock_timestamp() + $2::interval where quota_limit = 300`,
      [remaining, ends],
    );
  await left(100, '35 min');
  expect((await why())?.sentence).toContain('read every 32 s instead of every 5 s: its quota allows no more');
  // Of a window that is over, as much as of any new one.
  await left(100, '-1 s');
  expect((await why())?.sentence).toContain('read every 14 s instead of every 5 s: its quota allows no more');
  await left(290, '10 min');
  expect((await why())?.sentence).not.toContain('instead of');
  await left(30, '35 min');
  expect((await why())?.sentence).not.toContain('instead of');
  await left(100, '35 min');
  stand.settings(CARRIED);
  expect((await why())?.sentence).toContain('read every 32 s instead of every 15 s');
  await left(290, '35 min');
  expect((await why())?.sentence).not.toContain('instead of');
}, 120_000);
