import { type ChildProcess, fork } from 'node:child_process';

/** A process of the bench: prepared, and waiting for the word to begin. */
export interface Child<Ready, Result> {
  readonly ready: Ready;
  /** Lets it do its work; resolves with what it measured. */
  go(): Promise<Result>;
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>;
}

/** Starts `file` of this folder with `task` as its only argument; `nodeOptions` go to its Node. */
export async function startChild<Ready, Result>(
  file: string,
  task: unknown,
  nodeOptions: readonly string[] = [],
): Promise<Child<Ready, Result>> {
  // Compiled, as users have it, each file ends in .js.
  const name = import.meta.url.endsWith('.js') ? file.replace(/\.ts$/, '.js') : file;
  const child = fork(new URL(name, import.meta.url), [JSON.stringify(task)], { execArgv: [...nodeOptions] });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const ready = await nextMessage<Ready>(child, file);
  return {
    ready,
    async go() {
      const result = nextMessage<Result>(child, file);
      child.send('go');
      return result;
    },
    async stop() {
      if (child.connected) child.disconnect();
      await gone;
    },
  };
}

/**
 * The child's side: says `ready`, waits for the word, does `work`, reports it, and returns when its parent has
 * measured all that it wants to: until then nothing may be closed.
 */
export async function beChild<Ready, Result>(ready: Ready, work: () => Promise<Result>): Promise<void> {
  const told = new Promise<boolean>((resolve) => process.once('message', () => resolve(true)));
  const stopped = new Promise<boolean>((resolve) => process.once('disconnect', () => resolve(false)));
  process.send?.(ready);
  if (!(await Promise.race([told, stopped]))) process.exit();
  process.send?.(await work());
  await stopped;
}

/** What the parent asked for. */
export function childTask<Task>(): Task {
  return JSON.parse(process.argv[2] as string) as Task;
}

function nextMessage<T>(child: ChildProcess, file: string): Promise<T> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`${file} ended with exit code ${code}`));
    child.once('exit', onExit);
    child.once('message', (message) => {
      child.off('exit', onExit);
      resolve(message as T);
    });
  });
}
