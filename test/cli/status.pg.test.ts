import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openStreams } from '../../src/app.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { createRedactor } from '../../src/redact.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createHttp } from '../../src/sources/http.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { openStore } from '../../src/store/database.ts';
import { readStatus } from '../../src/store/status.ts';
import { createDatabase, createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf, writeSmallHistory } from './child.ts';

const HOUR = 3_600_000;
let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(), createMigratedDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

describe('status', () => {
  it('says how far each stream is, what is stored, how the last run went and what quota is left', async () => {
    const shown = writeSmallHistory(sandbox, 40, 200);
    await desk.runHere('sync');
    const { code, out } = await desk.runHere('status --json');
    expect(code).toBe(0);
    const [qstash, datadog] = JSON.parse(out).streams;
    expect(qstash).toMatchObject({
      stream: 'qstash.main',
      configured: true,
      settings_changed: false,
      gaps: [],
      rows: shown.qstash,
      quarantined: 0,
      last_run: { job: 'sync', outcome: 'done', error: null },
      windows: [],
      quota: { limit: 100 },
    });
    expect(qstash.lag_ms).toBeGreaterThanOrEqual(30_000);
    expect(qstash.lag_ms).toBeLessThan(60_000);
    expect(Date.parse(qstash.covered_to)).toBeGreaterThan(Date.now() - 60_000);
    expect(qstash.expires_in_ms).toBeGreaterThan(71 * HOUR);
    expect(datadog).toMatchObject({ rows: shown.datadog, quota: { limit: 300, remaining: 298 } });
    const text = (await desk.runHere('status')).out;
    expect(text).toMatch(/^stream +covered until +lag +gaps +stored +last sync +quota left +expires in$/m);
    expect(text).toMatch(
      /^datadog\.main +\S+ \S+Z +2 min( \d+ s)? +none +\d+ +done \d+ m?s ago +298 of 300, resets in/m,
    );
    // Another stream or process of the same credential was told later.
    await rowsOf(database, 'update logkeep.quota set remaining = 71 where quota_limit = 300');
    expect((await desk.runHere('status')).out).toMatch(/^datadog\.main .* 71 of 300, resets in/m);
    await rowsOf(database, 'update logkeep.quota set ends_at = clock_timestamp()');
    expect((await desk.runHere('status')).out).toMatch(/^datadog\.main .* ago +- +\d/m);
  });

  it('tells a run that is alive from one that crashed, and who holds a window', async () => {
    await insertStream(database, 'qstash.main', { hours: 2 });
    await rowsOf(
      database,
      `with r as (insert into logkeep.run (stream, fingerprint, job, holder, alive_until)
        values ('qstash.main', $1, 'sync', 'host:1:abc', now() + interval '20 s'))
      insert into logkeep.sync_window (stream, fingerprint, from_time, to_time, pages, holder, lease_until)
      values ('qstash.main', $1, now() - interval '2 h', now(), 7, 'host:1:abc', now() + interval '9 s')`,
      [fingerprintOf('qstash.main')],
    );
    const alive = await desk.runHere('status');
    expect(alive.out).toMatch(/qstash\.main: host:1:abc is reading it now/);
    expect(alive.out).toMatch(/window in hand .*, 7 pages stored, held by host:1:abc/);
    await rowsOf(
      database,
      `with w as (update logkeep.sync_window set lease_until = now() - interval '1 s')
      update logkeep.run set alive_until = now() - interval '1 s'`,
    );
    const dead = await desk.runHere('status');
    expect(dead.out).toMatch(/the last sync died without reporting/);
    expect(dead.out).toMatch(/7 pages stored, waits for the next run/);
  });

  it('shows the error of a run that failed, streams not configured, changed settings and unknown names', async () => {
    await desk.runHere('sync', { QSTASH_TOKEN: 'wrong' });
    await insertStream(database, 'qstash.old', { hours: 1 });
    await rowsOf(
      database,
      "insert into logkeep.unknown_name (stream, name) values ('datadog.main', 'field:\u001b[31mred'), ('datadog.main', 'state:TELEPORTED'), ('datadog.main', 'id:undecoded')",
    );
    const { out, code } = await desk.runHere('status', { DD_LOGS_QUERY: 'service:web' });
    expect(code).toBe(0);
    expect(out).toMatch(/qstash\.main: the last sync failed: .*401/);
    expect(out).toMatch(/qstash\.old: not configured now/);
    expect(out).toMatch(
      /datadog\.main: its settings have changed since the last run and ask for other entries/,
    );
    expect(out).toMatch(
      /datadog\.main: field:\\u001b\[31mred is new to this version, .* ago; kept in extra$/m,
    );
    expect(out).toMatch(/: state:TELEPORTED is new to this version, .* ago; kept in the column state$/m);
    expect(out).toMatch(/: id:undecoded is new to this version, .* ago; kept in the column id$/m);
    expect(out).not.toContain('\u001b');
  });

  it('names the fields and states of entries that this version does not know, and where they are kept', async () => {
    const time = Date.now() - 600_000;
    const entry = {
      time,
      messageId: 'msg_1',
      url: 'https://a.example/',
      state: 'SUSPENDED',
      suspendedBy: 'bob',
    };
    const content = { timestamp: new Date(time).toISOString(), message: 'a', severity_number: 17 };
    sandbox.qstash.add([{ entry, visibleAtMs: time, writtenMs: time }]);
    sandbox.datadog.add([{ content, atMs: time, visibleAtMs: time, intakeMs: time }]);
    const before = (await desk.runHere('status')).out;
    expect((await desk.runHere('sync')).code).toBe(0);
    const { code, out } = await desk.runHere('status');
    expect([before, code]).toEqual([expect.not.stringContaining('new to this version'), 0]);
    const seen = 'is new to this version, first seen [\\d.]+ m?s ago; kept';
    expect(out).toMatch(new RegExp(`^qstash\\.main: field:suspendedBy ${seen} in extra$`, 'm'));
    expect(out).toMatch(new RegExp(`^qstash\\.main: state:SUSPENDED ${seen} in the column state$`, 'm'));
    expect(out).toMatch(new RegExp(`^datadog\\.main: field:severity_number ${seen} in extra$`, 'm'));
    const { streams } = JSON.parse((await desk.runHere('status --json')).out);
    expect(
      streams.map(({ unknown }: { unknown: { name: string }[] }) => unknown.map(({ name }) => name)),
    ).toEqual([['field:suspendedBy', 'state:SUSPENDED'], ['field:severity_number']]);
    expect(await rowsOf(database, 'select state, extra from logkeep.qstash_log')).toEqual([
      { state: 'SUSPENDED', extra: { suspendedBy: 'bob' } },
    ]);
    expect(await rowsOf(database, 'select extra from logkeep.datadog_log')).toEqual([
      { extra: { severity_number: 17 } },
    ]);
  });

  it('warns when what is not read is about to expire', async () => {
    await desk.runHere('sync --stream qstash.main');
    await rowsOf(
      database,
      "update logkeep.stream set asked_from = now() - interval '2 h', retention = '130 min', covered = '{}'",
    );
    const { out } = await desk.runHere('status --stream qstash.main');
    expect(out).toMatch(/entries from \S+ \S+ on expire in 9 min/);
  });

  it('says of what is about to expire who is reading it, while that process lives', async () => {
    await insertStream(database, 'qstash.main', { hours: 2 });
    await rowsOf(database, "update logkeep.stream set retention = '130 min', covered = '{}'");
    await rowsOf(
      database,
      `with r as (insert into logkeep.run (stream, fingerprint, job, holder, batches, alive_until)
        values ('qstash.main', $1, 'sync', 'host:1:abc', 3, now() + interval '20 s'))
      insert into logkeep.sync_window (stream, fingerprint, from_time, to_time, pages, holder, lease_until)
      values ('qstash.main', $1, now() - interval '3 h', now(), 7, 'host:1:abc', now() + interval '9 s')`,
      [fingerprintOf('qstash.main')],
    );
    const read = await desk.runHere('status --stream qstash.main');
    expect(read.out).toMatch(/entries from \S+ \S+ on expire in 9 min.*: host:1:abc is reading them$/m);
    expect(read.out).not.toContain('run `logkeep sync`');
    const checked = await desk.runHere('check --stream qstash.main');
    expect([checked.code, checked.out]).toEqual([
      0,
      expect.stringMatching(
        /^note +qstash\.main +what is not read .* only 9 min.*: host:1:abc is reading them$/m,
      ),
    ]);
    await rowsOf(database, "update logkeep.run set waits_until = now() + interval '1 h'");
    expect((await desk.runHere('status --stream qstash.main')).out).toMatch(
      /expire in 9 min.*: host:1:abc has them in hand, and waits for quota until (?:\S+ )?\S+Z$/m,
    );
    await rowsOf(database, "update logkeep.sync_window set lease_until = now() - interval '1 s'");
    expect((await desk.runHere('status --stream qstash.main')).out).toMatch(
      /expire in 9 min.*: run `logkeep sync` before$/m,
    );
  });

  it('shows the sync that is under way, not the sweep that ended after it began', async () => {
    await insertStream(database, 'qstash.main', { hours: 2 });
    await rowsOf(
      database,
      `insert into logkeep.run (stream, fingerprint, job, holder, started_at, finished_at, alive_until, outcome) values
      ('qstash.main', $1, 'sync', 'host:1:abc', now() - interval '70 s', null, now() + interval '20 s', 'running'),
      ('qstash.main', $1, 'sweep', 'host:1:abc', now() - interval '14 s', now() - interval '13 s', now(), 'done')`,
      [fingerprintOf('qstash.main')],
    );
    const { out } = await desk.runHere('status --stream qstash.main');
    expect(out).toMatch(/^qstash\.main .* running for 1 min 1\d s /m);
    expect(out).toContain('qstash.main: host:1:abc is reading it now');
    await rowsOf(database, "update logkeep.run set alive_until = now() where outcome = 'running'");
    expect((await desk.runHere('status --stream qstash.main')).out).toMatch(
      /^qstash\.main .* crashed 1 min 1\d s ago /m,
    );
  });

  it('shows a sync that failed though a sweep ended after it, and a sweep that failed until one is done', async () => {
    await insertStream(database, 'qstash.main', { hours: 2 });
    const ended = (job: string, outcome: string, secondsAgo: number) =>
      rowsOf(
        database,
        `insert into logkeep.run (stream, fingerprint, job, holder, started_at, finished_at, alive_until, outcome, error)
        select 'qstash.main', $1, $2, 'host:1:abc', at, at, at, $3, case when $3 = 'failed' then 'qstash.main: ' || $2 || ' got 401' end
        from (select now() - make_interval(secs => $4) as at) t`,
        [fingerprintOf('qstash.main'), job, outcome, secondsAgo],
      );
    const text = async () => (await desk.runHere('status --stream qstash.main')).out;
    await ended('sync', 'failed', 70);
    await ended('sweep', 'done', 33);
    const failed = await text();
    expect(failed).toMatch(/^qstash\.main .* failed 1 min 1\d s ago /m);
    expect(failed).toMatch(/^qstash\.main: the last sync failed: sync got 401$/m);
    await ended('sweep', 'failed', 30);
    await ended('sweep', 'stopped', 25);
    await ended('sync', 'done', 20);
    const well = await text();
    expect(well).toMatch(/^qstash\.main .* done 2\d s ago /m);
    expect(well).toMatch(/^qstash\.main: the last sweep failed 3\d s ago: sweep got 401$/m);
    await ended('sweep', 'done', 10);
    expect(await text()).not.toContain('401');
  });

  it('knows a first read from one that has ended, and how long ago something was stored', async () => {
    writeSmallHistory(sandbox, 200, 10);
    const read = async () => {
      const store = openStore(database.url);
      const [status] = await readStatus(store.db).finally(() => store.close());
      return status;
    };
    await desk.runHere('sync --stream qstash.main --max-requests 1');
    const first = await read();
    expect(first).toMatchObject({ firstRead: true, untouched: false });
    expect(Math.abs(first?.storedAgoMs ?? Number.NaN)).toBeLessThan(30_000);
    await desk.runHere('sync --stream qstash.main');
    expect(await read()).toMatchObject({ firstRead: false, untouched: false });
  });

  it('refuses a database without tables with what to do, and a stream that nobody knows', async () => {
    const empty = await createDatabase();
    try {
      const { code, err } = await desk.runHere('status', { DATABASE_URL: empty.url });
      expect(code).toBe(2);
      expect(err).toMatch(
        /lacks the migrations 0001_\w+ to \d{4}_\w+: expected the tables of this version; run `logkeep sync`/,
      );
    } finally {
      await empty.drop();
    }
    const unknown = await desk.runHere('status --stream qstash.man');
    expect(unknown.code).toBe(2);
    expect(unknown.err).toContain('did you mean qstash.main?');
  });
});

describe('gaps', () => {
  it('lists holes, expired and oversize spans with what each means, and exits 1', async () => {
    await insertStream(database, 'qstash.main', { hours: 10 });
    await rowsOf(
      database,
      `update logkeep.stream set
        covered = covered - tstzmultirange(tstzrange(asked_from + interval '4 h', asked_from + interval '5 h')),
        expired = tstzmultirange(tstzrange(asked_from, asked_from + interval '1 h')),
        oversize = tstzmultirange(tstzrange(asked_from + interval '6 h', asked_from + interval '6 h 1 ms'))`,
    );
    await rowsOf(database, 'update logkeep.stream set covered = covered - expired - oversize');
    const { code, out, err } = await desk.runHere('gaps');
    expect(code).toBe(1);
    expect(out).toMatch(/^qstash\.main +expired .* 1 h$/m);
    expect(out).toMatch(/^qstash\.main +hole .* 1 h$/m);
    expect(out).toMatch(/^qstash\.main +oversize .*\.\d{3}Z +1 ms$/m);
    expect(err).toMatch(/1 hole: not read yet.*To do: run `logkeep sync`/);
    expect(err).toMatch(/1 expired span: .*lost.*To do: set `retention`/);
    const json = await desk.runHere('gaps --json --since 9h');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out).gaps.map(({ kind }: { kind: string }) => kind)).toEqual(['hole', 'oversize']);
  });

  it('with --stream lists those of the streams named, and exits 0 when they have none', async () => {
    for (const name of ['qstash.main', 'datadog.main', 'datadog.web']) {
      await insertStream(database, name, { hours: 10 });
    }
    await rowsOf(
      database,
      `update logkeep.stream set covered = covered
          - tstzmultirange(tstzrange(asked_from + interval '4 h', asked_from + interval '5 h'))
        where stream <> 'datadog.main'`,
    );
    const named = async (line: string) => {
      const { code, out } = await desk.runHere(line);
      return [code, JSON.parse(out).gaps.map(({ stream }: { stream: string }) => stream)];
    };
    expect(await named('gaps --json')).toEqual([1, ['datadog.web', 'qstash.main']]);
    expect(await named('gaps --json --stream qstash.main --stream datadog.main')).toEqual([
      1,
      ['qstash.main'],
    ]);
    expect(await desk.runHere('gaps --stream datadog.main')).toMatchObject({ code: 0, out: 'no gaps\n' });
    expect(await desk.runHere('gaps --stream datadog.wed')).toMatchObject({
      code: 2,
      err: expect.stringContaining('did you mean datadog.web?'),
    });
  });

  it('finds none where only the tail up to now is not read: that is lag', async () => {
    await insertStream(database, 'qstash.main', { hours: 10 });
    await rowsOf(
      database,
      "update logkeep.stream set covered = covered * tstzmultirange(tstzrange(null, now() - interval '3 h'))",
    );
    expect(await desk.runHere('gaps --stream qstash.main')).toMatchObject({ code: 0, out: 'no gaps\n' });
    expect(await desk.runHere('gaps --json --stream qstash.main')).toMatchObject({
      code: 0,
      out: '{\n  "gaps": [],\n  "unread": []\n}\n',
    });
  });

  it('of a stream whose filters have changed since finds nothing covered, until it finds its old filters again', async () => {
    expect((await desk.runHere('sync --stream datadog.main --since 2h')).code).toBe(0);
    expect((await desk.runHere('gaps --stream datadog.main')).code).toBe(0);
    const changed = { DD_LOGS_QUERY: 'service:web' };
    expect(await desk.runHere('gaps --stream datadog.main', changed)).toEqual({
      code: 1,
      out: '',
      err: 'datadog.main: nothing is covered yet with these settings. To do: run `logkeep sync --stream datadog.main`.\n',
    });
    const json = await desk.runHere('gaps --json --stream datadog.main', changed);
    expect([json.code, JSON.parse(json.out)]).toEqual([1, { gaps: [], unread: ['datadog.main'] }]);
    expect((await desk.runHere('check --stream datadog.main', changed)).out).toMatch(
      /^ok +datadog\.main +not read yet with these settings; the first sync begins at /m,
    );
    expect((await desk.runHere('gaps --stream datadog.main')).code).toBe(0);
  });

  it('does not advise to sync more often where time was beyond the retention when it was asked for', async () => {
    const asked = await desk.runHere('sync --since 5d --stream qstash.main');
    expect(asked.err).toMatch(
      /--since: 5d: .*2 d beyond the retention of 3 d: .*expired.*`retention`.*shorter/,
    );
    const { code, err } = await desk.runHere('gaps --stream qstash.main');
    expect(code).toBe(1);
    expect(err).toMatch(
      /^1 expired span: already older than the retention when it was asked for.*`retention`.*by `since` or by a backfill; `logkeep gaps --since 3d` leaves it out\.$/m,
    );
    expect(err).not.toContain('more often');
    await rowsOf(
      database,
      `update logkeep.stream set expired = expired + span, covered = covered - span
      from (select tstzmultirange(tstzrange(date_trunc('second', now()) - interval '9 h', date_trunc('second', now()) - interval '8 h')) as span) o`,
    );
    const late = await desk.runHere('gaps --stream qstash.main');
    expect(late.err).toMatch(/^1 expired span: .*sync more often than that/m);
    expect(late.err).toMatch(/^1 expired span: already older than the retention when/m);
  });

  it('is not content with a stream of which nothing is covered: exits 1 and says so', async () => {
    const never = await desk.runHere('gaps');
    expect(never).toMatchObject({ code: 1, out: '' });
    expect(never.err).toContain(
      'qstash.main: nothing is covered yet. To do: run `logkeep sync --stream qstash.main`.',
    );
    // What has just failed would fail again.
    await desk.runHere('sync --stream qstash.main', { QSTASH_TOKEN: 'wrong' });
    const failed = await desk.runHere('gaps --stream qstash.main');
    expect([failed.code, failed.err]).toEqual([
      1,
      expect.stringMatching(
        /^qstash\.main: nothing is covered yet: the last sync failed: the API answered 401: .* To do: fix the credentials as described above; `logkeep check` tries them; then run `logkeep sync --stream qstash\.main`\.\n$/,
      ),
    ]);
    await rowsOf(database, 'truncate logkeep.run, logkeep.stream cascade');
    await insertStream(database, 'qstash.main', { hours: 10 });
    expect(await desk.runHere('gaps --stream qstash.main')).toMatchObject({
      code: 0,
      out: 'no gaps\n',
      err: expect.stringMatching(/^qstash\.main: up to .*Z$/m),
    });
    await rowsOf(database, "update logkeep.stream set covered = '{}'");
    const stopped = await desk.runHere('gaps --json');
    expect(stopped.code).toBe(1);
    expect(JSON.parse(stopped.out)).toEqual({ gaps: [], unread: expect.arrayContaining(['qstash.main']) });
  });
});

/** What a stream of the desk's settings asks for; of one that is not among them, anything. */
function fingerprintOf(name: string): string {
  const config = loadConfig({ env: desk.env, cwd: desk.cwd, file: null, sources: SOURCES });
  const redactor = createRedactor(new Uint8Array(32), []);
  const http = createHttp({ clock: systemClock });
  const opened = openStreams(config.streams, { clock: systemClock, redactor, http });
  return opened.find(({ stream }) => stream.id === name)?.stream.fingerprint ?? 'f';
}

/** A stream that is covered from `hours` ago until now. */
async function insertStream(
  target: TestDatabase,
  name: string,
  { hours }: { readonly hours: number },
): Promise<void> {
  await rowsOf(
    target,
    `insert into logkeep.stream (stream, fingerprint, source, asked_from, covered, retention)
    values ($1, $3, 'qstash', date_trunc('second', now()) - make_interval(hours => $2),
      tstzmultirange(tstzrange(date_trunc('second', now()) - make_interval(hours => $2), now())), interval '3 d')`,
    [name, hours, fingerprintOf(name)],
  );
}
