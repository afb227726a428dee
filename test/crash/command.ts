import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { bareEnvironment } from '../environment.ts';

/** The real command, running. */
export interface Command {
  readonly pid: number;
  /** Its exit code; null where a signal ended it, and while it runs. */
  code(): number | null;
  running(): boolean;
  /** What it said on both outputs so far. */
  said(): string;
  /** Sends SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  ended(): Promise<void>;
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));

/** Starts `logkeep ARGS` as a process of its own, with this environment and no other. */
export function startCommand(args: readonly string[], env: Readonly<Record<string, string>>): Command {
  const child: ChildProcess = spawn(process.execPath, [MAIN, ...args], {
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
  const running = () => child.exitCode === null && child.signalCode === null;
  return {
    pid: child.pid as number,
    code: () => child.exitCode,
    running,
    said: () => said,
    kill: async () => {
      child.kill('SIGKILL');
      await gone;
    },
    ended: async () => {
      await gone;
    },
  };
}

/** Waits until `met` says so, 40 s at most; throws when the command, if one is given, ends before. */
export async function until(
  command: Command | null,
  what: string,
  met: () => Promise<boolean>,
): Promise<void> {
  const deadline = performance.now() + 40_000;
  while (!(await met())) {
    if (command !== null && !command.running()) {
      throw new Error(`waited for ${what}, but the command ended with ${command.code()}: ${command.said()}`);
    }
    if (performance.now() > deadline) throw new Error(`waited 40 s for ${what}`);
    await delay(25);
  }
}
