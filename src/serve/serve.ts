import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import type { Job, JobContext, JobReport } from '../../jobs/job.ts';
import { type App, type OpenStream, openApp } from '../app.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { isFailure } from '../errors.ts';
import type { Log } from '../log.ts';
import { type Clockwork, startClockwork, timetable } from './clockwork.ts';
import { type House, openHouse, whenThere } from './house.ts';
import { type Lookout, openLookout } from './lookout.ts';
import { refuseMoved } from './reload.ts';
import { createTicker, type Ticker } from './ticker.ts';
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

/** The settings in force and what is open with them. */
interface Reign {
  readonly config: Config;
  readonly app: App;
  readonly clockwork: Clockwork;
}

/**
 * Keeps all streams of `config` complete until the signal aborts: ticks the timetable and works on what waits in the
 * queue, its own or another process's. A database that is away is waited for. Then hands over what is in hand, each
 * after its batch, and closes everything. Throws only before it serves.
 */
export async function serve(options: ServeOptions): Promise<void> {
  const { config, jobs, version, clock, log, signal } = options;
  const holder = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
  const { host, port } = config;
  const lookout = await openLookout({ host, port, holder, version, clock, log });
  log.info({ holder, pid: process.pid, url: lookout.url }, 'listening');
  let house: House | null = null;
  try {
    const waiting = { clock, log, signal };
    house = await orAborted(signal, () => whenThere(() => openHouse({ config, jobs, log }), waiting));
    if (house === null) return;
    lookout.movedIn(house);
    const app = await orAborted(signal, () => whenThere(() => openReign(config, holder, options), waiting));
    if (app !== null) await serveFrom(house, app, lookout, holder, options);
  } finally {
    await lookout.close();
    await house?.close();
    log.info({ holder }, 'left');
  }
}

async function serveFrom(
  house: House,
  first: App,
  lookout: Lookout,
  holder: string,
  options: ServeOptions,
): Promise<void> {
  const { jobs, log, signal } = options;
  const { queue } = house;
  let reign: Reign;
  const find = (job: Job, { stream }: { readonly stream: string | null }): Work | null => {
    const { app, config } = reign;
    const open = app.streams.find(({ stream: { id } }) => id === stream);
    if (job.perStream && open === undefined) return null;
    return async (aborted) => {
      const count = lookout.runs.begin(job.name, stream);
      const context: JobContext = { app, config, signal: aborted, watch: (_, event) => count.event(event) };
      let report: JobReport | null = null;
      try {
        report = await (job.perStream ? job.run(context, open as OpenStream) : job.run(context));
        return report;
      } finally {
        count.end(report);
      }
    };
  };
  const ticker: Ticker = createTicker({ queue, log, wake: (job) => worker.wake(job) });
  const begin = (config: Config, app: App): Reign => {
    const entries = timetable(jobs, config.streams);
    const clockwork = startClockwork(entries, ticker.tick, log);
    // Whatever was missed while nobody served: what is to do, the tables know.
    ticker.tickAll(entries);
    return { config, app, clockwork };
  };
  const worker: Worker = startWorker({ queue, jobs, log, find });
  reign = begin(options.config, first);
  await lookout.watch(options.config, first.streams);
  log.info(
    {
      holder,
      pid: process.pid,
      streams: options.config.streams.map(({ id }) => id),
      jobs: jobs.map(({ name }) => name),
    },
    'serving',
  );

  const reload = async (): Promise<void> => {
    const old = reign;
    let config: Config;
    let app: App;
    try {
      config = options.reread();
      refuseMoved(old.config, config);
      app = await openReign(config, holder, options);
    } catch (error) {
      log.error({ error: String(error) }, 'settings not taken over: the old ones go on');
      return;
    }
    await worker.pause();
    old.clockwork.stop();
    options.setLevel(config);
    reign = begin(config, app);
    worker.go();
    log.info({ streams: config.streams.map(({ id }) => id) }, 'settings taken over');
    const trouble = (error: unknown) =>
      log.warn({ error: String(error) }, 'settings taken over with trouble');
    await lookout.watch(config, app.streams).catch(trouble);
    await old.app.close().catch(trouble);
  };
  let reloading: Promise<void> = Promise.resolve();
  options.onHangup(() => {
    if (!signal.aborted) reloading = reloading.then(reload);
  });

  await new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
  log.info({ holder, in_hand: worker.executions().length }, 'leaving: finishing the batches in hand');
  ticker.stop();
  await reloading;
  reign.clockwork.stop();
  await worker.stop();
  await reign.app.close();
}

/** Each settings' app is of one holder, so that others see one process. */
async function openReign(config: Config, holder: string, { clock, log }: ServeOptions): Promise<App> {
  return { ...(await openApp(config, config.streams, clock, log, { migrate: false })), holder };
}

/** Null where the signal ended it. */
async function orAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted && isFailure(error, 'aborted')) return null;
    throw error;
  }
}
