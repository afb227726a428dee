import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliContext, CommandName, ExitCode } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { runProgram } from '../../src/cli/program.ts';
import { LogkeepError } from '../../src/errors.ts';
import { bareEnvironment } from '../environment.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR = 3_600_000;
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

interface Outcome {
  code: ExitCode;
  out: string;
  err: string;
  ran: CommandName | null;
  options: Readonly<Record<string, unknown>>;
}

/** The command line in this process; the work of a command is to be noted, or `work`. */
async function run(line: string, work: () => Promise<ExitCode> = async () => 0): Promise<Outcome> {
  const outcome: Outcome = { code: 0, out: '', err: '', ran: null, options: {} };
  const context: CliContext = {
    env: {},
    cwd: '/',
    stdout: { write: (text) => (outcome.out += text) },
    stderr: { write: (text) => (outcome.err += text) },
    signal: new AbortController().signal,
    isTty: false,
    clock: { now: () => NOW, sleep: async () => undefined },
  };
  outcome.code = await runProgram(
    line.split(' ').filter(Boolean),
    context,
    async (name) => async (options) => {
      outcome.ran = name;
      outcome.options = options;
      return work();
    },
  );
  return outcome;
}

describe('options', () => {
  it('reach the command parsed, with null and [] for what was not said', async () => {
    const { code, ran, options } = await run('sync');
    expect([code, ran]).toEqual([0, 'sync']);
    expect(options).toEqual({
      stream: [],
      since: null,
      until: null,
      again: null,
      forMs: null,
      maxRequests: null,
      json: false,
      config: null,
      logLevel: null,
    });
  });

  it('are read into ms, moments and spans, once or several times, before or after the command', async () => {
    const { options } = await run(
      '--log-level debug sync --stream a --stream b.c --since 3d --until 1h --for 5m --max-requests 7 --json --config x.yaml',
    );
    expect(options).toEqual({
      stream: ['a', 'b.c'],
      since: { agoMs: 72 * HOUR },
      until: NOW - HOUR,
      again: null,
      forMs: 300_000,
      maxRequests: 7,
      json: true,
      config: 'x.yaml',
      logLevel: 'debug',
    });
    expect((await run('sync --again 6h')).options.again).toEqual({ from: NOW - 6 * HOUR, to: NOW });
    expect((await run('quarantine retry 17 18')).options.ids).toEqual(['17', '18']);
    expect((await run('quarantine show 17')).options.id).toBe('17');
    expect((await run('quarantine list')).options.limit).toBe(50);
  });

  it.each([
    ['sync --since 3x', '--since: "3x": expected a duration such as 3d'],
    ['sync --until tomorrow', '--until: "tomorrow": expected a duration'],
    ['sync --again 0s', '--again: "0s": expected a duration up to now such as 6h'],
    ['sync --for 0s', '--for: "0s": expected a duration such as 90s, 15m, 12h, 3d or PT15M, more than 0'],
    ['sync --max-requests 1.5', '--max-requests: "1.5": expected a whole number from 1 to'],
    ['sync --since 1h --until 2h', '--since: 2026-11-21T11:00:00.000Z: expected a time before --until'],
    ['sync --again 6h --since 3d', '--again: expected without --since and --until'],
    ['sync --log-level loud', '--log-level: "loud": expected one of silent, error'],
    ['sandbox --port 70000', '--port: "70000": expected a whole number from 0 to 65535'],
    ['quarantine show x', '<id>: "x": expected a number'],
    ['quarantine show', "missing required argument 'id'; see `logkeep quarantine show --help`"],
    ['sycn', "unknown command 'sycn' (Did you mean sync?); see `logkeep --help`"],
    ['sync --sinc 3d', "unknown option '--sinc' (Did you mean --since?); see `logkeep sync --help`"],
    ['sync extra', 'too many arguments'],
    ['sync --since', "option '--since <time>' argument missing"],
  ])('%s is refused with exit code 2 in one line before anything starts', async (line, expected) => {
    const { code, err, out, ran } = await run(line);
    expect(err).toContain(`logkeep: ${expected}`);
    expect(err.trimEnd().split('\n')).toHaveLength(1);
    expect([code, out, ran]).toEqual([2, '', null]);
  });

  it('that are missing altogether bring the help, as misuse', async () => {
    const { code, out, err } = await run('');
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('Usage: logkeep');
  });
});

describe('failures', () => {
  const failing = (error: unknown) => run('sync', () => Promise.reject(error));

  it('of a call are one line with what to do, and exit code 1', async () => {
    const { code, err } = await failing(
      new LogkeepError('auth', 'qstash.main: HTTP 401\nunable to authenticate'),
    );
    expect(code).toBe(1);
    expect(err).toBe(
      'logkeep: qstash.main: HTTP 401 unable to authenticate (check the key, its permission and its region or site with `logkeep check`)\n',
    );
  });

  it('of a setting are exit code 2', async () => {
    expect(await failing(new LogkeepError('config', 'a: 1: expected 2'))).toMatchObject({
      code: 2,
      err: 'logkeep: a: 1: expected 2\n',
    });
  });

  it('that are bugs show their stack, and exit code 1', async () => {
    const { code, err } = await failing(new TypeError('no such thing'));
    expect(code).toBe(1);
    expect(err).toMatch(/this is a bug in logkeep[\s\S]*TypeError: no such thing\n\s+at /);
  });

  it('leave the exit code to the command when it returns one', async () => {
    expect((await run('gaps', async () => 1)).code).toBe(1);
  });
});

describe('help', () => {
  it('shows every command, examples, environment and exit codes', async () => {
    const { out, code } = await run('--help');
    expect(code).toBe(0);
    for (const name of Object.keys(COMMANDS)) expect(out).toContain(`  ${name.split(' ')[0]}`);
    for (const word of ['QSTASH_TOKEN', 'DD_APP_KEY', 'DATABASE_URL', '$ logkeep demo', '2 misused']) {
      expect(out).toContain(word);
    }
  });

  it.each(Object.keys(COMMANDS))(
    'of %s shows examples that the command line itself accepts',
    async (name) => {
      const { out } = await run(`${name} --help`);
      expect(out).toContain(`Usage: logkeep ${name}`);
      for (const example of COMMANDS[name as CommandName].examples) {
        expect(out).toContain(`$ ${example}`);
        const line = example.replace(/^.*?logkeep /, '').replace(/ >.*/, '');
        expect(await run(line)).toMatchObject({ code: 0, ran: name, err: '' });
      }
    },
  );
});

describe('the process', () => {
  let cwd = '';
  const children: ChildProcess[] = [];
  beforeAll(() => {
    cwd = mkdtempSync(join(tmpdir(), 'logkeep-main-'));
  });
  afterAll(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(cwd, { recursive: true, force: true });
  });

  function start(args: readonly string[], o: { preload?: string; env?: Record<string, string> } = {}) {
    const preload = o.preload === undefined ? [] : ['--import', o.preload];
    const child = spawn(process.execPath, [...preload, here('../../src/main.ts'), ...args], {
      cwd,
      env: { ...bareEnvironment(), ...o.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    children.push(child);
    let out = '';
    let err = '';
    child.stdout.on('data', (text) => (out += text));
    child.stderr.on('data', (text) => (err += text));
    const end = once(child, 'close').then(([code]) => ({ code: code as number, out, err }));
    return { child, end };
  }

  it('prints the version of the package', async () => {
    const { version } = JSON.parse(readFileSync(here('../../package.json'), 'utf8'));
    expect(await start(['--version']).end).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it('shows help without loading the database driver, the query builder, the checks or the HTTP client', async () => {
    const { err, out } = await start(['--help'], { preload: here('loaded.ts') }).end;
    expect(out).toContain('Usage: logkeep');
    const packages = [...err.matchAll(/node_modules\/((?:@[^/]+\/)?[^/]+)/g)].map(([, name]) => name);
    expect([...new Set(packages)]).toEqual(['commander']);
  });

  it('exits 2 for wrong settings and says all of them on stderr', async () => {
    writeFileSync(
      join(cwd, 'wrong.yaml'),
      'log_level: loud\nstreams: { q: { source: qstash, settle: 12 parsecs } }',
    );
    const { code, out, err } = await start(['config', '--config', 'wrong.yaml']).end;
    expect([code, out]).toEqual([2, '']);
    expect(err).toContain('logkeep: 3 settings are wrong:');
    expect(err).toContain('wrong.yaml: streams.q.settle: "12 parsecs": expected a duration such as 90s');
  });

  it('I11: config shows the settings in effect and where they came from, and no secret', async () => {
    const env = {
      QSTASH_TOKEN: 'tok-secret',
      DD_API_KEY: 'api-secret',
      DD_APP_KEY: 'app-secret',
      DATABASE_URL: 'postgres://u:pg-secret@h/db',
    };
    const table = await start(['config'], { env }).end;
    expect(table).toMatchObject({ code: 0, err: '' });
    expect(table.out).toMatch(/streams\.qstash\.main\.token +\*{4} +environment QSTASH_TOKEN/);
    expect(table.out).toMatch(/database_url +postgres:\/\/u:\*{4}@h\/db +environment DATABASE_URL/);
    const json = await start(['config', '--json'], { env }).end;
    expect(JSON.parse(json.out)).toMatchObject({ file: null, streams: ['qstash.main', 'datadog.main'] });
    expect(`${table.out}${json.out}`).not.toContain('secret');
  });

  it('config without any stream says what is missing, and still shows the rest', async () => {
    const { code, out, err } = await start(['config']).end;
    expect(code).toBe(0);
    expect(out).toContain('log_level');
    expect(err).toContain('no stream is set');
  });

  it('schema prints the published JSON Schema', async () => {
    const { out } = await start(['schema']).end;
    expect(out).toBe(readFileSync(here('../../logkeep.schema.json'), 'utf8'));
  });

  it('hands the first SIGINT or SIGTERM to the command, which ends by itself', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const { child, end } = start(['sandbox'], { preload: here('waiting.ts') });
      await once(child.stdout, 'data');
      child.kill(signal);
      const { code, err } = await end;
      expect(code).toBe(1);
      expect(err).toBe(`logkeep: stopped by ${signal} (run sync again to go on)\n`);
    }
  });

  it('ends at once with 130 at the second signal, whatever the command does', async () => {
    const { child, end } = start(['sandbox', '--json'], { preload: here('waiting.ts') });
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    setTimeout(() => child.kill('SIGINT'), 300);
    expect(await end).toMatchObject({ code: 130, err: '' });
  });

  it('says nothing when whoever reads its output has gone', async () => {
    const { child, end } = start(['schema']);
    child.stdout?.destroy();
    expect(await end).toMatchObject({ code: 0, err: '' });
  });

  it('tells an old Node in one line which one it needs', async () => {
    const old =
      "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })";
    const { code, out, err } = await start(['--help'], {
      preload: `data:text/javascript,${encodeURIComponent(old)}`,
    }).end;
    expect({ code, out, err }).toEqual({
      code: 1,
      out: '',
      err: 'logkeep: node 20.20.2: expected 22.19 or newer; install a current Node from https://nodejs.org\n',
    });
  });
});
