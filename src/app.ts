import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { type Clock, systemClock } from './clock.ts';
import type { Config } from './config.ts';
import { resolveMoment } from './durations.ts';
import { LogkeepError } from './errors.ts';
import type { Log } from './log.ts';
import type { Ms, Span } from './model.ts';
import { readStream } from './reading.ts';
import { createRedactor, type Redactor } from './redact.ts';
import { createHttp, type Http } from './sources/http.ts';
import { SOURCES } from './sources/list.ts';
import type { OpenOptions, Stream, StreamSettings } from './sources/source.ts';
import { asDatabaseError, openStore, type Store } from './store/database.ts';
import { migrateToLatest, pendingMigrations, refuseNewer } from './store/migrate.ts';
import { Partitions } from './store/partitions.ts';
import { openQuota } from './store/quota.ts';
import { planWindows } from './sync/plan.ts';
import type { RunEvent, RunResult } from './sync/run.ts';

/** How far before a `since` that reaches to the retention's edge a first read begins; see `Ask.leadMs`. */
const EDGE_MS = 60_000;

/** A database ready for use. */
export interface OpenDatabase {
  readonly store: Store;
  /** Where it is, with its password; the embedded one's too. */
  readonly url: string;
  close(): Promise<void>;
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

/**
 * Opens the database of `config`: the one it names, or the embedded one. `migrate` brings the tables up to date
 * first; without it a database that lacks a migration is refused (`config`), with what to do.
 */
export async function openDatabase(
  config: Config,
  log: Log,
  options: { readonly migrate: boolean },
): Promise<OpenDatabase> {
  const server = await databaseServer(config, log);
  try {
    if (options.migrate) await migrateToLatest(config.database.directUrl ?? server.url);
    const store = openStore(server.url);
    try {
      if (!options.migrate) await refuseUnready(store);
    } catch (error) {
      await store.close();
      throw error;
    }
    return {
      store,
      url: server.url,
      close: async () => {
        await store.close();
        await server.release();
      },
    };
  } catch (error) {
    await server.release();
    throw error;
  }
}

async function databaseServer(config: Config, log: Log): Promise<{ url: string; release(): Promise<void> }> {
  const { url, dir } = config.database;
  if (url !== null) return { url, release: async () => {} };
  const { openEmbedded } = await import('./store/embedded.ts');
  return openEmbedded({ dir, log });
}

async function refuseUnready(store: Store): Promise<void> {
  try {
    const db = store.db as never;
    await refuseNewer(db);
    const pending = await pendingMigrations(db);
    if (pending.length > 0) {
      throw new LogkeepError(
        'config',
        `the database lacks the migrations ${pending.join(', ')}: expected the tables of this version; run \`logkeep sync\` or \`logkeep migrate\` first`,
      );
    }
  } catch (error) {
    throw asDatabaseError('look at the database', error);
  }
}

/** Opens `chosen` streams on the database of `config`, migrated first unless told not to; nothing is requested yet. */
export async function openApp(
  config: Config,
  chosen: readonly StreamSettings[],
  clock: Clock,
  log: Log,
  options: { readonly migrate: boolean } = { migrate: true },
): Promise<App> {
  const database = await openDatabase(config, log, options);
  let http: Http | null = null;
  try {
    const { key } = await database.store.db
      .selectFrom('redaction_key')
      .select('key')
      .executeTakeFirstOrThrow();
    const redactor = createRedactor(key, config.redact);
    const holder = `${hostname()}:${process.pid}:${randomBytes(3).toString('hex')}`;
    // Between machines the database's clock counts; a clock that is given counts for the quota too.
    const time = clock === systemClock ? null : clock;
    http = createHttp({ clock, shared: openQuota({ pool: database.store.pool, holder, clock: time, log }) });
    const opened = http;
    const streams = openStreams(chosen, { clock, log, redactor, http: opened });
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
        await opened.close();
        await database.close();
      },
    };
  } catch (error) {
    await http?.close();
    await database.close();
    throw asDatabaseError('open the database', error);
  }
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

/** What a sync is asked for, beyond the settings. */
export interface SyncAsk {
  /** Begin here instead of where the settings say. */
  readonly since: StreamSettings['since'] | null;
  readonly untilMs: Ms | null;
  readonly again: Span | null;
  readonly signal: AbortSignal;
  readonly mayRequest: () => boolean;
  readonly watch: (stream: Stream, event: RunEvent) => void;
}

/** How one stream's sync went. */
export interface SyncResult extends RunResult {
  readonly stream: Stream;
}

/** Reads all of the app's streams at once. One stream's trouble is in its result and stops that stream alone. */
export async function syncStreams(app: App, ask: SyncAsk): Promise<readonly SyncResult[]> {
  const results = await Promise.allSettled(app.streams.map((open) => syncStream(app, open, ask)));
  // A bug is thrown only after the others have finished their batches.
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** Reads one stream from what is not covered yet up to now. Its trouble is in the result; a bug is thrown. */
export async function syncStream(app: App, open: OpenStream, ask: SyncAsk): Promise<SyncResult> {
  const { askedFrom, leadMs } = beginning(ask.since, open.settings, app.clock.now());
  // A span that is asked for again is asked for, also where it lies before all that was asked for till now.
  const earliest = Math.min(askedFrom, ask.again?.from ?? Number.POSITIVE_INFINITY);
  return readStream(app, open, {
    job: 'sync',
    plan: planWindows,
    askedFrom: earliest,
    leadMs,
    untilMs: ask.untilMs,
    again: ask.again,
    settlesAfterMs: null,
    signal: ask.signal,
    mayRequest: ask.mayRequest,
    watch: (event) => ask.watch(open.stream, event),
  });
}

/**
 * A `since` that was not said, or that reaches to the retention's edge, means "all there is": what expires while it
 * is being read was never owed, so the asked time begins a little later than the reading. A longer one, or a fixed
 * time, is owed to the letter, and what the API no longer shows of it becomes an expired span.
 */
export function beginning(
  said: SyncAsk['since'],
  settings: StreamSettings,
  nowMs: Ms,
): { askedFrom: Ms; leadMs: number } {
  const since = said ?? settings.since;
  const edgeMs = settings.retentionMs - EDGE_MS;
  const atEdge = 'agoMs' in since && since.agoMs <= settings.retentionMs && since.agoMs > edgeMs;
  if (!atEdge) return { askedFrom: resolveMoment(since, nowMs), leadMs: 0 };
  const reachMs = said === null ? (settings.reachMs ?? 0) : 0;
  return { askedFrom: nowMs - edgeMs, leadMs: Math.max(since.agoMs, reachMs) - edgeMs };
}
