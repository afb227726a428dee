import { afterEach, expect, test } from 'vitest';
import { coveredTo, expectComplete } from './evidence.ts';
import { createServeStand, QUICK, type ServeStand, says, until } from './stand.ts';

let stand: ServeStand;

afterEach(() => stand.close());

function writeHistory(): void {
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 600_000, to: now - 60_000, messages: 100 });
  stand.sandbox.datadog.history({ from: now - 600_000, to: now - 60_000, logs: 400 });
}

test('SIGHUP takes new settings over, or refuses them with the reason while the old ones go on', async () => {
  stand = await createServeStand();
  writeHistory();
  stand.settings(QUICK.replace(/ {2}datadog\.main.*\n/, ''));
  const served = stand.start('serve');
  await says(served, 'serving');
  await until(
    'a covered stream',
    async () => (await stand.query('select from logkeep.stream where not isempty(covered)')).length === 1,
  );

  stand.settings(QUICK.replace("'*/2 * * * * *'", "'61 * * * *'"));
  served.signal('SIGHUP');
  const refused = await says(served, 'settings not applied: the old ones stay in force');
  expect(refused.error).toContain(
    'logkeep.yaml: defaults.schedule: "61 * * * *": expected a cron expression',
  );
  stand.settings(`${QUICK}\ndata_dir: elsewhere\n`);
  served.signal('SIGHUP');
  expect((await says(served, 'settings not applied: the old ones stay in force', 2)).error).toContain(
    'data_dir: changed',
  );
  const ends = served.lines().filter(({ msg }) => msg === 'run ended').length;
  const run = await says(served, 'run ended', ends + 2);
  expect(Date.parse(String(run.window_from))).toBeLessThan(Date.parse(String(run.window_to)));

  stand.settings(QUICK);
  served.signal('SIGHUP');
  expect((await says(served, 'settings applied')).streams).toEqual(['qstash.main', 'datadog.main']);
  const end = Date.now();
  await coveredTo(stand, end, 30_000, () => served.said());
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
  await expectComplete(stand, end - 30_000);
}, 120_000);

test('a process whose settings lack a stream leaves it to the others', async () => {
  stand = await createServeStand();
  writeHistory();
  const all = stand.start('serve');
  await says(all, 'serving');
  stand.settings(QUICK.replace(/ {2}datadog\.main.*\n/, ''));
  const some = stand.start('serve');
  await says(some, 'serving');
  await coveredTo(stand, Date.now() + 10_000, 60_000, () => all.said() + some.said());
  expect(some.lines().filter(({ stream }) => stream === 'datadog.main')).toEqual([]);
}, 120_000);

test('a job is run by hand by way of the queue: by this process, or by the one that serves', async () => {
  stand = await createServeStand();
  stand.settings(QUICK.replace("'*/2 * * * * *'", "'0 0 1 1 *'"));
  writeHistory();
  const alone = stand.start('run sync --json');
  expect({ code: await alone.ended(), said: alone.said().split('\n').length - 1 }).toEqual({
    code: 0,
    said: 2,
  });
  const ends = alone.lines() as unknown as readonly {
    job: string;
    stream: string;
    outcome: string;
    counts: { new: number };
  }[];
  expect(ends.map(({ job, outcome }) => ({ job, outcome }))).toEqual([
    { job: 'sync', outcome: 'done' },
    { job: 'sync', outcome: 'done' },
  ]);
  expect(ends.every(({ counts }) => counts.new > 50)).toBe(true);

  const served = stand.start('serve');
  await says(served, 'serving');
  const trim = stand.start('run trim');
  expect(await trim.ended()).toBe(0);
  expect(trim.said()).toMatch(/^trim done/);
  const one = stand.start('run sync --stream qstash.main');
  expect(await one.ended()).toBe(0);
  expect(one.said()).toMatch(/^qstash\.main: sync done/);

  const house = stand.start('run trim --stream qstash.main');
  expect({ code: await house.ended(), said: house.said() }).toEqual({
    code: 2,
    said: 'logkeep: --stream: "qstash.main": expected none, as trim is not a job of one stream; leave it out\n',
  });
  const wrong = stand.start('run snyc');
  expect({ code: await wrong.ended(), said: wrong.said() }).toEqual({
    code: 2,
    said: 'logkeep: run: "snyc": expected one of sync, sweep, backfill, trim; did you mean sync?\n',
  });
}, 120_000);
