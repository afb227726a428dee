import type { Job, JobContext, JobReport } from '../../jobs/job.ts';
import { type App, type OpenStream, openApp, processName } from '../app.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { errorText, isFailure } from '../errors.ts';
import type { Log } from '../log.ts';
import { overasking, overaskingText, readQuotasOf } from '../operations/pacing.ts';
import { type Backend, openBackend, SILENCE_MS, untilReachable } from './backend.ts';
import { type Cron, startCron, timetableOf } from './cron.ts';
import { createDispatcher } from './dispatcher.ts';
import { lanesOf } from './lanes.ts';
import { type Monitor, openMonitor } from './monitor.ts';
import type { Claim } from './queue.ts';
import { refuseRestartOnly } from './reload.ts';
import { isResting } from './rest.ts';
import { startWorker, type Work, type Worker } from './worker.ts';

/** What serving needs. */
export interface ServeOptions {
  readonly config: Config;
  /** Reads the settings anew; throws `config`. */
  readonly reread: () => Config;
  readonly jobs: readonly Job[];
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
  /** Follows the settings of a reload. */
  readonly setLevel: (config: Config) => void;
  /** Aborts when the process is to end. */
  readonly signal: AbortSignal;
  /** Calls back for each SIGHUP. */
  readonly onHangup: (reload: () => void) => void;
}

/** The settings in force and what is open with them. A reload puts another in its place. */
interface Generation {
  readonly config: Config;
  readonly app: App;
  readonly cron: Cron;
  /** When it came into force, by the monotonic clock, in ms. */
  readonly begunAt: number;
}

/** What SIGHUP does, and whether it came before anything could be done. */
interface Hangup {
  heard: boolean;
  reload: (() => void) | null;
}

/**
 * Keeps all streams of `config` complete until the signal aborts: ticks the timetable and works on what waits in the
 * queue, its own or another process's. A database that is away is waited for. Then hands over what is in hand, each
 * after its batch, and closes everything. Throws only before it serves.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { config, jobs, version, clock, log, signal } = options;
  // The app of each generation bears it, so that others see one process.
  const holder = processName();
  const open = (settings: Config) =>
    openApp(settings, settings.streams, clock, log, { migrate: false, silenceMs: SILENCE_MS, holder });
  const { host, port } = config;
  const hangup: Hangup = { heard: false, reload: null };
  // From the start on: a process without a handler is ended by SIGHUP.
  options.onHangup(() => {
    hangup.heard = true;
    hangup.reload?.();
  });
  const monitor = await openMonitor({ host, port, holder, version, clock, log });
  log.info({ holder, pid: process.pid, url: monitor.url }, 'listening');
  let backend: Backend | null = null;
  try {
    const waiting = { clock, log, signal };
    backend = await orAborted(signal, () =>
      untilReachable(() => openBackend({ config, jobs, log }), waiting),
    );
    if (backend === null) return;
    monitor.attach(backend);
    const app = await orAborted(signal, () => untilReachable(() => open(config), waiting));
    if (app !== null) await serveFrom(backend, app, monitor, holder, { ...options, hangup, open });
  } finally {
    await monitor.close();
    await backend?.close();
    log.info({ holder }, 'left');
  }
}

async function serveFrom(
  { queue }: Backend,
  first: App,
  monitor: Monitor,
  holder: string,
  options: ServeOptions & { readonly hangup: Hangup; readonly open: (config: Config) => Promise<App> },
): Promise<void> {
  const { jobs, log, signal, hangup, open } = options;
  let current: Generation = {
    config: options.config,
    app: first,
    cron: { stop() {} },
    begunAt: performance.now(),
  };
  const worker: Worker = startWorker({
    queue,
    jobs,
    log,
    find: (job, claim) => workOf(job, claim, current, monitor),
  });
  const dispatcher = createDispatcher({
    queue,
    log,
    wake: worker.wake,
    lanes: async ({ job, stream }) => {
      const found = jobs.find(({ name }) => name === job);
      return found === undefined ? 1 : lanesOf(found, stream, current.app);
    },
  });
  const begin = (config: Config, app: App): Generation => {
    const timetable = timetableOf(jobs, config.streams);
    const cron = startCron(timetable, dispatcher.send, log);
    // Something may have been missed while nobody served: the tables know what is to be done.
    dispatcher.sendAll(timetable);
    return { config, app, cron, begunAt: performance.now() };
  };
  const warn = (error: unknown) => log.warn({ error: errorText(error) }, 'settings applied with errors');
  const reload = async (): Promise<void> => {
    const old = current;
    let app: App | null = null;
    try {
      const config = options.reread();
      refuseRestartOnly(old.config, config);
      app = await open(config);
      await worker.pause();
      options.setLevel(config);
      current = begin(config, app);
    } catch (error) {
      log.error({ error: errorText(error) }, 'settings not applied: the old ones stay in force');
      await app?.close().catch(warn);
      return;
    } finally {
      worker.go();
    }
    old.cron.stop();
    log.info({ streams: current.config.streams.map(({ id }) => id) }, 'settings applied');
    await monitor.watch(current.config, app.streams).catch(warn);
    await warnOfSchedules(app, log);
    await old.app.close().catch(warn);
  };
  let reloading: Promise<void> = Promise.resolve();
  try {
    current = begin(options.config, first);
    await monitor.watch(options.config, first.streams);
    await warnOfSchedules(first, log);
    log.info(
      {
        holder,
        pid: process.pid,
        streams: options.config.streams.map(({ id }) => id),
        jobs: jobs.map(({ name }) => name),
      },
      'serving',
    );
    hangup.reload = () => {
      if (!signal.aborted) reloading = reloading.then(reload);
    };
    if (hangup.heard) hangup.reload();
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener('abort', () => resolve(), { once: true });
    });
    log.info({ holder, in_hand: worker.inHand() }, 'leaving: finishing the batches in hand');
  } finally {
    hangup.reload = null;
    dispatcher.stop();
    await reloading;
    current.cron.stop();
    await worker.stop();
    await current.app.close();
  }
}

/** Warns of each stream whose quota is too short for its schedule: it is read less often than it was set to. */
async function warnOfSchedules(app: App, log: Log): Promise<void> {
  try {
    for (const one of overasking(app.streams, await readQuotasOf(app))) {
      const { stream, schedule, asked, allowed, carried } = one;
      const fields = { stream, schedule, requests_an_hour: asked, allowed_an_hour: allowed, carried };
      log.warn(fields, `${stream}: ${overaskingText(one)}; set schedule to "${carried}" or slower`);
    }
  } catch (error) {
    log.debug({ error: errorText(error) }, 'quotas not looked up');
  }
}

/** What is to be done for a job; null: its stream is not in our settings. */
function workOf(
  job: Job,
  { stream, byHand = false }: Claim,
  { app, config, begunAt }: Generation,
  monitor: Monitor,
): Work | null {
  const open = app.streams.find(({ stream: { id } }) => id === stream);
  if (job.perStream && open === undefined) return null;
  return async (signal) => {
    if (job.perStream && open !== undefined && !byHand) {
      const ticking = { name: job.name, schedule: job.schedule(open.settings) };
      if (await isResting(app, open, ticking, performance.now() - begunAt)) return RESTED;
    }
    const count = monitor.runs.begin(job.name, stream);
    const context: JobContext = { app, config, signal, watch: (_, event) => count.event(event) };
    let report: JobReport | null = null;
    try {
      report = await (job.perStream ? job.run(context, open as OpenStream) : job.run(context));
      return report;
    } finally {
      count.end(report);
    }
  };
}

/** What a tick reports that left its stream alone. */
const RESTED: JobReport = { outcome: 'done', error: null, window: null, counts: {} };

/** Null where the signal ended it. */
async function orAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted && isFailure(error, 'aborted')) return null;
    throw error;
  }
}
