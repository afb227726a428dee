import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, writeSmallHistory } from './child.ts';

const SETTINGS = `
defaults: { since: 3h, sweep_after: 15m }
streams:
  datadog.main: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}' }
`;
/** Until when, in UTC; how long that is; what is left, and for whom. */
const WAITS =
  /^datadog\.main: (?:\[[#-]{12}\] \d+ % {2})?waits for quota until (?:\S+ )?\d\d:\d\d:\d\dZ \(\d+ .*\) {2}.*quota left (\d+) of 60, kept for the live log/m;

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([
    // A day, so that it hardly ever ends while the test runs.
    startSandbox({ datadog: { quota: { limit: 60, periodS: 86_400 }, maxLimit: 25, overMax: 'clamp' } }),
    createDatabase(),
  ]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
  writeFileSync(join(desk.cwd, 'logkeep.yaml'), SETTINGS);
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

/** Somebody else uses the quota up, but for so many requests. */
async function useUp(left: number): Promise<void> {
  for (let remaining = Number.POSITIVE_INFINITY; remaining > left; ) {
    const answer = await fetch(`${sandbox.env.DD_API_URL}/api/v1/logs-queries/list`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'dd-api-key': sandbox.env.DD_API_KEY ?? '',
        'dd-application-key': sandbox.env.DD_APP_KEY ?? '',
      },
      body: JSON.stringify({ query: '*', limit: 1, time: { from: 'now - 1m', to: 'now' } }),
    });
    await answer.arrayBuffer();
    remaining = Number(answer.headers.get('x-ratelimit-remaining'));
  }
}

test.each(['audit', 'run sweep'])(
  '%s says that it waits for quota, until when, how much is left and for what that is kept',
  async (line) => {
    writeSmallHistory(sandbox, 0, 400);
    expect(await desk.runHere('sync')).toMatchObject({ code: 0 });
    const leftBySync = 60 - sandbox.requests().length;
    await useUp(8);
    const command = desk.start(line);
    const said = await command.says(/waits for quota/);
    expect(said).toMatch(WAITS);
    // Early in the day the live log, which has just sent that many, is expected to need all that it left.
    expect(Number(WAITS.exec(said)?.[1])).toBeLessThanOrEqual(leftBySync);
    command.signal('SIGINT');
    expect((await command.finished).code).toBe(1);
    expect(said.match(/waits for quota/g)).toHaveLength(1);
  },
  60_000,
);
