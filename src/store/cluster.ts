import { execFile, spawn } from 'node:child_process';
import { chown, mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

/** An unprivileged user of the system, who runs the server when we are root. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/** One Postgres cluster of our own: its `folder` holds `data/`, `password`, `port` and `server.log`. */
export interface Cluster {
  readonly folder: string;
  /** Folder of `initdb`, `pg_ctl` and `postgres`. */
  readonly bin: string;
  /** Who runs the server; null: we do. */
  readonly account: Account | null;
}

/** The server's superuser in every cluster of ours. */
export const SUPERUSER = 'logkeep';

/** What a program said (both outputs) and its exit code; -1 if it could not be run. */
export interface ProgramEnd {
  readonly code: number;
  readonly output: string;
}

/** Runs a program to its end as `account`, in folder `cwd`, with nothing of our environment. */
export function runAs(
  account: Account | null,
  cwd: string,
  file: string,
  args: readonly string[],
): Promise<ProgramEnd> {
  return new Promise((resolve) => {
    execFile(file, args, { ...account, cwd, env: { LC_ALL: 'C' } }, (error, stdout, stderr) => {
      const said = `${stdout}${stderr}`.trim();
      if (error === null) resolve({ code: 0, output: said });
      else resolve({ code: typeof error.code === 'number' ? error.code : -1, output: said || error.message });
    });
  });
}

/**
 * Makes the cluster in a folder that does not exist yet: UTF8, locale C, superuser `logkeep` with `password`
 * (null: whoever reaches the port is trusted), loopback only, `settings` added to postgresql.conf.
 */
export async function createCluster(
  cluster: Cluster,
  options: {
    readonly password: string | null;
    readonly settings: Readonly<Record<string, string>>;
    readonly durable: boolean;
  },
): Promise<ProgramEnd> {
  const { folder, account } = cluster;
  const passwordFile = join(folder, 'password');
  await mkdir(folder, { mode: 0o700 });
  await writeFile(passwordFile, `${options.password ?? 'trusted'}\n`, { mode: 0o600 });
  await give(cluster, passwordFile);
  await give(cluster, folder);
  const outcome = await runAs(account, folder, join(cluster.bin, 'initdb'), [
    `--pgdata=${join(folder, 'data')}`,
    `--username=${SUPERUSER}`,
    `--pwfile=${passwordFile}`,
    `--auth=${options.password === null ? 'trust' : 'scram-sha-256'}`,
    '--encoding=UTF8',
    '--locale=C',
    ...(options.durable ? [] : ['--no-sync']),
  ]);
  if (outcome.code !== 0) return outcome;
  const settings = { listen_addresses: '127.0.0.1', unix_socket_directories: '', ...options.settings };
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await writeFile(join(folder, 'data', 'postgresql.conf'), lines.join(''), { flag: 'a' });
  return outcome;
}

/** Lets the server's user own `path`, so that this user may later run logkeep too. */
export async function give({ account }: Cluster, path: string): Promise<void> {
  if (account !== null) await chown(path, account.uid, account.gid);
}

/** What `postmaster.pid` says; the process itself may be long gone. */
export interface Postmaster {
  readonly pid: number;
  readonly port: number;
  /** False while it starts, recovers or stops. */
  readonly ready: boolean;
}

/** Reads `postmaster.pid`; null if there is none, or it is only half written. */
export async function readPostmaster(cluster: Pick<Cluster, 'folder'>): Promise<Postmaster | null> {
  let text: string;
  try {
    text = await readFile(join(cluster.folder, 'data', 'postmaster.pid'), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  const port = Number(lines[3] ?? 0);
  return Number.isSafeInteger(pid) && pid > 0 ? { pid, port, ready: lines[7]?.trim() === 'ready' } : null;
}

/** Whether process `pid` is the postmaster of this cluster, and not one that was given its number later. */
export async function isPostmaster(cluster: Pick<Cluster, 'folder'>, pid: number): Promise<boolean> {
  const data = join(cluster.folder, 'data');
  if (process.platform === 'linux') {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return command.split('\0').includes(data);
  }
  if (process.platform !== 'win32') {
    const listed = await runAs(null, cluster.folder, '/bin/ps', ['-o', 'command=', '-p', String(pid)]);
    return listed.code === 0 && listed.output.includes(data);
  }
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * Starts the server on `port`, detached so that it outlives us, and waits until it takes connections, however
 * long its recovery lasts. Two starts of one cluster are safe: Postgres lets one through, the other fails.
 * `stalePid` is what `postmaster.pid` names although that process is no postmaster of this cluster.
 */
export async function startServer(
  cluster: Cluster,
  port: number,
  stalePid: number | null = null,
): Promise<ProgramEnd> {
  const { folder, account } = cluster;
  const logFile = join(folder, 'server.log');
  const log = await open(logFile, 'a', 0o600);
  try {
    await give(cluster, logFile);
    const { size } = await log.stat();
    const child = spawn(join(cluster.bin, 'postgres'), ['-D', join(folder, 'data'), '-p', String(port)], {
      ...account,
      cwd: folder,
      detached: true,
      windowsHide: true,
      stdio: ['ignore', log.fd, log.fd],
      // Postgres does not take this number for a rival in postmaster.pid, yet still looks whether
      // processes of a killed server hold its shared memory: safer than deleting the file.
      env: { LC_ALL: 'C', ...(stalePid === null ? {} : { PG_GRANDPARENT_PID: String(stalePid) }) },
    });
    child.unref();
    const ended = new Promise<ProgramEnd>((resolve) => {
      child.once('error', (error) => resolve({ code: -1, output: error.message }));
      child.once('exit', async (code) => {
        const said = await readFile(logFile, 'utf8').catch(() => '');
        resolve({ code: code || -1, output: said.slice(size).trim().split('\n').slice(-8).join('\n') });
      });
    });
    for (;;) {
      const failed = await Promise.race([ended, delay(20, null)]);
      if (failed !== null) return failed;
      const postmaster = await readPostmaster(cluster);
      if (postmaster?.pid === child.pid && postmaster?.ready) return { code: 0, output: '' };
    }
  } finally {
    await log.close();
  }
}

/** Stops the server and waits for its end; `immediate` is a crash that the next start recovers from. */
export async function stopServer(cluster: Cluster, mode: 'fast' | 'immediate' = 'fast'): Promise<ProgramEnd> {
  const stopped = { code: 0, output: '' };
  const postmaster = await readPostmaster(cluster);
  if (postmaster === null) return stopped;
  // Without waiting: pg_ctl would wait for the end of whichever server the next command starts meanwhile.
  const args = ['stop', '-D', join(cluster.folder, 'data'), '-m', mode, '-W'];
  const asked = await runAs(cluster.account, cluster.folder, join(cluster.bin, 'pg_ctl'), args);
  if (asked.code !== 0) return asked;
  for (;;) {
    if ((await readPostmaster(cluster))?.pid !== postmaster.pid) return stopped;
    if (!(await isPostmaster(cluster, postmaster.pid))) return stopped;
    await delay(10);
  }
}

/** `preferred` if nobody listens there on 127.0.0.1, else a free port. */
export function freePort(preferred: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error) => (preferred === null ? reject(error) : resolve(freePort(null))));
    server.listen({ host: '127.0.0.1', port: preferred ?? 0, exclusive: true }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** The unprivileged user who runs the server of `folder` (which exists) for root: its owner, else `postgres`, else `nobody`. */
export async function accountFor(folder: string): Promise<Account | null> {
  if (process.getuid?.() !== 0) return null;
  const { uid, gid } = await stat(folder);
  // initdb refuses a user without a name.
  if (uid !== 0 && (await runAs(null, '/', 'id', ['-un', String(uid)])).code === 0) return { uid, gid };
  for (const name of ['postgres', '_postgres', 'nobody']) {
    const [user, group] = await Promise.all([
      runAs(null, '/', 'id', ['-u', name]),
      runAs(null, '/', 'id', ['-g', name]),
    ]);
    if (user.code === 0 && group.code === 0) return { uid: Number(user.output), gid: Number(group.output) };
  }
  return null;
}
