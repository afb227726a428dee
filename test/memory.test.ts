import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

const MEMORY = new URL('../src/memory.ts', import.meta.url).href;

/** How often what is new is collected for the same work, in a process of its own: kept low, and with room made. */
async function collections(): Promise<readonly [low: number, roomy: number]> {
  const program = `
    import { constants, PerformanceObserver } from 'node:perf_hooks';
    import { setTimeout as delay } from 'node:timers/promises';
    import { keepMemoryLow, makeRoomForNew } from '${MEMORY}';
    let minor = 0;
    new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MINOR) minor += 1;
    }).observe({ entryTypes: ['gc'] });
    const work = async () => {
      await delay(50);
      const before = minor;
      let outliving = [];
      for (let n = 0; n < 20_000; n += 1) {
        outliving.push(new Array(1_000).fill(n));
        if (outliving.length > 20) outliving = [];
      }
      await delay(50);
      return minor - before;
    };
    keepMemoryLow();
    const low = await work();
    makeRoomForNew();
    console.log(JSON.stringify([low, await work()]));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  return JSON.parse(stdout);
}

test('with room made for what is new it is collected a third as often, or less, than where memory is kept low', async () => {
  const [low, roomy] = await collections();
  expect(low).toBeGreaterThan(60);
  expect(roomy * 3).toBeLessThanOrEqual(low);
  expect(roomy).toBeGreaterThan(3);
});
