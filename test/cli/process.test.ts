import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bareEnvironment } from '../environment.ts';

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

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
    expect(`${table.out}${json.out}`).not.toMatch(/(tok|api|app|pg)-secret/);
  });

  it("config says which of the environment's variables have no effect, and why", async () => {
    writeFileSync(join(cwd, 'one.yaml'), 'streams: { d: { source: datadog, api_key: a, app_key: b } }');
    const env = { QSTASH_TOKEN: 't' };
    const note = 'QSTASH_TOKEN is set but unused: one.yaml declares the streams';
    const table = await start(['config', '--config', 'one.yaml'], { env }).end;
    expect([table.code, table.err.split('\n')[0]]).toEqual([0, note]);
    const json = await start(['config', '--config', 'one.yaml', '--json'], { env }).end;
    expect(JSON.parse(json.out)).toMatchObject({ notes: [note] });
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
      expect(err).toBe(`logkeep: stopped by ${signal} (run the same command again to go on)\n`);
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

  it('says in one line that its output cannot be written, and exits 1', async () => {
    const file = join(cwd, 'out');
    writeFileSync(file, '');
    // Open for reading alone, it takes no output, as a full disk takes none.
    const unwritable = openSync(file, 'r');
    try {
      const child = spawn(process.execPath, [here('../../src/main.ts'), 'schema'], {
        cwd,
        env: bareEnvironment(),
        stdio: ['ignore', unwritable, 'pipe'],
      });
      let err = '';
      child.stderr?.on('data', (text) => (err += text));
      const [code] = await once(child, 'close');
      expect(err).toBe(
        'logkeep: stdout: EBADF: expected somewhere to write to; free the disk or send the output elsewhere\n',
      );
      expect(code).toBe(1);
    } finally {
      closeSync(unwritable);
    }
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
