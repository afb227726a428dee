import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Clock ticks of a second, as Linux tells them to programs. */
const TICKS = 100;
const START_MS = 30_000;
/** By process, its folder. */
const running = new Map<ChildProcess, string>();
// Whatever ends the bench, nothing of it serves on.
process.once('exit', () => {
  for (const [child, folder] of running) {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
});

/** A process of `logkeep serve`. */
export interface Serving {
  readonly pid: number;
  /** Of this process alone, so that its rows in `logkeep.run` are found: the second part of `holder`. */
  readonly holderLike: string;
  running(): boolean;
  kill(): Promise<void>;
  /** As an operator ends it. */
  stop(): Promise<void>;
}

/** What a process used up to now; memory in bytes. */
export interface Usage {
  /** User and system time of all its threads. */
  readonly cpuMs: number;
  readonly rssBytes: number;
  readonly peakRssBytes: number;
}

/** Starts `logkeep serve` with `settings` as its logkeep.yaml (null: none); resolves when it serves, throws if it ends before. */
export async function startServing(
  env: Readonly<Record<string, string>>,
  settings: string | null,
): Promise<Serving> {
  const cwd = await mkdtemp(join(tmpdir(), 'logkeep-bench-serve-'));
  if (settings !== null) await writeFile(join(cwd, 'logkeep.yaml'), settings);
  // Compiled, as users have it, where the bench itself is.
  const main = import.meta.url.endsWith('.js') ? 'main.js' : 'main.ts';
  const child = spawn(
    process.execPath,
    [fileURLToPath(new URL(`../../../src/${main}`, import.meta.url)), 'serve'],
    {
      cwd,
      env: { PATH: process.env.PATH ?? '', LOGKEEP_PORT: '0', ...env },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  const gone = once(child, 'close');
  running.set(child, cwd);
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals) => {
    if (isRunning()) child.kill(signal);
    await gone;
    running.delete(child);
    await rm(cwd, { recursive: true, force: true });
  };
  try {
    await untilServing(child, isRunning);
  } catch (error) {
    await end('SIGKILL');
    throw error;
  }
  return {
    pid: child.pid as number,
    holderLike: `%:${child.pid}:%`,
    running: isRunning,
    kill: () => end('SIGKILL'),
    stop: () => end('SIGTERM'),
  };
}

async function untilServing(child: ChildProcess, isRunning: () => boolean): Promise<void> {
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    // Its end is enough to say why it failed, and it may serve for long.
    said = (said + text).slice(-10_000);
  });
  const deadline = performance.now() + START_MS;
  while (!said.includes('"serving"')) {
    if (!isRunning() || performance.now() > deadline)
      throw new Error(`logkeep serve: does not serve after ${START_MS} ms, or ended: ${said}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** What the process used; null where there is no /proc. */
export async function usageOf(pid: number): Promise<Usage | null> {
  const [stat, status] = await Promise.all(
    ['stat', 'status'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => null)),
  );
  if (stat == null || status == null) return null;
  // After the name in brackets: state, parent, ... and from the 12th on user and system time.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const bytes = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return {
    cpuMs: ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1000,
    rssBytes: bytes('VmRSS'),
    peakRssBytes: bytes('VmHWM'),
  };
}
