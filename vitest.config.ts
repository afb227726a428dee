import { defineConfig } from 'vitest/config';
import Order from './test/order.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // More than cores: many tests wait for real seconds, or for processes they started.
    maxWorkers: 5,
    // Nothing is mocked, so a file needs no process of its own; loading all modules again for each cost a tenth of the run.
    isolate: false,
    // What a worker has loaded only grows, and each collection looks at all of it: a quarter of its time, towards the end.
    execArgv: ['--min-semi-space-size=64', '--max-semi-space-size=64', '--heap-growing-percent=200'],
    sequence: { sequencer: Order },
    reporters: ['default'],
  },
});
