import { execFile } from 'node:child_process';
import { chmodSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/cli/finding.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { bareEnvironment } from '../environment.ts';
import { createDesk, type Desk } from './child.ts';

const SURVEY = new URL('../../src/store/embedded-survey.ts', import.meta.url).href;

/** Commands that only look, and `backfill` where it has nothing to go on with or to give up. */
const LOOKING = [
  'status',
  'why',
  'gaps',
  'audit',
  'audit --by count --stream datadog.main',
  'quarantine list',
  'quarantine show 1',
  'quarantine retry',
  'query table/**/qstash_log',
  'db',
  'backfill',
  'backfill --dry-run',
  'backfill --from 2d --dry-run',
  'backfill --cancel',
];

const AS_PROCESS = ['status', 'backfill --from 2d --dry-run'];

let sandbox: Sandbox;
let desk: Desk;

beforeEach(async () => {
  sandbox = await startSandbox();
  desk = createDesk(sandbox.env);
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
});

const left = () => readdirSync(desk.cwd);

const noDatabase = (folder: string) =>
  `there is no database here yet: no embedded Postgres in ${folder}, and DATABASE_URL is not set: ` +
  'run `logkeep sync` to create one and copy the logs into it, `logkeep demo` to see it work without keys, ' +
  'set DATABASE_URL to use your own Postgres, or go to the folder where the database is';

describe('in a folder without a database', () => {
  it.each(LOOKING)('%s says so in one line with what to do, makes nothing and asks nobody', async (line) => {
    const expected = noDatabase(join(desk.cwd, '.logkeep'));
    const run = AS_PROCESS.includes(line) ? desk.run : desk.runHere;
    const [text, json] = [await run(line), await run(`${line} --json`)];
    expect(text).toEqual({ code: 2, out: '', err: `logkeep: ${expected}\n` });
    expect([json.code, json.err]).toEqual([2, text.err]);
    expect(JSON.parse(json.out)).toEqual({
      error: 'no_database',
      folder: join(desk.cwd, '.logkeep'),
      message: expected,
    });
    expect(left()).toEqual([]);
    expect(sandbox.requests()).toEqual([]);
  });

  it('a look names the folder of LOGKEEP_DIR, and that of the settings file', async () => {
    const dir = join(desk.cwd, 'not', 'there');
    const named = await desk.run('status', { LOGKEEP_DIR: 'not/there' });
    expect(named).toEqual({ code: 2, out: '', err: `logkeep: ${noDatabase(dir)}\n` });
    mkdirSync(join(desk.cwd, 'etc'));
    writeFileSync(join(desk.cwd, 'etc', 'other.yaml'), 'data_dir: kept');
    const ofFile = await desk.run('gaps --config etc/other.yaml');
    expect(ofFile.err).toContain(`no embedded Postgres in ${join(desk.cwd, 'etc', 'kept')}, and`);
    expect([left(), readdirSync(join(desk.cwd, 'etc'))]).toEqual([['etc'], ['other.yaml']]);
  });

  it('a look at what stands in the way of one says that instead, and leaves it alone', async () => {
    writeFileSync(join(desk.cwd, '.logkeep'), 'a file');
    const { code, err } = await desk.run('status');
    expect([code, err]).toEqual([1, expect.stringMatching(/\.logkeep is not a folder .*: move it away/)]);
    expect(left()).toEqual(['.logkeep']);
  });

  it('check notes that the first sync makes it, and makes nothing', async () => {
    const { code, out } = await desk.run('check --json');
    expect(code).toBe(0);
    expect(databaseFindings(out)).toEqual([
      {
        level: 'note',
        subject: 'database',
        found: `no database yet: the first sync creates an embedded Postgres in ${join(desk.cwd, '.logkeep')}`,
        remedy: 'run `logkeep sync`, or set DATABASE_URL to use your own Postgres',
      },
    ]);
    expect(left()).toEqual([]);
  });

  it('check calls it trouble where the first sync could not make one', async () => {
    writeFileSync(join(desk.cwd, 'file'), '');
    for (const dir of ['file', 'file/inside/it']) {
      const { code, out } = await desk.run('check --json', { LOGKEEP_DIR: dir });
      expect(code).toBe(1);
      expect(databaseFindings(out)).toMatchObject([
        {
          level: 'trouble',
          found: expect.stringMatching(/\/file(\/inside\/it)? is not a folder.*: move it away/),
        },
      ]);
    }
    symlinkSync('gone', join(desk.cwd, '.logkeep'));
    const { code, out } = await desk.run('check --json');
    expect(code).toBe(1);
    expect(databaseFindings(out)).toMatchObject([
      { level: 'trouble', found: expect.stringMatching(/\/\.logkeep is not a folder: move it away/) },
    ]);
    expect(left()).toEqual(['.logkeep', 'file']);
  });

  it('so does the survey behind it for a user who may not write there', async () => {
    chmodSync(desk.cwd, 0o555);
    // Root may write anywhere, so there nobody looks.
    const program = `const { surveyCluster } = await import(${JSON.stringify(SURVEY)});
      if (process.getuid?.() === 0) { process.setgroups([]); process.setgid(65534); process.setuid(65534); }
      await surveyCluster('.logkeep').catch(({ kind, message }) => console.log(kind, message));`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '--eval', program],
      { cwd: desk.cwd, env: bareEnvironment() },
    );
    const dir = await realpath(desk.cwd);
    expect(stdout).toContain(
      `database ${dir} cannot be written (EACCES): give this user write access to ${dir}/.logkeep`,
    );
  });

  it.each(['sync', 'migrate'])('%s makes one, which a look then finds', async (line) => {
    const made = await desk.run(line);
    expect([made.code, left()]).toEqual([0, ['.logkeep']]);
    const { code, out } = await desk.run('status --json');
    expect(code).toBe(0);
    expect(JSON.parse(out).streams).toHaveLength(2);
    expect(databaseFindings((await desk.run('check --json')).out)).toMatchObject([
      { level: 'ok', found: 'the embedded Postgres starts' },
      { level: 'ok', found: 'has the tables of this version' },
    ]);
  });
});

describe('in an empty folder without any settings', () => {
  beforeEach(() => {
    desk.clear();
    desk = createDesk();
  });

  it.each(['status', 'why', 'gaps', 'audit', 'quarantine list', 'quarantine show 1', 'quarantine retry'])(
    '%s says that streams are missing too, and makes nothing',
    async (line) => {
      const { code, out, err } = await (AS_PROCESS.includes(line) ? desk.run(line) : desk.runHere(line, {}));
      const folder = join(desk.cwd, '.logkeep');
      expect([code, out]).toEqual([2, '']);
      expect(err).toBe(
        `logkeep: ${noDatabase(folder)}; no stream is set either: \`logkeep --help\` says which environment variables define one\n`,
      );
      expect(left()).toEqual([]);
    },
  );

  it.each(['sync', 'serve', 'backfill --from 2d', 'backfill --dry-run', 'run sync', 'run trim'])(
    '%s says which keys make a stream, and makes nothing',
    async (line) => {
      const { code, out, err } = await desk.run(line);
      expect([code, out]).toEqual([2, '']);
      expect(err).toMatch(
        /^logkeep: no stream is set: expected QSTASH_TOKEN .* DD_API_KEY .*logkeep demo.*\n$/,
      );
      expect(left()).toEqual([]);
    },
  );

  it('check and config say that database and streams are missing, and make nothing', async () => {
    const check = await desk.run('check');
    expect(check.code).toBe(1);
    expect(check.out).toMatch(
      /^TROUBLE +settings +no stream is set, so there is nothing to read\nnote +database +no database yet/m,
    );
    const config = await desk.run('config');
    expect(config.code).toBe(0);
    expect(config.err).toContain(
      `database_url is not set: an embedded Postgres in ${join(desk.cwd, '.logkeep')} is used, which the first sync makes\nno stream is set`,
    );
    expect(left()).toEqual([]);
  });
});

function databaseFindings(out: string): readonly Finding[] {
  const { findings } = JSON.parse(out) as { findings: readonly Finding[] };
  return findings.filter(({ subject }) => subject === 'database');
}
