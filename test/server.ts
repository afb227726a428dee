import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readdir, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openBinaries, packagedNative } from '../src/store/binaries.ts';
import {
  accountFor,
  type Cluster,
  createCluster,
  freePort,
  isPostmaster,
  type ProgramEnd,
  readPostmaster,
  SUPERUSER,
  startServer,
  stopServer,
} from '../src/store/cluster.ts';
import { hasRoomInMemory, MEMORY } from './in-memory.ts';

/** A Postgres server for tests; `url` is its superuser's, at database `postgres`. */
export interface TestServer {
  readonly url: string;
  /** What it is, for people. */
  readonly name: string;
  stop(): Promise<void>;
}

/** A server that one test owns alone and may crash; it keeps its port. */
export interface PrivateServer extends TestServer {
  /** `immediate` loses what was not committed, as a crash does. */
  restart(mode: 'fast' | 'immediate'): Promise<void>;
}

type Kind = 'url' | 'docker' | 'local' | 'embedded';

/** The server of a run: DATABASE_URL, else Docker, else local programs, else the embedded one; LOGKEEP_TEST_PG forces a kind. */
export async function findServer(environment: NodeJS.ProcessEnv): Promise<TestServer> {
  const forced = environment.LOGKEEP_TEST_PG;
  const ways: Record<Kind, () => Promise<TestServer | null>> = {
    url: async () => givenServer(environment.DATABASE_URL),
    docker: dockerServer,
    local: localServer,
    embedded: embeddedServer,
  };
  if (forced !== undefined && forced !== '' && !(forced in ways)) {
    throw new Error(`LOGKEEP_TEST_PG is ${forced}, expected one of ${Object.keys(ways).join(', ')}`);
  }
  for (const [kind, way] of Object.entries(ways)) {
    if (forced && forced !== kind) continue;
    const server = await way();
    if (server !== null) return server;
  }
  throw new Error(
    `no Postgres for the tests (${forced || 'tried DATABASE_URL, Docker, initdb, embedded'}): set DATABASE_URL to a server whose user may create databases`,
  );
}

/** A server of local or embedded programs for one test alone. */
export async function startPrivateServer(): Promise<PrivateServer> {
  const server = (await localServer()) ?? (await embeddedServer());
  if (server === null) throw new Error('neither initdb nor the embedded Postgres runs here');
  return server;
}

function givenServer(url: string | undefined): TestServer | null {
  if (!url) return null;
  return { url, name: 'DATABASE_URL', stop: async () => {} };
}

async function dockerServer(): Promise<TestServer | null> {
  const { getContainerRuntimeClient } = await import('testcontainers');
  const stopped = new AbortController();
  // A silent endpoint would hang for ever.
  const engine = await Promise.race([
    getContainerRuntimeClient().catch(() => null),
    delay(5_000, null, { signal: stopped.signal }).catch(() => null),
  ]);
  stopped.abort();
  if (engine === null) return null;
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const settings = ['fsync=off', 'max_connections=200'].flatMap((setting) => ['-c', setting]);
  const container = await new PostgreSqlContainer('postgres:18')
    .withCommand(['postgres', ...settings])
    .start();
  return {
    url: container.getConnectionUri(),
    name: 'postgres:18 in Docker',
    stop: async () => void (await container.stop()),
  };
}

async function localServer(): Promise<PrivateServer | null> {
  const bin = await localPrograms();
  return bin === null ? null : ownServer(`local programs in ${bin}`, async () => bin);
}

async function embeddedServer(): Promise<PrivateServer | null> {
  return ownServer('embedded Postgres', async (folder, account) => {
    return (await openBinaries(packagedNative(), join(folder, 'native'), account)).bin;
  });
}

/** The first folder of PATH, then of Debian's, that holds all three programs. */
async function localPrograms(): Promise<string | null> {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '');
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? (await readdir(debian)).sort((a, b) => Number(b) - Number(a)) : [];
  for (const folder of [...folders, ...versions.map((version) => join(debian, version, 'bin'))]) {
    if (!existsSync(join(folder, 'initdb'))) continue;
    const real = join(await realpath(join(folder, 'initdb')), '..');
    if (['initdb', 'pg_ctl', 'postgres'].every((program) => existsSync(join(real, program)))) return real;
  }
  return null;
}

async function ownServer(
  name: string,
  programs: (folder: string, account: Cluster['account']) => Promise<string>,
): Promise<PrivateServer> {
  await sweep();
  const made: string[] = [];
  for (const home of [await dataHome(), await realpath(tmpdir())]) {
    const folder = await mkdtemp(join(home, `logkeep-test-${process.pid}-`));
    await chmod(folder, 0o711);
    made.push(folder);
  }
  const [data, spare] = made as [string, string];
  const account = await accountFor(data);
  const cluster = { folder: join(data, 'cluster'), bin: await programs(spare, account), account };
  must(await createCluster(cluster, { password: null, settings: SETTINGS, durable: false }));
  const port = await freePort(null);
  must(await startServer(cluster, port));
  return {
    url: `postgres://${SUPERUSER}@127.0.0.1:${port}/postgres`,
    name,
    restart: async (mode) => {
      must(await stopServer(cluster, mode));
      must(await startServer(cluster, port));
    },
    stop: async () => {
      if ((await readPostmaster(cluster)) !== null) must(await stopServer(cluster));
      for (const folder of made) await rm(folder, { recursive: true, force: true });
    },
  };
}

const ENOUGH_BYTES = 2 * 1024 ** 3;

/**
 * Where servers keep their data: in memory, if there is enough. A run makes and drops a thousand databases of
 * hundreds of files, and ext4 searches long for a file's number where many were given up in the last seconds.
 */
async function dataHome(): Promise<string> {
  return hasRoomInMemory(ENOUGH_BYTES) ? MEMORY : realpath(tmpdir());
}

/** None of it is to outlive a crash of the machine, nor is anything long enough there for what runs by itself. */
const SETTINGS = {
  fsync: 'off',
  full_page_writes: 'off',
  autovacuum_naptime: '1h',
  jit: 'off',
  max_wal_size: '256MB',
  max_connections: '200',
  timezone: 'UTC',
  log_min_messages: 'error',
  log_min_error_statement: 'panic',
};

/** Stops and removes servers and folders that a killed run left behind. */
export async function sweep(): Promise<void> {
  for (const home of new Set([await realpath(tmpdir()), MEMORY])) {
    for (const name of await readdir(home).catch(() => [])) {
      const pid = Number(/^logkeep-test-(\d+)-/.exec(name)?.[1]);
      if (pid && !isAlive(pid)) await clear(join(home, name));
    }
  }
}

async function clear(folder: string): Promise<void> {
  const cluster = { folder: join(folder, 'cluster'), bin: '', account: null };
  const postmaster = await readPostmaster(cluster).catch(() => null);
  if (postmaster !== null && (await isPostmaster(cluster, postmaster.pid))) {
    process.kill(postmaster.pid, 'SIGQUIT');
    await delay(300);
  }
  await rm(folder, { recursive: true, force: true }).catch(() => undefined);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function must(outcome: ProgramEnd): void {
  if (outcome.code !== 0) throw new Error(`the test server failed: ${outcome.output}`);
}
