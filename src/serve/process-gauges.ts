import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Counter, Gauge, type Registry } from 'prom-client';

/** The loop is looked at this often: seldom enough to cost nothing. */
const RESOLUTION_MS = 50;

/** Registers what this process uses, under the names that Prometheus dashboards know; gives the way to stop watching. */
export function watchProcess(registry: Registry, version: string): () => void {
  const registers = [registry];
  const loop = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  loop.enable();
  const build = new Gauge({
    name: 'logkeep_build_info',
    help: 'Always 1; the labels say which version runs on which Node.',
    labelNames: ['version', 'node_version'],
    registers,
  });
  build.set({ version, node_version: process.version }, 1);
  new Gauge({
    name: 'process_resident_memory_bytes',
    help: 'Resident memory of this process.',
    registers,
    collect() {
      this.set(process.memoryUsage.rss());
    },
  });
  new Counter({
    name: 'process_cpu_seconds_total',
    help: 'Processor time that this process used, user and system.',
    registers,
    collect() {
      const { user, system } = process.cpuUsage();
      this.reset();
      this.inc((user + system) / 1e6);
    },
  });
  new Gauge({
    name: 'process_start_time_seconds',
    help: 'When this process began, in seconds since the epoch.',
    registers,
    collect() {
      this.set(Math.round(performance.timeOrigin) / 1000);
    },
  });
  const delays: readonly (readonly [name: string, help: string, read: (histogram: typeof loop) => number])[] =
    [
      ['mean', 'Mean', ({ mean }) => mean],
      ['p99', '99th percentile', (histogram) => histogram.percentile(99)],
      ['max', 'Longest', ({ max }) => max],
    ];
  for (const [name, words, read] of delays) {
    new Gauge({
      name: `nodejs_eventloop_lag_${name}_seconds`,
      help: `${words} delay of the event loop since the last look.`,
      registers,
      collect() {
        // What the timer itself takes is no delay; before its first turn nothing is known.
        const ms = loop.count === 0 ? 0 : Math.max(0, read(loop) / 1e6 - RESOLUTION_MS);
        this.set(ms / 1000);
        if (name === 'max') loop.reset();
      },
    });
  }
  return () => loop.disable();
}
