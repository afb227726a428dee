import type { StreamJob } from '../../jobs/job.ts';
import { type App, openApp } from '../../src/app.ts';
import { betweenTicks } from '../../src/config/schedule.ts';
import { type Config, loadConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log.ts';
import type { Ms, StreamId } from '../../src/model.ts';
import type { SandboxOptions } from '../../src/sandbox/sandbox.ts';
import { SOURCES } from '../../src/sources/list.ts';
import type { StreamSettings } from '../../src/sources/source.ts';
import { createWorld, type World } from '../world.ts';

/** A timetable played on a clock that goes on from tick to tick, without node-cron and queue. */
export interface PacedWorld extends World {
  readonly config: Config;
  /** Another process, with its own gates. */
  process(): Promise<App>;
  /** One run of a stream's job. */
  tick(job: StreamJob, app: App, index?: number): Promise<void>;
  /** All runs up to `to`, each stream's when its schedule has them, by these processes in turn; gives how many. */
  play(job: StreamJob, to: Ms, processes: readonly App[]): Promise<number>;
}

/** One stream of the environment's for each of `changes`, with what differs; their names are its keys. */
export async function createPacedWorld(
  source: 'qstash' | 'datadog',
  sandbox: SandboxOptions,
  changes: Readonly<Record<string, Partial<StreamSettings>>>,
): Promise<PacedWorld> {
  const world = await createWorld({ sandbox });
  const env = { ...world.sandbox.env, DATABASE_URL: world.url };
  const config = loadConfig({ env, cwd: '/nonexistent', file: null, sources: SOURCES });
  const first = config.streams.find((stream) => stream.source === source) as StreamSettings;
  const streams = Object.entries(changes).map(([id, change]) => ({
    ...first,
    since: { agoMs: 600_000 },
    retryMs: 300,
    timeoutMs: 3_000,
    ...change,
    id: id as StreamId,
    own: { ...(first.own as object), ...(change.own as object) },
  }));
  const apps: App[] = [];
  const { signal } = new AbortController();
  const tick = async (job: StreamJob, app: App, index = 0) => {
    const open = app.streams[index];
    if (open === undefined) throw new Error(`no stream ${index}`);
    const { error } = await job.run({ app, config, signal, watch: () => {} }, open);
    if (error !== null) throw error;
  };
  return {
    ...world,
    config,
    async process() {
      const app = await openApp(config, streams, world.clock, silentLog, { migrate: false });
      apps.push(app);
      return app;
    },
    tick,
    async play(job, to, processes) {
      const periods = streams.map(({ schedule }) => betweenTicks(schedule));
      const stepMs = Math.min(...periods);
      let ticks = 0;
      for (let due = Math.ceil(world.clock.now() / stepMs) * stepMs; due <= to; due += stepMs) {
        // Whoever waited for quota took time: ticks that were due meanwhile were of no use.
        if (due < world.clock.now()) continue;
        world.clock.advance(due - world.clock.now());
        for (const [index, periodMs] of periods.entries()) {
          if (due % periodMs < stepMs) await tick(job, processes[ticks++ % processes.length] as App, index);
        }
      }
      return ticks;
    },
    async close() {
      for (const app of apps) await app.close();
      await world.close();
    },
  };
}
