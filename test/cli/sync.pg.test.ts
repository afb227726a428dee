import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf, writeSmallHistory } from './child.ts';

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(), createDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

describe('sync', () => {
  it('copies both logs into an empty database by one command, and a second one costs a request a stream', async () => {
    const shown = writeSmallHistory(sandbox, 60, 300);
    const first = await desk.run('sync');
    expect(first.code).toBe(0);
    expect(first.out).toMatch(
      /^qstash\.main: caught up: [\d,]+ new entries, .* requests?, .*; covered until /m,
    );
    expect(first.out).toContain(`\ndatadog.main: caught up: ${shown.datadog} new entries`);
    const [counts] = await rowsOf(
      database,
      'select (select count(*)::int from logkeep.qstash_log) as q, (select count(*)::int from logkeep.datadog_log) as d',
    );
    expect(counts).toEqual({ q: shown.qstash, d: shown.datadog });
    // What is covered ends at a whole second: within the same one there is nothing to ask for.
    await delay(1_000);
    const second = await desk.run('sync --json');
    expect(second.code).toBe(0);
    const ends = jsonLines(second.out).filter(({ event }) => event === 'end');
    expect(ends).toMatchObject([
      { stream: 'qstash.main', outcome: 'done', new: 0, requests: 1 },
      { stream: 'datadog.main', outcome: 'done', new: 0, requests: 1 },
    ]);
  });

  it('lets the trouble of one stream stop that stream alone, and exits 1', async () => {
    const shown = writeSmallHistory(sandbox, 20, 100);
    const { code, out, err } = await desk.run('sync', { QSTASH_TOKEN: 'of-another-region' });
    expect(code).toBe(1);
    expect(out).toMatch(/^qstash\.main: failed: 0 new entries/m);
    expect(out).toContain(`\ndatadog.main: caught up: ${shown.datadog} new entries`);
    expect(err).toMatch(/logkeep: qstash\.main: .*401.*check the token/);
    expect(out + err).not.toContain('of-another-region');
  });

  it('refuses a wrong setting with exit 2 before anything starts', async () => {
    const { code, out, err } = await desk.run('sync', { DD_SITE: 'nowhere.example' });
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('DD_SITE: "nowhere.example": expected a Datadog site');
    expect(sandbox.requests()).toEqual([]);
    expect(await rowsOf(database, "select to_regnamespace('logkeep') as schema")).toEqual([{ schema: null }]);
  });

  it('refuses to read again what was never asked for, with exit 2, and makes no gap of it', async () => {
    await desk.run('sync --since 1h');
    const requests = sandbox.requests().length;
    const span = '2024-01-01T00:00:00Z/2024-01-02T00:00:00Z';
    const { code, out, err } = await desk.run(`sync --again ${span}`);
    expect([code, out]).toEqual([2, '']);
    expect(err).toMatch(
      /^logkeep: --again: 2024-\S+: qstash\.main is asked for since \S+, and was never asked for \S+: expected a span after that, or run `logkeep backfill --stream qstash\.main --from 2024-01-01T00:00:00\.000Z --to 2024-01-02T00:00:00\.000Z`\n$/,
    );
    expect(sandbox.requests()).toHaveLength(requests);
    expect(await desk.run('gaps')).toMatchObject({ code: 0, out: 'no gaps\n' });
    expect((await desk.run('sync --again 10m')).code).toBe(0);
  });

  it('ends cleanly after --max-requests, says how far it is, and the next goes on from there', async () => {
    const shown = writeSmallHistory(sandbox, 400, 0);
    const { code, out, err } = await desk.run('sync --stream qstash.main --max-requests 3');
    expect(code).toBe(0);
    expect(out).toMatch(
      /^qstash\.main: stopped before the end: 300 new entries, 0 known, 3 requests.*; nothing covered yet/m,
    );
    expect(err).toMatch(
      /qstash\.main: \d+ % of the window in hand is read; run sync again to go on from there/,
    );
    const next = await desk.run('sync --stream qstash.main');
    const left = (shown.qstash - 300).toLocaleString('en-US');
    expect(next.out).toContain(`qstash.main: caught up: ${left} new entries,`);
    expect(sandbox.requests().length).toBeLessThanOrEqual(Math.ceil(shown.qstash / 100) * 1.02 + 2);
  });

  it('says how far all is read, not how far anything is, and names what is missing below', async () => {
    writeSmallHistory(sandbox, 60, 0);
    const first = await desk.run('sync --stream qstash.main --since 2h --json');
    const [end] = jsonLines(first.out).filter(({ event }) => event === 'end');
    expect(end).toMatchObject({ outcome: 'done', holes: [] });
    const from = new Date(Date.parse(end?.covered_to as string) - 3_600_000);
    const to = new Date(+from + 600_000);
    const line = (time: Date) => `${time.toISOString().replace('T', ' ').slice(0, 19)}Z`;
    await rowsOf(
      database,
      `update logkeep.stream set covered = covered - tstzmultirange(tstzrange('${from.toISOString()}', '${to.toISOString()}')) returning 1`,
    );
    const hole = `${line(from)} to ${line(to)} (10 min)`;
    sandbox.faults.next('qstash', { kind: 'refuse' });
    const second = await desk.run('sync --stream qstash.main --since 2h');
    expect(second.out).toContain(`; covered until ${line(from)}; 1 hole: ${hole}\n`);
    // An earlier beginning, of which nothing is read yet.
    sandbox.faults.next('qstash', { kind: 'refuse' });
    const third = await desk.run('sync --stream qstash.main --since 5h');
    expect(third.out).toMatch(/; nothing covered yet; 2 holes: \S+ \S+Z to \S+ \S+Z \(\d h( \d+ min)?\), /);
    expect(third.out).toContain(`, ${hole}\n`);
    sandbox.faults.next('qstash', { kind: 'refuse' });
    const fourth = await desk.run('sync --stream qstash.main --json');
    expect(jsonLines(fourth.out).at(-1)).toMatchObject({
      covered_to: null,
      holes: [
        { length_ms: expect.any(Number) },
        { from: from.toISOString(), to: to.toISOString(), length_ms: 600_000 },
      ],
    });
    const last = await desk.run('sync --stream qstash.main');
    expect(last.out).toMatch(/caught up: .*; covered until \S+ \S+Z\n$/);
  });

  it('tells how much of all it has to read is read, over all windows, never going back', async () => {
    writeSmallHistory(sandbox, 0, 300);
    await desk.run('sync --stream datadog.main --since 3h');
    await rowsOf(
      database,
      `update logkeep.stream set covered = covered
          - tstzmultirange(tstzrange(asked_from + interval '20 min', asked_from + interval '60 min'))
          - tstzmultirange(tstzrange(asked_from + interval '80 min', asked_from + interval '100 min'))
          - tstzmultirange(tstzrange(upper(covered) - interval '1 min', null)) returning 1`,
    );
    const { out } = await desk.run('sync --stream datadog.main --since 3h --json');
    const events = jsonLines(out);
    expect(events.filter(({ event }) => event === 'window').length).toBeGreaterThanOrEqual(2);
    const shares = events.flatMap(({ event, plan_share }) =>
      event === 'stored' ? [plan_share as number] : [],
    );
    expect(shares).toEqual(shares.toSorted((a, b) => a - b));
    // 40 minutes, 20, and the overlap of 15 with the tail, of which a minute at least is missing.
    expect(shares, 'after the first window').toContainEqual(expect.closeTo(40 / 75, 1));
    expect(shares.at(-1)).toBe(1);
  });

  it('ends at --until, a time or so long ago, and leaves what came after it to the next sync', async () => {
    const until = Math.floor(Date.now() / 1000) * 1000 - 3_600_000;
    // One each minute, of which one is in the last ms before, and one in the first ms after.
    const times = [...Array.from({ length: 110 }, (_, n) => until + (n - 60) * 60_000 - 1), until + 1];
    const common = (time: number) => ({ visibleAtMs: time, writtenMs: time, atMs: time, intakeMs: time });
    sandbox.qstash.add(
      times.map((time, n) => ({
        entry: { time, messageId: `msg_${n}`, state: 'CREATED', url: 'https://a.example/' },
        ...common(time),
      })),
    );
    sandbox.datadog.add(
      times.map((time, n) => ({
        content: { timestamp: new Date(time).toISOString(), message: `${n}` },
        ...common(time),
      })),
    );
    const stored = () =>
      rowsOf(
        database,
        `select stream, count(*)::int as n, max(time) as newest, upper(covered) as until
          from logkeep.log_entry join logkeep.stream using (stream) group by stream, covered order by stream desc`,
      );
    const upTo = (end: number) => times.filter((time) => time < end);
    const iso = new Date(until).toISOString();
    const first = await desk.runHere(`sync --until ${iso} --json`);
    expect([first.code, first.err]).toEqual([0, '']);
    expect(jsonLines(first.out).filter(({ event }) => event === 'end')).toMatchObject([
      { stream: 'qstash.main', outcome: 'done', new: 61, covered_to: iso },
      { stream: 'datadog.main', outcome: 'done', new: 61, covered_to: iso },
    ]);
    const ended = { n: 61, newest: new Date(until - 1), until: new Date(until) };
    expect(await stored()).toEqual(['qstash.main', 'datadog.main'].map((stream) => ({ stream, ...ended })));
    const begun = Date.now();
    expect((await desk.runHere('sync --until 30m')).code).toBe(0);
    for (const row of await stored()) {
      const end = (row.until as Date).getTime();
      expect(end).toBeGreaterThanOrEqual(begun - 1_801_000);
      expect(end).toBeLessThanOrEqual(Date.now() - 1_800_000);
      expect(row.n).toBe(upTo(end).length);
    }
    expect((await desk.runHere('sync')).code).toBe(0);
    expect((await stored()).map(({ n }) => n)).toEqual([times.length, times.length]);
  });

  it('logs in plain lines among its talk, and in JSON where machines read', async () => {
    writeSmallHistory(sandbox, 0, 10);
    const line = 'sync --stream datadog.main --log-level debug';
    const plain = await desk.run(`${line} --since 1h`);
    expect(plain.err).toMatch(/^debug: datadog\.main: batch stored \(.*fetched \d+/m);
    expect(plain.err).not.toMatch(/^\{/m);
    // From further back, so that there is something to read, however soon it comes.
    const { err } = await desk.run(`${line} --since 2h --json`);
    expect(jsonLines(err).map(({ msg }) => msg)).toContain('batch stored');
  });

  it('ends cleanly after --for, having stored what it read', async () => {
    writeSmallHistory(sandbox, 400, 0);
    slowAfter(4, 60_000);
    const begun = performance.now();
    const { code, out } = await desk.run('sync --stream qstash.main --for 3s');
    expect(performance.now() - begun).toBeLessThan(15_000);
    expect(code).toBe(0);
    expect(out).toMatch(/stopped before the end: \d+ new entries/);
    // On a busy machine three seconds bring fewer pages: all that were answered must be there, but for one under way.
    const given = sandbox.requests().map(({ entries }) => entries);
    const sum = given.reduce((total, entries) => total + entries, 0);
    const [row] = await rowsOf(database, 'select count(*)::int as n from logkeep.qstash_log');
    expect([sum, sum - (given.at(-1) ?? 0)]).toContain(row?.n);
    expect(out).toContain(` ${row?.n} new entries`);
  });

  it('stopped by a signal keeps what it read and exits 1, as it is not caught up', async () => {
    writeSmallHistory(sandbox, 400, 0);
    slowAfter(4, 60_000);
    const command = desk.start('sync --stream qstash.main --json');
    await command.says(/"event":"stored"/);
    command.signal('SIGINT');
    const { code, out } = await command.finished;
    expect(code).toBe(1);
    expect(jsonLines(out).at(-1)).toMatchObject({
      event: 'end',
      outcome: 'stopped',
      new: 400,
      covered_to: null,
    });
    const [window] = await rowsOf(
      database,
      'select cursor is not null as resumes, holder from logkeep.sync_window',
    );
    expect(window).toEqual({ resumes: true, holder: null });
  });

  it('names the process that reads a stream already, and waits for it', async () => {
    const shown = writeSmallHistory(sandbox, 100, 0);
    slowAfter(1, 60_000);
    const first = desk.start('sync --stream qstash.main --json');
    await first.says(/"event":"window"/);
    const second = desk.start('sync --stream qstash.main');
    const said = await second.says(/qstash\.main: waiting for \S+:\d+:\w+, which is reading it now/);
    const [row] = await rowsOf(database, 'select holder from logkeep.sync_window');
    expect(said).toContain(`waiting for ${row?.holder},`);
    first.signal('SIGINT');
    expect([(await first.finished).code, (await second.finished).code]).toEqual([1, 0]);
    const [counted] = await rowsOf(database, 'select count(*)::int as n from logkeep.qstash_log');
    expect(counted).toEqual({ n: shown.qstash });
  });
});

function jsonLines(text: string): readonly Record<string, unknown>[] {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** The QStash answer after the first `count` takes `ms`. */
function slowAfter(count: number, ms: number): void {
  const quick = Array.from({ length: count }, () => ({ kind: 'slow', ms: 0 }) as const);
  sandbox.faults.next('qstash', ...quick, { kind: 'slow', ms });
}
