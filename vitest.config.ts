import { defineConfig } from 'vitest/config';
import Order from './test/order.ts';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/setup.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    // More than cores: many tests wait for real seconds.
    maxWorkers: 4,
    // Nothing is mocked, so a file needs no process of its own; loading all modules again for each cost a tenth of the run.
    isolate: false,
    sequence: { sequencer: Order },
    reporters: ['default'],
  },
});
