import { registerHooks } from 'node:module';

// Preloaded by tests: names each module that a command loads, on stderr.
registerHooks({
  load(url, context, next) {
    process.stderr.write(`loaded ${url}\n`);
    return next(url, context);
  },
});
