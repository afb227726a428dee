import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runProgram } from '../../src/cli/program.ts';
import { systemClock } from '../../src/clock.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { bareEnvironment } from '../environment.ts';
import { type TestDatabase, withClient } from '../postgres.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** How a command ended: `code` is null where a signal ended it. */
export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** The real command as a process of its own. */
export interface Command {
  readonly finished: Promise<Finished>;
  /** Resolves once what was written to stdout and stderr so far matches; rejects when the command ends before. */
  says(pattern: RegExp): Promise<string>;
  signal(name: NodeJS.Signals): void;
}

/** What follows `logkeep`: words with a space between, or each by itself. */
type Line = string | readonly string[];

/** A folder and an environment that commands run in. */
export interface Desk {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  start(line: Line, env?: Readonly<Record<string, string>>): Command;
  run(line: Line, env?: Readonly<Record<string, string>>): Promise<Finished>;
  /** As `run`, within this process: half a second less of CPU, where it is not the process that is tried. */
  runHere(line: Line, env?: Readonly<Record<string, string>>): Promise<Finished>;
  clear(): void;
}

/** An empty folder with little in its environment but `env`. */
export function createDesk(env: Readonly<Record<string, string>> = {}): Desk {
  const cwd = mkdtempSync(join(tmpdir(), 'logkeep-cli-'));
  // So that the server's user reaches an embedded Postgres here: root's would go elsewhere, and stay.
  chmodSync(cwd, 0o755);
  const all = { ...bareEnvironment(), ...env };
  const start: Desk['start'] = (line, more = {}) => startCommand(line, cwd, { ...all, ...more });
  return {
    cwd,
    env,
    start,
    run: (line, more) => start(line, more).finished,
    runHere: (line, more) => runHere(line, cwd, { ...all, ...more }),
    clear: () => rmSync(cwd, { recursive: true, force: true }),
  };
}

async function runHere(line: Line, cwd: string, env: Readonly<Record<string, string>>): Promise<Finished> {
  const told = { out: '', err: '' };
  const code = await runProgram(wordsOf(line), {
    env,
    cwd,
    stdout: { write: (text) => (told.out += text) },
    stderr: { write: (text) => (told.err += text) },
    signal: new AbortController().signal,
    isTty: false,
    clock: systemClock,
  });
  return { code, ...told };
}

function wordsOf(line: Line): readonly string[] {
  return typeof line === 'string' ? line.split(' ').filter(Boolean) : line;
}

function startCommand(line: Line, cwd: string, env: Readonly<Record<string, string>>): Command {
  const child = spawn(process.execPath, [MAIN, ...wordsOf(line)], { cwd, env });
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const finished = new Promise<Finished>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, out, err }));
  });
  return {
    finished,
    signal: (name) => void child.kill(name),
    says: async (pattern) => {
      let over = false;
      finished.then(() => {
        over = true;
      });
      for (;;) {
        if (pattern.test(out + err)) return out + err;
        if (over) throw new Error(`the command ended without saying ${pattern}: ${out}${err}`);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
  };
}

/** Rows of a query on a connection of its own. */
export function rowsOf(
  database: TestDatabase,
  text: string,
  values: readonly unknown[] = [],
): Promise<readonly Record<string, unknown>[]> {
  return withClient(database.url, async (client) => (await client.query(text, [...values])).rows);
}

/** Two hours of history that ended ten minutes ago; how many entries of it each API shows. */
export function writeSmallHistory(
  sandbox: Sandbox,
  messages: number,
  logs: number,
): { readonly qstash: number; readonly datadog: number } {
  const to = Math.floor(Date.now() / 1000) * 1000 - 600_000;
  sandbox.qstash.history({ from: to - 7_200_000, to, messages });
  sandbox.datadog.history({ from: to - 7_200_000, to, logs });
  const visibleAt = Date.now();
  // A few logs are taken in hours late.
  return {
    qstash: sandbox.qstash.truth({ visibleAt }).length,
    datadog: sandbox.datadog.truth({ visibleAt }).length,
  };
}
