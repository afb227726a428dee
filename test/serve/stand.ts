import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Sandbox, type SandboxOptions, startSandbox } from '../../src/sandbox/sandbox.ts';
import { bareEnvironment } from '../environment.ts';
import { createAsker, createDatabase } from '../postgres.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** A line of a process's log. */
export type Line = Readonly<Record<string, unknown>> & { readonly msg: string };

/** A process of `logkeep serve`, or another command. */
export interface Served {
  readonly pid: number;
  lines(): readonly Line[];
  /** All it wrote, for a failure to show. */
  said(): string;
  signal(name: NodeJS.Signals): void;
  running(): boolean;
  /** Its exit code; null where a signal ended it. */
  ended(): Promise<number | null>;
}

/** Stand-ins, a database of its own and the processes that a test starts between them. */
export interface ServeStand {
  readonly sandbox: Sandbox;
  readonly url: string;
  readonly cwd: string;
  /** Writes logkeep.yaml. */
  settings(text: string): void;
  start(args: string, env?: Readonly<Record<string, string>>): Served;
  /** When the first process was started. */
  begunMs(): number;
  query<Row extends Record<string, unknown> = Record<string, unknown>>(
    text: string,
    values?: unknown[],
  ): Promise<Row[]>;
  close(): Promise<void>;
}

/** Settings under which seconds are enough: quick ticks, a short settle delay. */
export const QUICK = `
defaults: { settle: 2s, overlap: 20s, since: 1h, retention: 1d, schedule: '*/2 * * * * *', retry_for: 5s, timeout: 5s }
streams:
  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}' }
  datadog.main: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}' }
`;

/** `url`: a Postgres of the test's own instead of a database of the run's server. */
export async function createServeStand(
  options: { readonly sandbox?: SandboxOptions; readonly url?: string } = {},
): Promise<ServeStand> {
  const database =
    options.url === undefined ? await createDatabase() : { url: options.url, drop: async () => {} };
  const sandbox = await startSandbox({
    ...options.sandbox,
    qstash: { quota: null, lateness: { minMs: 0, maxMs: 1_500 }, ...options.sandbox?.qstash },
    datadog: { quota: null, lateness: { minMs: 0, maxMs: 1_500 }, ...options.sandbox?.datadog },
  });
  const asker = createAsker(database.url);
  const cwd = mkdtempSync(join(tmpdir(), 'logkeep-serve-'));
  const processes: Served[] = [];
  let begunMs = Number.POSITIVE_INFINITY;
  const stand: ServeStand = {
    sandbox,
    url: database.url,
    cwd,
    settings: (text) => writeFileSync(join(cwd, 'logkeep.yaml'), text),
    begunMs: () => begunMs,
    start(args, env = {}) {
      begunMs = Math.min(begunMs, Date.now());
      const served = startProcess(args, cwd, {
        ...sandbox.env,
        DATABASE_URL: database.url,
        LOGKEEP_PORT: '0',
        ...env,
      });
      processes.push(served);
      return served;
    },
    query: asker.query,
    async close() {
      for (const served of processes) {
        if (!served.running()) continue;
        served.signal('SIGKILL');
        await served.ended();
      }
      await sandbox.close();
      await asker.end();
      await database.drop();
      rmSync(cwd, { recursive: true, force: true });
    },
  };
  stand.settings(QUICK);
  return stand;
}

function startProcess(args: string, cwd: string, env: Readonly<Record<string, string>>): Served {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args.split(' ')], {
    cwd,
    env: { ...bareEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const gone = once(child, 'close');
  let said = '';
  for (const output of [child.stdout, child.stderr]) {
    output?.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
  }
  return {
    pid: child.pid as number,
    said: () => said,
    lines: () =>
      said
        .split('\n')
        .slice(0, -1)
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Line),
    signal: (name) => void child.kill(name),
    running: () => child.exitCode === null && child.signalCode === null,
    ended: async () => {
      await gone;
      return child.exitCode;
    },
  };
}

/** Waits until `met` gives something else than null or false, `limitMs` at most. */
export async function until<T>(
  what: string,
  met: () => T | null | false | Promise<T | null | false>,
  limitMs = 30_000,
  trouble: () => string = () => '',
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await met();
    if (found !== null && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}: ${trouble()}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** Waits until a process says `message`, the `count`th time. */
export function says(served: Served, message: string, count = 1, limitMs = 30_000): Promise<Line> {
  return until(
    `"${message}"`,
    () => {
      const found = served.lines().filter(({ msg }) => msg === message);
      if (found.length >= count) return found[count - 1] as Line;
      if (!served.running()) throw new Error(`ended without "${message}": ${served.said()}`);
      return null;
    },
    limitMs,
    () => served.said(),
  );
}
