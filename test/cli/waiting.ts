import { registerHooks } from 'node:module';
import type { Run } from '../../src/cli/command.ts';

// Preloaded by tests: the command `sandbox` becomes one that waits for its signal, or ignores it.
registerHooks({
  resolve: (specifier, context, next) =>
    specifier === './sandbox.ts' ? { url: import.meta.url, shortCircuit: true } : next(specifier, context),
});

/** Says `waiting`, then waits; with `--json` it does not listen to its signal. */
export const run: Run<'sandbox'> = async ({ json }, { stdout, signal }) => {
  const idle = setInterval(() => undefined, 1000);
  stdout.write('waiting\n');
  await new Promise<void>((done) => {
    if (!json) signal.addEventListener('abort', () => done());
  });
  clearInterval(idle);
  signal.throwIfAborted();
  return 0;
};
