import pg from 'pg';
import { type App, openApp } from '../src/app.ts';
import type { Clock } from '../src/clock.ts';
import { loadConfig } from '../src/config.ts';
import { type Log, silentLog } from '../src/log.ts';
import type { Ms } from '../src/model.ts';
import type { ReadResult } from '../src/operations/read.ts';
import { type SyncAsk, syncStreams } from '../src/operations/sync.ts';
import { type Sandbox, type SandboxOptions, startSandbox } from '../src/sandbox/sandbox.ts';
import { SOURCES } from '../src/sources/list.ts';
import type { Stream, StreamSettings } from '../src/sources/source.ts';
import { migrateToLatest } from '../src/store/migrate.ts';
import { createMigratedDatabase } from './postgres.ts';

/** A clock that stands still but for sleeps, which pass at once, and for what a test adds. */
export interface WorldClock extends Clock {
  advance(ms: number): void;
}

export interface WorldOptions {
  readonly sandbox?: SandboxOptions;
  /** Which streams; default QStash alone. */
  readonly streams?: readonly ('qstash.main' | 'datadog.main')[];
  /** What differs from quick, small defaults; for all streams. */
  readonly settings?: Partial<StreamSettings>;
  /** A server of the test's own, to take its database `postgres`; default a database of the run's server. */
  readonly server?: string;
  /** Where the app finds the database, such as a proxy's url for the one given. */
  readonly route?: (url: string) => string;
  /** What becomes of each stream before it is read. */
  readonly wrap?: (stream: Stream) => Stream;
  readonly log?: Log;
  /** The clock of the app; default the sandbox's. */
  readonly clock?: Clock;
}

/** A sandbox, a database of its own and the app between them. */
export interface World {
  readonly clock: WorldClock;
  readonly sandbox: Sandbox;
  readonly url: string;
  open(changes?: Partial<WorldOptions>): Promise<App>;
  /** Opens the app, syncs once, closes it. */
  sync(ask?: Partial<SyncAsk>, changes?: Partial<WorldOptions>): Promise<readonly ReadResult[]>;
  /** The rows of a query, on a connection of the test's own. */
  query<Row extends Record<string, unknown> = Record<string, unknown>>(
    text: string,
    values?: unknown[],
  ): Promise<Row[]>;
  /** Lets every lease end, as ten seconds would. */
  endLeases(): Promise<void>;
  close(): Promise<void>;
}

/** The moment at which tests' worlds begin: away from an hour's edge. */
export const START: Ms = Date.UTC(2026, 4, 20, 12, 34, 56, 789);

export function createClock(start: Ms = START): WorldClock {
  let now = start;
  return {
    now: () => now,
    advance: (ms) => {
      now += ms;
    },
    sleep: (ms, signal) =>
      new Promise((resolve, reject) => {
        const stop = () => {
          clearTimeout(timer);
          reject(signal?.reason);
        };
        const timer = setTimeout(
          () => {
            signal?.removeEventListener('abort', stop);
            now += ms;
            resolve();
          },
          Math.min(ms, 10),
        );
        if (signal?.aborted) stop();
        else signal?.addEventListener('abort', stop, { once: true });
      }),
  };
}

export async function createWorld(options: WorldOptions = {}): Promise<World> {
  const clock = createClock();
  const database =
    options.server === undefined
      ? await createMigratedDatabase()
      : { url: options.server, drop: async () => {} };
  if (options.server !== undefined) await migrateToLatest(options.server);
  const sandbox = await startSandbox({
    clock,
    ...options.sandbox,
    qstash: { quota: null, ...options.sandbox?.qstash },
    datadog: { quota: null, ...options.sandbox?.datadog },
  });
  const client = new pg.Client({ connectionString: database.url, application_name: 'test' });
  // A test may take its server away.
  client.on('error', () => {});
  await client.connect();
  const open = async (changes: Partial<WorldOptions> = {}): Promise<App> => {
    const { streams = ['qstash.main'], settings, route, wrap, log, clock: own } = { ...options, ...changes };
    const config = loadConfig({
      env: {
        ...sandbox.env,
        DATABASE_URL: route === undefined ? database.url : route(database.url),
        ...(route === undefined ? {} : { DATABASE_URL_DIRECT: database.url }),
      },
      cwd: '/nonexistent',
      file: null,
      sources: SOURCES,
    });
    const chosen = config.streams
      .filter(({ id }) => (streams as readonly string[]).includes(id))
      .map((stream) => ({
        ...stream,
        since: { agoMs: 86_400_000 },
        retryMs: 300,
        timeoutMs: 3_000,
        ...settings,
        own: { ...(stream.own as object), ...(settings?.own as object) },
      }));
    const app = await openApp(config, chosen, own ?? clock, log ?? silentLog);
    return wrap === undefined
      ? app
      : { ...app, streams: app.streams.map((one) => ({ ...one, stream: wrap(one.stream) })) };
  };
  return {
    clock,
    sandbox,
    url: database.url,
    open,
    sync: async (ask, changes) => {
      const app = await open(changes);
      try {
        return await syncStreams(app, askOf(ask));
      } finally {
        await app.close();
      }
    },
    query: async (text, values) => (await client.query(text, values)).rows,
    endLeases: async () => {
      await client.query(`update logkeep.sync_window set lease_until = clock_timestamp() - interval '1 s'`);
    },
    close: async () => {
      await sandbox.close();
      await client.end().catch(() => {});
      await database.drop();
    },
  };
}

/** An ask for everything, with what differs. */
export function askOf(changes: Partial<SyncAsk> = {}): SyncAsk {
  return {
    since: null,
    untilMs: null,
    again: null,
    signal: new AbortController().signal,
    mayRequest: () => true,
    watch: () => {},
    ...changes,
  };
}

/** Makes each page so large that it is a batch of its own. */
export function pageIsBatch(stream: Stream): Stream {
  return {
    ...stream,
    async *read(options) {
      for await (const page of stream.read(options)) yield { ...page, bytes: 64 * 1024 * 1024 };
    },
  };
}
