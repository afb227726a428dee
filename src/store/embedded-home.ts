import { randomBytes } from 'node:crypto';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  stat,
  statfs,
  symlink,
} from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { openBinaries } from './binaries.ts';
import { type Account, accountFor, type Cluster, createCluster, runAs } from './cluster.ts';

/** What a new cluster and a copy of the programs need at the least. */
const ROOM_MB = 200;

const SETTINGS = {
  max_connections: '100',
  shared_buffers: '256MB',
  max_wal_size: '2GB',
  wal_level: 'minimal',
  max_wal_senders: '0',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_checkpoints: 'off',
};

/** Where the cluster and its programs are to be. */
export interface HomeOptions {
  /** Where logkeep keeps its things, such as `./.logkeep`. */
  readonly dir: string;
  /** Where they go when we are root and the user who runs the server cannot reach `dir`. */
  readonly elsewhere: string;
  /** The package's folder of programs. */
  readonly native: string;
  readonly log: Log;
}

/**
 * The cluster of `dir`, made if there is none; two processes may do so at once. It is `dir/cluster`, or a link
 * there to a folder in `elsewhere`. Throws `database` where the folder, its owner, the disk or the data's
 * version is in the way.
 */
export async function openHome(options: HomeOptions): Promise<Cluster> {
  const dir = resolve(options.dir);
  try {
    await makeFolder(dir);
    const entry = join(await realpath(dir), 'cluster');
    const found = await follow(entry);
    const account = found === null ? await newAccount(dir) : await ownerOf(found);
    const base = await baseFolder(options, dir, found, account);
    const spare = join(base, `postgres-${await version(options.native)}`);
    const { bin, major } = await openBinaries(options.native, spare, account);
    const cluster = { folder: found ?? join(base, 'cluster'), bin, account };
    if (found === null && (await create(options, entry, cluster)) === 'taken') return openHome(options);
    await checkMajor(cluster.folder, major);
    return cluster;
  } catch (error) {
    throw folderTrouble(error, dir);
  }
}

/** Whether there is a cluster in `dir`, or something else in its place, of which `openHome` tells; makes nothing. */
export async function hasCluster(dir: string): Promise<boolean> {
  try {
    await lstat(join(resolve(dir), 'cluster'));
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ENOENT';
  }
}

/** The remedy where too little of the disk is free in `folder`, else an empty text. */
export async function roomWarning(folder: string): Promise<string> {
  const { bavail, bsize, blocks } = await statfs(folder);
  // Some network file systems do not tell.
  if (blocks === 0) return '';
  const freeMb = Math.floor((bavail * bsize) / 1048576);
  return freeMb >= ROOM_MB
    ? ''
    : `only ${freeMb} MB are free in ${folder}, ${ROOM_MB} are needed: free some space. `;
}

async function makeFolder(dir: string): Promise<void> {
  if (!(await makeFolders(dir))) return;
  const asRoot = process.getuid?.() === 0;
  // The server's user must get through, whatever the umask says.
  await chmod(dir, asRoot ? 0o711 : 0o700);
  if (!asRoot) return;
  const parent = await stat(dirname(dir));
  await chown(dir, parent.uid, parent.gid);
}

/** Makes a folder and those above it; false if it was there. Node's own `recursive` never ends below /proc. */
async function makeFolders(dir: string): Promise<boolean> {
  try {
    await mkdir(dir);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST' && (await stat(dir)).isDirectory()) return false;
    if (code !== 'ENOENT' || dirname(dir) === dir) throw error;
  }
  await makeFolders(dirname(dir));
  await mkdir(dir);
  return true;
}

/** Where `entry` leads; null if there is nothing. */
async function follow(entry: string): Promise<string | null> {
  const present = await lstat(entry).catch(() => null);
  if (present === null) return null;
  if (!present.isSymbolicLink()) return entry;
  const target = await readlink(entry);
  return realpath(target).catch(() => {
    throw new LogkeepError(
      'database',
      `${entry} leads to ${target}, which is gone with its data: restore it, or remove ${entry} to start afresh`,
    );
  });
}

/** Who would run the server of a new cluster in `dir` (which exists); null: we. Throws `database` where nobody can. */
export async function newAccount(dir: string): Promise<Account | null> {
  const account = await accountFor(dir);
  if (process.getuid?.() === 0) {
    if (account !== null) return account;
    throw new LogkeepError(
      'database',
      'Postgres refuses to run as root, and this system has no user "postgres" or "nobody" to run it as: add one, run logkeep as another user, or set DATABASE_URL',
    );
  }
  try {
    userInfo();
  } catch (error) {
    throw new LogkeepError(
      'database',
      `uid ${process.getuid?.()} has no name on this system, which Postgres needs: add it to /etc/passwd, run logkeep as another user, or set DATABASE_URL`,
      { cause: error },
    );
  }
  return null;
}

async function ownerOf(folder: string): Promise<Account | null> {
  const own = process.getuid?.();
  if (own === undefined) return null;
  const { uid, gid } = await stat(folder);
  if (uid === own && own !== 0) return null;
  if (uid !== 0 && own === 0) return { uid, gid };
  throw new LogkeepError(
    'database',
    uid === 0
      ? `${folder} belongs to root, but Postgres cannot run as root: change its owner (chown -R)`
      : `${folder} belongs to uid ${uid}, and logkeep runs as uid ${own}: run logkeep as that user or as root, or in another folder`,
  );
}

/** The folder for what the server's user must reach: `dir`, or one of its own elsewhere. */
async function baseFolder(
  { elsewhere }: HomeOptions,
  dir: string,
  found: string | null,
  account: Account | null,
): Promise<string> {
  if (found !== null) return dirname(found);
  const reach = ['-c', 'cd "$0"', dir];
  if (account === null || (await runAs(account, '/', '/bin/sh', reach)).code === 0) return realpath(dir);
  const base = join(elsewhere, randomBytes(6).toString('hex'));
  await mkdir(base, { recursive: true });
  for (const path of [elsewhere, base]) await chmod(path, 0o711);
  return realpath(base);
}

async function version(native: string): Promise<string> {
  const text = await readFile(join(dirname(native), 'package.json'), 'utf8');
  return String(JSON.parse(text).version);
}

/** Makes the cluster beside its place and puts it there whole: `taken` if another process was first. */
async function create({ log }: HomeOptions, entry: string, cluster: Cluster): Promise<'made' | 'taken'> {
  const base = dirname(cluster.folder);
  await sweep(base);
  const room = await roomWarning(base);
  if (room !== '') throw new LogkeepError('database', `${room}no Postgres was created`);
  const draft = {
    ...cluster,
    folder: `${cluster.folder}.new-${process.pid}-${randomBytes(3).toString('hex')}`,
  };
  const startedMs = performance.now();
  try {
    const password = randomBytes(18).toString('base64url');
    const outcome = await createCluster(draft, { password, settings: SETTINGS, durable: true });
    if (outcome.code !== 0) {
      throw new LogkeepError(
        'database',
        `initdb ended with ${outcome.code} in ${draft.folder}: ${outcome.output.slice(-1500)}: fix this, or set DATABASE_URL`,
      );
    }
    await rename(draft.folder, cluster.folder);
    if (dirname(entry) !== base) await symlink(cluster.folder, entry);
  } catch (error) {
    await rm(draft.folder, { recursive: true, force: true });
    if ((await follow(entry)) === null) throw error;
    if (dirname(entry) !== base) await rm(base, { recursive: true, force: true });
    return 'taken';
  }
  const ms = Math.round(performance.now() - startedMs);
  log.info({ ms, folder: cluster.folder }, 'created an embedded Postgres');
  return 'made';
}

/** Removes what a process that was killed in `create` left behind. */
async function sweep(base: string): Promise<void> {
  for (const name of await readdir(base)) {
    const pid = Number(/^cluster\.new-(\d+)-/.exec(name)?.[1]);
    if (pid && !isAlive(pid)) await rm(join(base, name), { recursive: true, force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function checkMajor(folder: string, major: number): Promise<void> {
  const file = join(folder, 'data', 'PG_VERSION');
  const found = await readFile(file, 'utf8').then(
    (text) => text.trim(),
    (error: unknown) => {
      const message = `${folder} holds no complete Postgres: remove it to start afresh, or restore its data`;
      throw new LogkeepError('database', message, { cause: error });
    },
  );
  if (found === String(major)) return;
  throw new LogkeepError(
    'database',
    `${join(folder, 'data')} was made by PostgreSQL ${found}, this logkeep comes with ${major}: use the logkeep that made it, or copy the data with pg_dump into a new folder and a new cluster`,
  );
}

/** Turns what the system refused in `dir` into a message with its remedy. */
export function folderTrouble(error: unknown, dir: string): unknown {
  const { code, path } = error as NodeJS.ErrnoException;
  const where = path ?? dir;
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS' || code === 'ENOENT') {
    const message = `${where} cannot be written (${code}): give this user write access to ${dir}, run logkeep in another folder, or set DATABASE_URL`;
    return new LogkeepError('database', message, { cause: error });
  }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `the disk of ${where} is full (${code}): free ${ROOM_MB} MB, or set DATABASE_URL`;
    return new LogkeepError('database', message, { cause: error });
  }
  if (code === 'ENOTDIR' || code === 'EEXIST') {
    const message = `${where} is not a folder (${code}): move it away, or run logkeep in another folder`;
    return new LogkeepError('database', message, { cause: error });
  }
  return error;
}
