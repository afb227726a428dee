import { describe, expect, it } from 'vitest';
import { JOBS } from '../../jobs/list.ts';
import type { CliContext, CommandName, ExitCode } from '../../src/cli/command.ts';
import { COMMANDS } from '../../src/cli/commands.ts';
import { runProgram } from '../../src/cli/program.ts';
import { LogkeepError } from '../../src/errors.ts';
import { SOURCES } from '../../src/sources/list.ts';

const NOW = Date.UTC(2026, 10, 21, 12);
const HOUR = 3_600_000;

interface Outcome {
  code: ExitCode;
  out: string;
  err: string;
  ran: CommandName | null;
  options: Readonly<Record<string, unknown>>;
}

/** The command line in this process; the work of a command is to be noted, or `work`. */
async function run(
  line: string | readonly string[],
  work: () => Promise<ExitCode> = async () => 0,
): Promise<Outcome> {
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
    typeof line === 'string' ? line.split(' ').filter(Boolean) : line,
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
    [
      'sync --until 2030-01-01T00:00:00Z',
      '--until: 2030-01-01T00:00:00.000Z: expected a time that is not in the future',
    ],
    ['help sync extra', 'help: "extra": expected the name of one command'],
    ['help query select', 'help: "select": expected the name of one command'],
    ['sync --since 1h --until 2h', '--since: 2026-11-21T11:00:00.000Z: expected a time before --until'],
    ['sync --again 6h --since 3d', '--again: expected without --since and --until'],
    ['sync --since 9999w', '--since: "9999w": expected a duration such as 3d or PT12H, 3660d at most, or'],
    ['sync --again 9999w', '--again: "9999w": expected a duration up to now such as 6h, 3660d at most, or'],
    ['sync --until 0000-01-01T00:00:00Z', '--until: "0000-01-01T00:00:00Z": expected a duration such as 3d'],
    ['gaps --since 0000-01-01T00:00:00Z', '--since: "0000-01-01T00:00:00Z": expected a duration such as 3d'],
    ['audit --from 1999-12-31T23:59:59Z', '--from: "1999-12-31T23:59:59Z": expected a duration such as 3d'],
    ['backfill --from 9999w', '--from: "9999w": expected a duration such as 3d or PT12H, 3660d at most, or'],
    [
      'sync --again 2026-11-21T12:00:00Z/PT6H',
      '--again: 2026-11-21T12:00:00.000Z: expected a span that begins before now',
    ],
    ['sync --log-level loud', '--log-level: "loud": expected one of silent, error'],
    ['sandbox --port 70000', '--port: "70000": expected a whole number from 0 to 65535'],
    ['quarantine show x', '<id>: "x": expected a number'],
    ['quarantine show 9999999999999999999', 'quarantine has no 9999999999999999999: expected a number'],
    ['quarantine retry 17 9223372036854775808', 'quarantine has no 9223372036854775808: expected a number'],
    ['quarantine show', "missing required argument 'id'; see `logkeep quarantine show --help`"],
    ['sycn', "unknown command 'sycn' (Did you mean sync?); see `logkeep --help`"],
    ['help synk', "unknown command 'synk' (Did you mean sync?); see `logkeep --help`"],
    [
      'quarantine list --reason nonsense',
      '--reason: "nonsense": expected one of not_an_object, no_time, no_id, time_out_of_bounds, identity_clash, too_large',
    ],
    ['sync --sinc 3d', "unknown option '--sinc' (Did you mean --since?); see `logkeep sync --help`"],
    ['sync extra', 'too many arguments'],
    ['query', 'query: expected one SQL statement, such as `logkeep query "select state, count(*)'],
    ['query select 1', 'too many arguments'],
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
      'logkeep: qstash.main: HTTP 401 unable to authenticate (fix the credentials as described above; `logkeep check` tries them)\n',
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
  it('of a command of two words is that of the command', async () => {
    expect((await run('help quarantine list')).out).toMatch(/^Usage: logkeep quarantine list /);
  });

  it('shows every command, examples, environment and exit codes', async () => {
    const { out, code } = await run('--help');
    for (const { environment } of SOURCES) {
      expect(out).toContain(`makes the stream ${environment.stream}\n`);
      for (const { name } of environment.variables) expect(out).toMatch(new RegExp(`\\b${name}\\b`));
    }
    expect(code).toBe(0);
    for (const name of Object.keys(COMMANDS)) expect(out).toContain(`  ${name.split(' ')[0]}`);
    for (const word of ['QSTASH_TOKEN', 'DD_APP_KEY', 'DATABASE_URL', '$ logkeep demo', '2 misused']) {
      expect(out).toContain(word);
    }
  });

  it('of run names the jobs of the timetable', async () => {
    const { out } = await run('run --help');
    const names = JOBS.map(({ name }) => name);
    expect(out).toContain(`${names.slice(0, -1).join(', ')} or ${names.at(-1)}`);
  });

  it('of sandbox names what tells its truth', async () => {
    const { out } = await run('sandbox --help');
    for (const word of ['GET /sandbox/truth', 'GET /sandbox/requests', 'visible_at'])
      expect(out).toContain(word);
  });

  it('names the default of every number', async () => {
    const { out } = await run('sandbox --help');
    expect(out).toMatch(/--history <duration> +how far back its entries begin \(default: 2d\)/);
    expect(out).toMatch(/--entries <n> +about this many entries for each API \(default: 20000\)/);
  });

  it('the ends of a backfill are taken from one now, however they are said', () => {
    const { from, to } = COMMANDS.backfill.options;
    const parsed = [from.parse?.('2d', '--from', 5), to.parse?.('1d', '--to', 5)];
    expect(parsed).toEqual([{ agoMs: 2 * 86_400_000 }, { agoMs: 86_400_000 }]);
  });

  it.each(Object.keys(COMMANDS))(
    'of %s shows examples that the command line itself accepts',
    async (name) => {
      const { out } = await run(`${name} --help`);
      expect(out).toContain(`Usage: logkeep ${name}`);
      for (const example of COMMANDS[name as CommandName].examples) {
        expect(out).toContain(`$ ${example}`);
        const line = example.replace(/^.*?logkeep /, '').replace(/ >.*/, '');
        const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word ?? '');
        expect(await run(words)).toMatchObject({ code: 0, ran: name, err: '' });
      }
    },
  );
});
