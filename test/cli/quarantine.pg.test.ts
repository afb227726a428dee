import { createHash } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import { LogkeepError } from '../../src/errors.ts';
import { escapeText } from '../../src/escape.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf } from './child.ts';

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

/** An entry as an earlier version may have put it into quarantine; its id. */
async function wait(stream: string, reason: string, raw: string): Promise<string> {
  const hash = createHash('md5').update(raw).digest('hex');
  const [row] = await rowsOf(
    database,
    'insert into logkeep.quarantine (stream, reason, raw, raw_hash, escaped) values ($1, $2, $3, $4, $5) returning id',
    [stream, reason, escapeText(raw), hash, raw !== escapeText(raw)],
  );
  return String(row?.id);
}

const TIME = Date.UTC(2026, 4, 1, 12);
const HIDDEN = `REDACTED:hmac:${'ab'.repeat(16)}`;
const GOOD = JSON.stringify({
  time: TIME,
  messageId: 'msg_1',
  state: 'ERROR',
  url: 'https://shop.example.com/',
  error: 'NUL \0 and lone \ud800',
  header: { Authorization: [HIDDEN] },
});

describe('quarantine', () => {
  it('lists what a sync could not make rows of, and shows it with its control characters escaped', async () => {
    const atMs = Date.now() - 3_600_000;
    sandbox.qstash.add([
      { entry: JSON.stringify({ time: atMs, state: 'ACTIVE', error: '\u001b[2J' }), atMs },
    ]);
    sandbox.qstash.add([{ entry: `{"messageId":"msg_1","state":"CREATED","raw":"\u009b31m"}`, atMs }]);
    await desk.runHere('sync --stream qstash.main');
    const listed = JSON.parse((await desk.runHere('quarantine list --json')).out).entries;
    expect(listed.map(({ reason }: { reason: string }) => reason).sort()).toEqual(['no_id', 'no_time']);
    const only = await desk.runHere('quarantine list --reason no_time --limit 5');
    expect(only.out.trim().split('\n')).toHaveLength(2);
    expect(only.out).toMatch(/^ *\d+ +qstash\.main +no_time +- /m);
    const { id } = listed.find(({ reason }: { reason: string }) => reason === 'no_time');
    const shown = await desk.runHere(`quarantine show ${id}`);
    expect(shown).toMatchObject({ code: 0, out: expect.stringContaining('"raw":"\\u009b31m"') });
    expect(shown.out).not.toContain('\u009b');
    const json = JSON.parse((await desk.runHere(`quarantine show ${id} --json`)).out);
    expect(JSON.parse(json.raw)).toEqual({ messageId: 'msg_1', state: 'CREATED', raw: '\u009b31m' });
  });

  it('makes rows of what can become rows now, keeps the rest, and counts both as a run', async () => {
    await wait('qstash.main', 'no_time', GOOD);
    const bad = await wait('qstash.main', 'no_id', '{"time":1777633200000}');
    const twin = await wait('qstash.main', 'identity_clash', GOOD);
    const stray = await wait('qstash.gone', 'no_time', GOOD);
    const { code, out, err } = await desk.runHere('quarantine retry');
    expect(code).toBe(0);
    expect(out).toContain('qstash.main: 1 entry became rows (1 new, 0 known), 2 stay\n');
    expect(out).toContain('qstash.gone: 0 entries became rows (0 new, 0 known), 1 stays\n');
    expect(err).toContain(
      `qstash.main: 1 entry stays (${bad}): no_id: it has no id that could tell it from others\n`,
    );
    expect(err).toContain(
      `qstash.main: 1 entry stays (${twin}): identity_clash: a twin: an entry with the same identity and other content is a row already\n`,
    );
    expect(err).toContain(
      `qstash.gone: 1 entry stays (${stray}): not configured now: expected its settings, to know how to read its entries\n`,
    );
    const left = await rowsOf(database, 'select id from logkeep.quarantine order by id');
    expect(left.map(({ id }) => id)).toEqual([bad, twin, stray]);
    expect(await rowsOf(database, 'select message_id, time, error from logkeep.qstash_log')).toEqual([
      { message_id: 'msg_1', time: new Date(TIME), error: escapeText('NUL \0 and lone \ud800') },
    ]);
    // What was hidden once is not hidden again: it would no longer equal the same value elsewhere.
    expect(await rowsOf(database, 'select header from logkeep.qstash_request')).toEqual([
      { header: { Authorization: [HIDDEN] } },
    ]);
    expect(
      await rowsOf(database, 'select state, last_error is not null as failed from logkeep.qstash_message'),
    ).toEqual([{ state: 'ERROR', failed: true }]);
    expect(await rowsOf(database, 'select job, outcome, fetched, new, known from logkeep.run')).toEqual([
      { job: 'retry', outcome: 'done', fetched: '1', new: '1', known: '0' },
    ]);
  });

  it('counts an entry that is a row already as known, and still frees it', async () => {
    await wait('qstash.main', 'no_time', GOOD);
    await desk.runHere('quarantine retry');
    const again = await wait('qstash.main', 'no_time', GOOD);
    const { out } = await desk.runHere(`quarantine retry ${again} --json`);
    expect(JSON.parse(out)).toEqual({
      streams: [{ stream: 'qstash.main', rows: 1, new: 0, known: 1, staying: 0, reasons: {} }],
    });
    expect(await rowsOf(database, 'select from logkeep.quarantine')).toEqual([]);
    expect(await rowsOf(database, 'select from logkeep.qstash_log')).toHaveLength(1);
  });

  it('makes no rows of times that were not asked for, unless they are named', async () => {
    const id = await wait('qstash.main', 'time_out_of_bounds', GOOD);
    const { code, out, err } = await desk.runHere('quarantine retry');
    expect(code).toBe(0);
    expect(out).toContain('qstash.main: 0 entries became rows (0 new, 0 known), 1 stays\n');
    expect(err).toBe(
      `qstash.main: 1 entry stays (${id}): time_out_of_bounds: its time was not asked for: \`logkeep quarantine retry ${id}\` stores it all the same\n`,
    );
    expect(await rowsOf(database, 'select from logkeep.qstash_log')).toEqual([]);
    const named = await desk.runHere(`quarantine retry ${id} --json`);
    expect(JSON.parse(named.out)).toEqual({
      streams: [{ stream: 'qstash.main', rows: 1, new: 1, known: 0, staying: 0, reasons: {} }],
    });
    expect(await rowsOf(database, 'select from logkeep.quarantine')).toEqual([]);
  });

  it('says of a time that can never become a row that it stays, named or not', async () => {
    const far = await wait('qstash.main', 'time_out_of_bounds', GOOD.replace(String(TIME), '99999999999999'));
    const other = await wait('qstash.main', 'time_out_of_bounds', GOOD.replace(String(TIME), '1'));
    const why =
      'time_out_of_bounds: before 2000, or more than two days ahead: no row is made of such a time; `logkeep quarantine show ID` shows the entry\n';
    expect(await desk.runHere('quarantine retry')).toEqual({
      code: 0,
      out: 'qstash.main: 0 entries became rows (0 new, 0 known), 2 stay\n',
      err: `qstash.main: 2 entries stay (${other}, ${far}): ${why}`,
    });
    expect(await desk.runHere(`quarantine retry ${far}`)).toEqual({
      code: 0,
      out: 'qstash.main: 0 entries became rows (0 new, 0 known), 1 stays\n',
      err: `qstash.main: 1 entry stays (${far}): ${why}`,
    });
    const json = JSON.parse((await desk.runHere(`quarantine retry ${far} --json`)).out);
    expect(json.streams[0]).toMatchObject({ staying: 1, reasons: { time_out_of_bounds: 1 } });
  });

  it('stopped by a signal exits 1, and says of what was not tried that it stays', async () => {
    const id = await wait('qstash.main', 'no_time', GOOD);
    const told = { out: '', err: '' };
    const code = await runProgram(['quarantine', 'retry'], {
      env: desk.env,
      cwd: desk.cwd,
      stdout: { write: (text) => (told.out += text) },
      stderr: { write: (text) => (told.err += text) },
      signal: AbortSignal.abort(new LogkeepError('aborted', 'stopped by SIGINT')),
      isTty: false,
      clock: systemClock,
    });
    expect([code, told.err]).toEqual([
      1,
      `qstash.main: 1 entry stays (${id}): stopped before it was tried: run it again\n`,
    ]);
  });

  it('leaves quarantine and tables as they are when the load fails', async () => {
    await wait('qstash.main', 'no_time', GOOD);
    await rowsOf(
      database,
      `create function fail() returns trigger language plpgsql as 'begin raise exception ''no space''; end'`,
    );
    await rowsOf(database, 'create trigger fail before delete on logkeep.quarantine execute function fail()');
    const { code, err } = await desk.runHere('quarantine retry');
    expect(code).toBe(1);
    expect(err).toMatch(/qstash\.main: bring entries back from quarantine: DATABASE_URL \(\S+\): no space/);
    expect(await rowsOf(database, 'select from logkeep.quarantine')).toHaveLength(1);
    expect(await rowsOf(database, 'select from logkeep.qstash_log')).toEqual([]);
    expect(await rowsOf(database, 'select outcome from logkeep.run')).toEqual([{ outcome: 'failed' }]);
  });
});
