#!/usr/bin/env node
// No static import: an old Node must get as far as the message below, whatever the rest needs.

/** Signalled to stop, a command is given so long. */
const LEAVE_MS = 9_500;

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major > 22 || (major === 22 && minor >= 19)) {
  await main();
} else {
  process.stderr.write(
    `logkeep: node ${process.versions.node}: expected 22.19 or newer; install a current Node from https://nodejs.org\n`,
  );
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const { keepMemoryLow } = await import('./memory.ts');
  keepMemoryLow();
  const [{ runProgram }, { systemClock }, { LogkeepError }] = await Promise.all([
    import('./cli/program.ts'),
    import('./clock.ts'),
    import('./errors.ts'),
  ]);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => {
      if (stop.signal.aborted) process.exit(130);
      stop.abort(new LogkeepError('aborted', `stopped by ${signal}`));
      // What hangs on a network that is gone must not keep whoever stops us waiting; a crash costs nothing either.
      setTimeout(() => process.exit(1), LEAVE_MS).unref();
    });
  }
  let heard = true;
  let unwritten = false;
  for (const output of [process.stdout, process.stderr]) {
    output.on('error', ({ code = 'failed' }: NodeJS.ErrnoException) => {
      if (code !== 'EPIPE') {
        if (heard && output === process.stdout) {
          process.stderr.write(
            `logkeep: stdout: ${code}: expected somewhere to write to; free the disk or send the output elsewhere\n`,
          );
        }
        unwritten = true;
        process.exitCode = 1;
      }
      // Nobody reads our output any more, so the work has lost its purpose; one complaint will do.
      heard = false;
      if (output === process.stdout) stop.abort(new LogkeepError('aborted', 'stdout was closed'));
    });
  }
  const code = await runProgram(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    stdout: process.stdout,
    stderr: {
      write: (text: string) => heard && process.stderr.write(text),
      get columns() {
        return process.stderr.columns;
      },
    },
    signal: stop.signal,
    isTty: process.stderr.isTTY === true,
    clock: systemClock,
    onHangup: (listener) => process.on('SIGHUP', listener),
  });
  process.exitCode = unwritten ? 1 : code;
}
