import { afterEach, beforeEach, expect, test } from 'vitest';
import { withClient } from '../postgres.ts';
import { coveredTo, expectComplete, expectNothingLeft, sharedWindows } from './evidence.ts';
import { createServeStand, type ServeStand, says, until } from './stand.ts';

let stand: ServeStand;

beforeEach(async () => {
  stand = await createServeStand();
});
afterEach(() => stand.close());

test('three processes on one Postgres keep both logs complete: nothing lost or doubled, no window read by two at a time', async () => {
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 600_000, to: now - 60_000, messages: 100 });
  stand.sandbox.datadog.history({ from: now - 600_000, to: now - 60_000, logs: 400 });
  stand.sandbox.live(20);
  const processes = [1, 2, 3].map(() => stand.start('serve'));
  for (const served of processes) await says(served, 'serving');
  const said = () => processes.map((served) => served.said()).join('\n');
  await coveredTo(stand, Date.now() + 10_000, 60_000, said);
  stand.sandbox.live(0);
  const end = Date.now();
  await coveredTo(stand, end, 60_000, said);
  // Late ones come with the next overlap.
  await coveredTo(stand, end + 6_000, 60_000, said);
  expect(sharedWindows(stand.sandbox.requests())).toEqual([]);
  for (const served of processes) served.signal('SIGTERM');
  for (const served of processes) expect(await served.ended()).toBe(0);
  await expectComplete(stand, end);
  await expectNothingLeft(stand);
  const holders = await stand.query(`select distinct holder from logkeep.run where job = 'sync'`);
  expect(holders.length).toBeGreaterThan(1);
  // One run a tick, not one a tick and process: requests cost quota.
  const runs = await stand.query<{ n: number; spent: number }>(
    `select count(*)::integer as n, extract(epoch from max(started_at) - min(started_at))::float8 as spent
    from logkeep.run where job = 'sync' group by stream`,
  );
  for (const { n, spent } of runs) expect(n).toBeLessThanOrEqual(spent / 2 + 4);
  const counted = await stand.query('select from logkeep.run where fetched <> new + known + quarantined');
  expect(counted).toEqual([]);
}, 180_000);

test("a killed process's work is taken over within 20 s", async () => {
  const { first, second } = await oneOfTwoAtWork();
  first.signal('SIGKILL');
  const killed = performance.now();
  await first.ended();
  const requests = stand.sandbox.requests().length;
  await until(
    'requests of the other process',
    () => stand.sandbox.requests().length > requests,
    40_000,
    () => second.said(),
  );
  expect(performance.now() - killed).toBeLessThan(20_000);
  await finish(second);
  const [lost] = await stand.query<{ outcome: string }>(
    `select outcome from logkeep.run where holder like '%:' || $1 || ':%' and job = 'sync' order by id limit 1`,
    [first.pid],
  );
  expect(lost?.outcome).toBe('crashed');
}, 120_000);

test('a process that is stopped beyond its lease and goes on again stores nothing twice and ends its run', async () => {
  const { first, second } = await oneOfTwoAtWork();
  first.signal('SIGSTOP');
  const stopped = performance.now();
  const requests = stand.sandbox.requests().length;
  await until(
    'requests of the other process',
    () => stand.sandbox.requests().length > requests + 3,
    40_000,
    () => second.said(),
  );
  expect(performance.now() - stopped).toBeLessThan(20_000);
  first.signal('SIGCONT');
  await until(
    'the first process to see that its job is gone',
    () => first.lines().some(({ msg }) => msg === 'another process took the job over' || msg === 'run ended'),
    20_000,
    () => first.said(),
  );
  await finish(second);
  first.signal('SIGTERM');
  expect(await first.ended()).toBe(0);
  await expectNothingLeft(stand);
}, 120_000);

test('the first SIGTERM finishes the batch in hand and leaves within 10 s with nothing in hand', async () => {
  const { first, second } = await oneOfTwoAtWork();
  second.signal('SIGTERM');
  expect(await second.ended()).toBe(0);
  const asked = performance.now();
  first.signal('SIGTERM');
  expect(await first.ended()).toBe(0);
  expect(performance.now() - asked).toBeLessThan(10_000);
  await expectNothingLeft(stand);
  expect(
    await stand.query(`select outcome from logkeep.run where fetched > 0 and outcome = 'stopped'`),
  ).not.toEqual([]);
  const handed = await stand.query(
    `select state from logkeep_job.job where name = 'sync' and state = 'retry'`,
  );
  expect(handed.length).toBeGreaterThan(0);
  await finish(stand.start('serve'));
}, 120_000);

test('a second SIGTERM ends within a second a process that the first one leaves waiting', async () => {
  stand.sandbox.faults.every(1, { kind: 'silent' });
  const served = stand.start('serve');
  await says(served, 'serving');
  await until('a request', () => stand.sandbox.requests().length > 0);
  await withClient(stand.url, async (client) => {
    // Nobody can end a run now.
    await client.query('begin; lock table logkeep.run in access exclusive mode');
    served.signal('SIGTERM');
    await says(served, 'leaving: finishing the batches in hand');
    served.signal('SIGTERM');
    const asked = performance.now();
    expect(await served.ended()).toBe(130);
    expect(performance.now() - asked).toBeLessThan(1_000);
  });
}, 60_000);

/** Much to read, slowly: one process in the middle of both streams, another waiting its turn. */
async function oneOfTwoAtWork() {
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 1_800_000, to: now - 60_000, messages: 1_500 });
  stand.sandbox.datadog.history({ from: now - 1_800_000, to: now - 60_000, logs: 8_000 });
  stand.sandbox.faults.every(1, { kind: 'slow', ms: 700 });
  const first = stand.start('serve');
  await until(
    'a first batch',
    () =>
      stand.query(`select from logkeep.run where outcome = 'running' and batches > 0`).then(
        (rows) => rows.length > 0,
        () => false,
      ),
    30_000,
    () => first.said(),
  );
  const second = stand.start('serve');
  await says(second, 'serving');
  return { first, second };
}

async function finish(served: ReturnType<ServeStand['start']>): Promise<void> {
  stand.sandbox.faults.clear();
  const end = Date.now();
  await coveredTo(stand, end - 60_000, 90_000, () => served.said());
  await until(
    'runs that are closed',
    async () =>
      (await stand.query(`select from logkeep.run where outcome = 'running' and batches > 0`)).length === 0,
    60_000,
    () => served.said(),
  );
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
  await expectComplete(stand, end - 60_000);
}
