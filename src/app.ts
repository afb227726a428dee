import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { LogkeepError } from './errors.ts';
import type { Log } from './log.ts';
import { createRedactor, type Redactor } from './redact.ts';
import { createHttp, type Http } from './sources/http.ts';
import { SOURCES } from './sources/list.ts';
import type { OpenOptions, Stream, StreamSettings } from './sources/source.ts';
import { asDatabaseError, openStore, type Store } from './store/database.ts';
import { migrateToLatest, pendingMigrations } from './store/migrate.ts';
import { Partitions } from './store/partitions.ts';
import { openQuota } from './store/quota.ts';

/** A database ready for use. */
export interface OpenDatabase {
  readonly store: Store;
  /** Where it is, with its password; the embedded one's too. */
  readonly url: string;
  /** What gave that address, as errors name it. */
  readonly from: string | null;
  /** Whether it is the embedded one, where we are the superuser and nobody else is. */
  readonly isEmbedded: boolean;
  /** Names of the migrations that were applied to it just now. */
  readonly applied: readonly string[];
  close(): Promise<void>;
}

/** How a database is opened. */
export interface DatabaseOptions {
  readonly migrate: boolean;
  /** Whether an embedded one is made where there is none yet; default: `migrate`. */
  readonly make?: boolean;
  /** See `openPool`. */
  readonly silenceMs?: number;
}

/** How an app is opened. */
export interface AppOptions extends DatabaseOptions {
  /** Who we are, for other processes to read; default: `processName()`. */
  readonly holder?: string;
}

/** A stream with the settings it was opened with. */
export interface OpenStream {
  readonly stream: Stream;
  readonly settings: StreamSettings;
}

/** Everything open that reading the streams needs. */
export interface App {
  readonly store: Store;
  readonly url: string;
  readonly streams: readonly OpenStream[];
  readonly redactor: Redactor;
  readonly partitions: Partitions;
  readonly clock: Clock;
  readonly log: Log;
  /** Who we are, for other processes to read. */
  readonly holder: string;
  close(): Promise<void>;
}

/** No database is named, and the embedded one was not made yet. */
export class NoDatabase extends LogkeepError {
  /** Where it would be; an absolute path. */
  readonly folder: string;

  constructor(folder: string, message: string) {
    super('config', message);
    this.folder = folder;
  }
}

/**
 * Opens the database of `config`: the one it names, or the embedded one. `migrate` brings the tables up to date
 * first; without it a database that lacks a migration is refused (`config`), with what to do. So is an embedded one
 * that is not there and not to be made (`NoDatabase`): then nothing was written.
 */
export async function openDatabase(
  config: Config,
  log: Log,
  options: DatabaseOptions,
): Promise<OpenDatabase> {
  const server = await databaseServer(config, log, options.make ?? options.migrate);
  try {
    const { silenceMs } = options;
    const store = openStore(server.url, {
      from: server.from,
      ...(silenceMs === undefined ? {} : { silenceMs }),
    });
    let applied: readonly string[] = [];
    try {
      if (options.migrate) applied = await migrate(config, server, store, log);
      else refuseUnready(await lackingIn(store));
    } catch (error) {
      await store.close();
      throw error;
    }
    return {
      store,
      url: server.url,
      from: server.from,
      isEmbedded: config.database.url === null,
      applied,
      close: async () => {
        try {
          await store.close();
        } finally {
          await server.release();
        }
      },
    };
  } catch (error) {
    await server.release();
    throw error;
  }
}

/**
 * The server of `config`: nothing is done for the one it names; the embedded one is up until `release`. Throws
 * `NoDatabase` where that is not there and not to be made.
 */
export async function databaseServer(
  { database: { url, from, dir }, streams }: Config,
  log: Log,
  make: boolean,
): Promise<{ readonly url: string; readonly from: string | null; release(): Promise<void> }> {
  if (url !== null) return { url, from, release: async () => {} };
  const { openEmbedded } = await import('./store/embedded.ts');
  const { hasCluster } = await import('./store/embedded-home.ts');
  if (!make && !(await hasCluster(dir))) throw new NoDatabase(dir, noDatabase(dir, streams.length));
  const { url: own, release } = await openEmbedded({ dir, log });
  return { url: own, from: embeddedName(dir), release };
}

/** The embedded Postgres, as errors name it. */
export function embeddedName(dir: string): string {
  return `the embedded Postgres in ${dir}`;
}

function noDatabase(dir: string, streams: number): string {
  const message = `there is no database here yet: no embedded Postgres in ${dir}, and DATABASE_URL is not set: run \`logkeep sync\` to create one and copy the logs into it, \`logkeep demo\` to see it work without keys, set DATABASE_URL to use your own Postgres, or go to the folder where the database is`;
  return streams > 0
    ? message
    : `${message}; no stream is set either: \`logkeep --help\` says which environment variables define one`;
}

/** Names of what was applied. */
async function migrate(
  { database: { directUrl, directFrom } }: Config,
  server: { readonly url: string; readonly from: string | null },
  store: Store,
  log: Log,
): Promise<readonly string[]> {
  // Nearly always there is nothing to do, and the store's own connection is enough to see it. Whoever names a direct
  // address may also have named another role by it, which sees more.
  if (directUrl === null && (await lackingIn(store)).length === 0) return [];
  return migrateToLatest(directUrl ?? server.url, {
    onWait: (text) => log.warn({}, text),
    from: directFrom ?? server.from,
  });
}

async function lackingIn(store: Store): Promise<readonly string[]> {
  try {
    return await pendingMigrations(store.db);
  } catch (error) {
    throw asDatabaseError('open the database', error);
  }
}

function refuseUnready(lacking: readonly string[]): void {
  if (lacking.length === 0) return;
  const names =
    lacking.length === 1 ? `migration ${lacking[0]}` : `migrations ${lacking[0]} to ${lacking.at(-1)}`;
  throw new LogkeepError(
    'config',
    `the database lacks the ${names}: expected the tables of this version; run \`logkeep sync\`, \`logkeep serve\` or \`logkeep migrate\` first`,
  );
}

/** Opens `chosen` streams on the database of `config`, migrated first unless told not to; nothing is requested yet. */
export async function openApp(
  config: Config,
  chosen: readonly StreamSettings[],
  clock: Clock,
  log: Log,
  options: AppOptions = { migrate: true },
): Promise<App> {
  const { holder = processName() } = options;
  const database = await openDatabase(config, log, options);
  let http: Http | null = null;
  try {
    const { key } = await database.store.db
      .selectFrom('redaction_key')
      .select('key')
      .executeTakeFirstOrThrow();
    const redactor = createRedactor(key, config.redact);
    // Between machines the database's clock counts; a clock that is given counts for the quota too.
    const time = clock === systemClock ? null : clock;
    http = createHttp({ clock, shared: openQuota({ pool: database.store.pool, holder, clock: time, log }) });
    const opened = http;
    const streams = openStreams(chosen, { clock, redactor, http: opened });
    return {
      store: database.store,
      url: database.url,
      streams,
      redactor,
      partitions: new Partitions(database.store.pool),
      clock,
      log,
      holder,
      close: async () => {
        try {
          await opened.close();
        } finally {
          await database.close();
        }
      },
    };
  } catch (error) {
    await http?.close();
    await database.close();
    throw asDatabaseError('open the database', error);
  }
}

/** A name for this process, `host:pid:random`; another each time. */
export function processName(): string {
  return `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
}

/** Opens `chosen` streams without a database; nothing is requested yet. */
export function openStreams(chosen: readonly StreamSettings[], options: OpenOptions): readonly OpenStream[] {
  return chosen.map((settings) => ({ settings, stream: openStream(settings, options) }));
}

function openStream(settings: StreamSettings, options: OpenOptions): Stream {
  const source = SOURCES.find(({ name }) => name === settings.source);
  if (source === undefined) throw new Error(`no source ${settings.source}`);
  return source.open(settings, options);
}
