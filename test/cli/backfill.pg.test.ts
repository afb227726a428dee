import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { differ } from '../crash/lines.ts';
import { createDatabase, type TestDatabase, withClient } from '../postgres.ts';
import { onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createDesk, type Desk, rowsOf } from './child.ts';

const HOUR = 3_600_000;
let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;
let now: number;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([
    startSandbox({
      qstash: { maxCount: 25 },
      datadog: { quota: { limit: 2_000, periodS: 3600 }, maxLimit: 25, overMax: 'clamp' },
    }),
    createDatabase(),
  ]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
  now = Math.floor(Date.now() / 1000) * 1000;
  sandbox.qstash.history({ from: now - 12 * HOUR, to: now - 300_000, messages: 600 });
  sandbox.datadog.history({ from: now - 12 * HOUR, to: now - 300_000, logs: 3_000 });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

const iso = (ms: number) => new Date(ms).toISOString();
const world = {
  query: <Row extends Record<string, unknown>>(text: string, values?: unknown[]) =>
    withClient(database.url, async (client) => (await client.query<Row>(text, values)).rows),
};

/** What is stored is what was there from so long ago on. */
async function expectStored(from: number): Promise<void> {
  const visible = { from, visibleAt: Date.now() };
  expect(differ(await storedQstash(world), onceEach(sandbox.qstash.truth(visible)))).toEqual([]);
  expect(differ(await storedDatadog(world), onceEach(sandbox.datadog.truth(visible)))).toEqual([]);
}

function jsonLines(text: string): readonly Record<string, unknown>[] {
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe('backfill', () => {
  it('without --to ends where all can be claimed, at whatever moment of a second it begins', async () => {
    for (let run = 0; run < 3; run++) {
      const { code, out } = await desk.runHere('backfill --from 30m');
      expect(out).not.toContain('missing');
      expect(code).toBe(0);
    }
  });

  it('tells a plan without asking or changing anything, then reads what was chosen, and a second time nothing is missing', async () => {
    expect((await desk.runHere('sync --since 1h')).code).toBe(0);
    const asked = sandbox.requests().length;
    const chosen = `--from ${iso(now - 10 * HOUR)} --to ${iso(now - HOUR / 2)}`;
    const plan = await desk.runHere(`backfill ${chosen} --dry-run`);
    expect(plan.code).toBe(0);
    expect(plan.err).toBe('');
    expect(plan.out).toMatch(
      /^qstash\.main: .* are missing, (30 min|29 min [0-9]+ s) are already copied or known to be lost$/m,
    );
    expect(plan.out).toMatch(/windows, oldest first; at least [\d,]+ requests: about [\d,]+ entries/);
    expect(plan.out).toMatch(/at the present quota \([\d,]+ requests now, then [\d,]+ in 1 h,/);
    expect(plan.out).toContain('all of it can be read before it expires');
    expect(sandbox.requests().length).toBe(asked);
    expect(await rowsOf(database, 'select * from logkeep.backfill')).toEqual([]);

    const done = await desk.runHere(`backfill ${chosen}`);
    expect([done.code, done.err.includes('windows, oldest first')]).toEqual([0, true]);
    expect(done.out).toMatch(/^qstash\.main: complete: [\d,]+ new entries/m);
    await expectStored(now - 10 * HOUR);
    const again = await desk.runHere(`backfill ${chosen} --json`);
    expect(again.code).toBe(0);
    expect(jsonLines(again.out).filter(({ event }) => event === 'end')).toMatchObject([
      { stream: 'qstash.main', outcome: 'done', requests: 0, missing: [] },
      { stream: 'datadog.main', outcome: 'done', requests: 0, missing: [] },
    ]);
    const nothing = await desk.runHere('backfill');
    expect(nothing.code).toBe(0);
    expect(nothing.err).toContain('qstash.main: no backfill is open');
    // Once is enough.
    expect(nothing.out).toBe('');

    const old = await desk.runHere('backfill --from 9d --to 8d --stream qstash.main');
    expect([old.code, old.err]).toEqual([
      0,
      expect.stringContaining('set `retention` (now 3 d) to that of your plan or index first'),
    ]);
    expect(old.out).toMatch(/^qstash\.main: nothing was left to read: 0 new entries/);
  });

  it('takes both ends of one now, so that a span is as long as it was said to be', async () => {
    expect((await desk.runHere('sync --since 1h --stream qstash.main')).code).toBe(0);
    for (const [line, missing] of [
      ['--from 2d --to 1d', '1 d'],
      ['--from 71h --to 24h', '1 d 23 h'],
    ]) {
      const { out } = await desk.runHere(`backfill ${line} --stream qstash.main --dry-run`);
      expect(out).toContain(`: ${missing} are missing\n`);
    }
  });

  it.each([
    ['a clock that was days ahead', '-5 d', 0],
    ['one that was a day behind', '1 d', 24 * HOUR],
  ])('a plan counts what has expired from now, though the last run was by %s', async (_, skew, aheadMs) => {
    expect((await desk.runHere('sync --since 1h --stream datadog.main')).code).toBe(0);
    await rowsOf(database, `update logkeep.stream set api_skew = '${skew}'`);
    const { out } = await desk.runHere('backfill --from 7d --stream datadog.main --dry-run --json');
    const [plan] = jsonLines(out) as unknown as [
      Record<'windows' | 'expired', { from: string; to: string }[]> & { missing_ms: number },
    ];
    const edge = Date.parse(plan.expired.at(-1)?.to ?? '');
    expect(Math.abs(edge - (Date.now() + aheadMs - 72 * HOUR))).toBeLessThan(10_000);
    expect(plan.windows[0]?.from).toBe(iso(edge));
    const lengthOf = (spans: typeof plan.windows) =>
      spans.reduce((sum, { from, to }) => sum + Date.parse(to) - Date.parse(from), 0);
    // Nothing is left out.
    expect(lengthOf(plan.windows) + lengthOf(plan.expired)).toBe(plan.missing_ms);
    const { out: text } = await desk.runHere('backfill --from 7d --stream datadog.main --dry-run');
    expect(text).toMatch(/the oldest expires in \d( s|00 ms|\d\d ms);/);
    expect(text).toMatch(/expires in\n.* {2}(\d s|\d+ ms)\n/);

    // The run asks what time it is before it gives anything up.
    const [end] = jsonLines(
      (await desk.runHere('backfill --from 7d --stream datadog.main --json')).out,
    ).filter(({ event }) => event === 'end');
    expect(end).toMatchObject({ outcome: 'done', missing: [] });
    const [{ edge: given } = {}] = await world.query<{ edge: string }>(
      'select extract(epoch from upper(expired)) * 1000 as edge from logkeep.stream',
    );
    expect(Math.abs(Number(given) - (Date.now() - 72 * HOUR))).toBeLessThan(20_000);
  });

  it('tells how much of all it has to read is read, over all windows, never going back', async () => {
    const { out } = await desk.runHere('backfill --from 6h --to 1h --json');
    for (const name of ['qstash.main', 'datadog.main']) {
      const shares = jsonLines(out)
        .filter(({ stream, event }) => stream === name && event === 'stored')
        .map(({ plan_share }) => plan_share as number);
      expect(shares).toEqual(shares.toSorted((a, b) => a - b));
      // How much the first batch holds hangs on the hour; of the window alone it would be all.
      expect(shares[0]).toBeLessThan(1);
      expect(shares.at(-1)).toBe(1);
    }
  });

  it('goes on after a SIGKILL in the middle, with nothing twice and nothing lost', async () => {
    expect((await desk.runHere('sync --since 1h')).code).toBe(0);
    sandbox.faults.every(1, { kind: 'slow', ms: 150 });
    const chosen = `--from ${iso(now - 11 * HOUR)} --to ${iso(now - HOUR / 2)}`;
    for (let kills = 0; kills < 3; kills++) {
      const before = await batches();
      const killed = desk.start(kills === 0 ? `backfill ${chosen}` : 'backfill');
      await expect.poll(batches, { timeout: 20_000, interval: 25 }).toBeGreaterThan(before + 1);
      killed.signal('SIGKILL');
      await killed.finished;
      expect(await rowsOf(database, 'select job from logkeep.sync_window')).not.toEqual([]);
      await world.query(`update logkeep.sync_window set lease_until = clock_timestamp() - interval '1 s'`);
    }
    sandbox.faults.clear();
    const last = await desk.runHere('backfill');
    expect({ code: last.code, err: last.code === 0 ? '' : last.err }).toEqual({ code: 0, err: '' });
    await expectStored(now - 11 * HOUR);
    expect(await rowsOf(database, 'select * from logkeep.gap')).toEqual([]);
    expect(await rowsOf(database, 'select * from logkeep.sync_window')).toEqual([]);
    const [counted] = await rowsOf(
      database,
      `select sum(new)::int = (select count(*) from logkeep.qstash_log) + (select count(*) from logkeep.datadog_log) as same from logkeep.run`,
    );
    expect(counted).toEqual({ same: true });
  }, 90_000);

  it('stops cleanly, shows what is left as a hole, and can be given up', async () => {
    expect((await desk.runHere('sync --since 1h')).code).toBe(0);
    sandbox.faults.every(1, { kind: 'slow', ms: 300 });
    const command = desk.start(`backfill --from ${iso(now - 11 * HOUR)} --to ${iso(now - HOUR)}`);
    await expect.poll(batches, { timeout: 20_000, interval: 25 }).toBeGreaterThan(2);
    command.signal('SIGINT');
    const stopped = await command.finished;
    expect(stopped.code).toBe(1);
    expect(stopped.out).toContain('stopped before the end');
    expect(stopped.err).toContain('run `logkeep backfill` to go on');
    const gaps = await desk.runHere('gaps');
    expect([gaps.code, gaps.err.includes('logkeep backfill')]).toEqual([1, true]);
    const cancelled = await desk.runHere('backfill --cancel');
    expect(cancelled.out).toContain('1 backfill cancelled; what was read stays');
    expect((await desk.runHere('gaps')).code).toBe(0);
  });

  it('says what cannot be read before it expires, and by how much', async () => {
    await sandbox.close();
    sandbox = await startSandbox({ datadog: { quota: { limit: 4, periodS: 3600 } } });
    sandbox.datadog.history({ from: now - HOUR, to: now - 60_000, logs: 4_000 });
    desk.clear();
    desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
    await desk.runHere('sync --since 1h --stream datadog.main --max-requests 2');
    const { out, code } = await desk.runHere('backfill --from 71h --stream datadog.main --dry-run --json');
    expect(code).toBe(0);
    const [plan] = jsonLines(out);
    expect(plan).toMatchObject({ stream: 'datadog.main', event: 'plan', in_time: false });
    expect(plan?.late_ms).toBeGreaterThan(HOUR);
    expect(plan?.lost_ms).toBeGreaterThan(HOUR);
    const text = await desk.runHere('backfill --from 71h --stream datadog.main --dry-run');
    expect(text.out).toMatch(/it cannot all be read before it expires by .*: about .* will be lost/);
  });

  it.each([
    ['--to 1h', '--to: expected together with --from'],
    ['--from 1h --to 2h', '--from: '],
    ['--from 2099-01-01T00:00:00Z', '--from: 2099-01-01T00:00:00.000Z: expected a time before now'],
    ['--from 1h --to 2099-01-01T00:00:00Z', 'expected a time that is not in the future'],
    ['--from yesterday', '--from: "yesterday": expected a duration such as 3d'],
    ['--cancel --dry-run', '--cancel: expected without --from, --to and --dry-run'],
    ['--from 1h --stream qstash.mian', 'did you mean qstash.main?'],
  ])('refuses %s with exit 2 before anything starts', async (line, said) => {
    const { code, err } = await desk.runHere(`backfill ${line}`);
    expect([code, err]).toEqual([2, expect.stringContaining(said)]);
    expect(sandbox.requests()).toEqual([]);
  });
});

/** Batches that backfills have committed. */
async function batches(): Promise<number> {
  const [row] = await rowsOf(
    database,
    `select coalesce(sum(batches), 0)::int as n from logkeep.run where job = 'backfill'`,
  );
  return row?.n as number;
}
