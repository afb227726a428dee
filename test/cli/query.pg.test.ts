import { existsSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMigratedDatabase, type TestDatabase, withClient } from '../postgres.ts';
import { createDesk, type Desk, type Finished, rowsOf } from './child.ts';

let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  database = await createMigratedDatabase();
  desk = createDesk({ DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await database.drop();
});

const query = (sql: string, ...more: readonly string[]): Promise<Finished> =>
  desk.runHere(['query', sql, ...more]);
const objects = ({ out }: Finished) =>
  out
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);

describe('query', () => {
  it('prints the answer as a table, numbers at the right, null as a dash, controls escaped', async () => {
    const sql = `select * from (values ('a', 1::int8, 1.50), (e'b\\u001b[31m', 22222222222, null)) v (name, n, "x y")`;
    expect(await query(sql)).toEqual({
      code: 0,
      out: 'name                    n    x y\na                       1   1.50\nb\\u001b[31m   22222222222      -\n',
      err: '',
    });
  });

  it('finds the tables with and without their schema, and those of public beside them', async () => {
    await rowsOf(database, 'create table public.mine as select 7 as seven');
    // A role called logkeep would find its schema by itself.
    for (const path of ['public', '']) {
      const url = new URL(database.url);
      url.searchParams.set('options', `-c search_path=${path}`);
      const here = (sql: string) =>
        desk.runHere(['query', sql], { DATABASE_URL: url.href.replaceAll('+', '%20') });
      for (const table of ['qstash_log', 'logkeep.qstash_log'])
        expect(await here(`select count(*) from ${table}`)).toMatchObject({ out: 'count\n    0\n', err: '' });
      expect((await here('select seven from mine')).code).toBe(path === 'public' ? 0 : 1);
    }
  });

  it('prints one JSON object a row, in which no digit is lost', async () => {
    const found = await query(
      `select 9007199254740993 as int8, 0.10 as numeric, 5 as int4, 'NaN'::float8 as nan, 1.5::float8 as float8,
        true as bool, null as nothing, '{"a": 12345678901234567890, "b": [1]}'::jsonb as jsonb, 'null'::jsonb as none,
        timestamptz '2026-11-01 00:00:00.123456+00' as time, 'infinity'::timestamptz as never,
        array['x', null, 'y,z'] as texts, array[9007199254740993] as ints, array[[1], [2]] as nested,
        '\\x00ff'::bytea as bytes`,
      '--json',
    );
    expect([found.code, found.err]).toEqual([0, '']);
    expect(objects(found)).toEqual([
      {
        int8: '9007199254740993',
        numeric: '0.10',
        int4: 5,
        nan: 'NaN',
        float8: 1.5,
        bool: true,
        nothing: null,
        jsonb: { a: '12345678901234567890', b: [1] },
        none: null,
        time: expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:00\.123456(Z|[+-]\d\d:\d\d)$/),
        never: 'infinity',
        texts: ['x', null, 'y,z'],
        ints: ['9007199254740993'],
        nested: [[1], [2]],
        bytes: '\\x00ff',
      },
    ]);
    const [{ time }] = objects(found) as [{ time: string }];
    expect(new Date(time).toISOString()).toBe('2026-11-01T00:00:00.123Z');
  });

  it('ends a table after 1,000 rows and a value after 1,000 characters and says so, while --json prints all', async () => {
    const whole = await query('select n from generate_series(1, 1000) n');
    expect([whole.err, whole.out.split('\n')]).toEqual(['', expect.objectContaining({ length: 1002 })]);
    const sql = `select n, case n when 500 then repeat('x', 5000) end as x from generate_series(1, 12345) n`;
    const cut = await query(sql);
    expect(cut).toMatchObject({
      code: 0,
      err: 'only the first 1,000 rows, and only the first 1,000 characters of a value: --json prints all\n',
    });
    expect(cut.out).toMatch(/\n1000 +-\n$/);
    expect(cut.out).toMatch(/ x{1000}\.\.\.\n/);
    const all = objects(await query(sql, '--json')) as readonly { n: number; x: string | null }[];
    expect(all.map(({ n }) => n)).toEqual(Array.from({ length: 12_345 }, (_, at) => at + 1));
    expect(all[499]?.x).toHaveLength(5_000);
  });

  it('does not ask Postgres for more than a table shows', async () => {
    const { code, out } = await query('select generate_series(1, 2000000000)');
    expect([code, out.split('\n').length]).toEqual([0, 1002]);
  }, 20_000);

  it.each([
    ['select n form x', 'query: syntax error at or near "x" at character 15'],
    ["select 'ä😀'\n  from qstash_lag", 'query: relation "qstash_lag" does not exist at line 2, character 8'],
    ['select nam from stream', 'query: column "nam" does not exist at character 8'],
    [
      'delete from stream returning *',
      'query: cannot execute DELETE in a read-only transaction; `logkeep query` only reads; `logkeep db` shows how to connect with psql',
    ],
    [
      'select 1; delete from logkeep.stream',
      'query: cannot insert multiple commands into a prepared statement; expected one statement at a time',
    ],
    [
      "select set_config('transaction_read_only', 'off', true)",
      'query: transaction read-write mode must be set before any query',
    ],
    ['select 1 / 0', 'query: division by zero'],
  ])('says what Postgres refuses of %j in one line, and exits 1', async (sql, expected) => {
    for (const how of [[], ['--json']])
      expect(await query(sql, ...how)).toEqual({ code: 1, out: '', err: `logkeep: ${expected}\n` });
  });

  it('prints what utility statements answer', async () => {
    expect((await query('show transaction_read_only')).out).toBe('transaction_read_only\non\n');
    expect((await query('explain select 1')).out).toMatch(/^QUERY PLAN\nResult /);
    expect(await query('select 1 as x where false')).toEqual({ code: 0, out: 'x\n', err: '' });
    expect(await query('select 1 as x where false', '--json')).toEqual({ code: 0, out: '', err: '' });
  });

  it('runs no statement that does not answer with rows, so that none writes a file or runs a program', async () => {
    const file = join(desk.cwd, 'made-by-query');
    for (const sql of [
      `copy (select 1) to program 'touch ${file}'`,
      `copy (select 1) to '${file}'`,
      'copy (select 1) to stdout',
      'copy logkeep.stream from stdin',
      `do $$ begin perform pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid()
        and datname = current_database(); end $$`,
      'delete from stream',
      "set application_name to 'x'",
      'commit',
      '/* nothing */',
    ])
      expect(await query(sql)).toEqual({
        code: 2,
        out: '',
        err: 'logkeep: query: the statement was not run: expected one that only reads and answers with rows, such as select; `logkeep db` shows how to connect with psql\n',
      });
    expect(existsSync(file)).toBe(false);
  });

  it('lets a superuser read all tables, and neither files nor other sessions', async () => {
    expect(await query('select rolsuper from pg_roles where rolname = session_user')).toMatchObject({
      out: 'rolsuper\nt\n',
    });
    expect((await query('select count(*) from redaction_key')).out).toBe('count\n    1\n');
    for (const sql of ["pg_read_file('PG_VERSION')", "lo_export(1, '/tmp/none')", 'pg_reload_conf()'])
      expect(await query(`select ${sql}`)).toMatchObject({
        code: 1,
        err: expect.stringContaining('permission denied for function'),
      });
    const ended = await withClient(database.url, () =>
      query(`select pg_terminate_backend(pid) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()`),
    );
    expect(ended).toMatchObject({ code: 1, err: expect.stringContaining('to terminate') });
  });

  it('refuses two columns of one name where they would be one field of an object', async () => {
    expect((await query('select 1 as a, 2 as a')).out).toBe('a   a\n1   2\n');
    expect(await query('select 1 as a, 2 as a', '--json')).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringMatching(/^logkeep: query: "a": two columns have this name: .*\n$/),
    });
  });

  it('cancels the statement at Ctrl-C', async () => {
    const begunMs = performance.now();
    const running = desk.start(['query', "select 'here', pg_sleep(60)"]);
    await waitFor(async () => (await sleeping()) === 1);
    running.signal('SIGINT');
    expect(await running.finished).toEqual({
      code: 1,
      out: '',
      err: 'logkeep: query: stopped by SIGINT: the statement was cancelled\n',
    });
    expect([await sleeping(), performance.now() - begunMs < 30_000]).toEqual([0, true]);
  });

  it('does not let part of an answer pass for all of it at Ctrl-C', async () => {
    const running = desk.start(['query', 'select generate_series(1, 300000000) as n', '--json']);
    await waitFor(async () => (await asked('generate_series(1, 300000000)')) === 1);
    await new Promise((resolve) => setTimeout(resolve, 500));
    running.signal('SIGINT');
    const { code, out, err } = await running.finished;
    expect([code, err]).toEqual([1, 'logkeep: query: stopped by SIGINT: the statement was cancelled\n']);
    expect(out).toContain('{"n":1}');
  });

  it('names the trouble where the database is not there or has no tables yet', async () => {
    expect(
      await desk.runHere('query table/**/stream', { DATABASE_URL: 'postgres://nobody@127.0.0.1:1/no' }),
    ).toMatchObject({
      code: 1,
      out: '',
      err: expect.stringMatching(/^logkeep: open the database: .*ECONNREFUSED/),
    });
    await rowsOf(database, 'drop schema logkeep cascade');
    expect(await query('select 1')).toMatchObject({
      code: 2,
      err: expect.stringContaining('lacks the migration'),
    });
  });
});

function sleeping(): Promise<number> {
  return asked("'here'", "state = 'active'");
}

/** Sessions whose last statement holds `part`. */
async function asked(part: string, which = 'true'): Promise<number> {
  const rows = await rowsOf(
    database,
    `select from pg_stat_activity where datname = current_database() and ${which} and pid <> pg_backend_pid()
      and strpos(query, ${pg.escapeLiteral(part)}) > 0`,
  );
  return rows.length;
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 50));
}
