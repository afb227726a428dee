import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { packagedNative } from '../../src/store/binaries.ts';
import { bareEnvironment } from '../environment.ts';
import { withClient } from '../postgres.ts';

const root = process.getuid?.() === 0;
/** The user nobody: who we are not, if we are root. */
const NOBODY = 65_534;

let seed: string;
let home: string;
let commands: Command[];

beforeAll(async () => {
  commands = [];
  seed = await mkdtemp(join(tmpdir(), 'logkeep-embedded-'));
  await chmod(seed, 0o755);
  await (await open({ dir: join(seed, '.logkeep') })).leave();
});

afterAll(async () => {
  await rm(seed, { recursive: true, force: true });
});

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'logkeep-embedded-'));
  await chmod(home, 0o755);
  commands = [];
});

afterEach(async () => {
  // Whoever comes last stops the server, also one whose starter was killed.
  for (const dir of new Set(commands.map((command) => command.dir))) {
    await Promise.all(commands.filter((command) => command.dir === dir).map((command) => command.leave()));
    const pid = await postmasterPid(dir).catch(() => null);
    if (pid !== null) process.kill(pid, 'SIGQUIT');
  }
  await rm(home, { recursive: true, force: true });
});

/** A folder in which a command was before; a first start costs a second. */
async function usedFolder(): Promise<string> {
  const dir = join(home, '.logkeep');
  // Unlike Node's cp it keeps the owner.
  await promisify(execFile)('cp', ['-a', join(seed, '.logkeep'), dir]);
  return dir;
}

interface Options {
  readonly dir: string;
  readonly elsewhere?: string;
  readonly native?: string;
  readonly uid?: number;
}

interface Command {
  readonly dir: string;
  readonly url: string;
  leave(): Promise<void>;
  kill(): Promise<void>;
}

/** Runs a command of its own process; rejects with what it said if it fails. */
async function open(options: Options): Promise<Command> {
  const script = fileURLToPath(new URL('embedded-user.ts', import.meta.url));
  const child: ChildProcess = spawn(process.execPath, [script, JSON.stringify(options)], {
    env: { ...process.env, ...bareEnvironment() },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const exited = once(child, 'exit');
  let said = '';
  child.stderr?.on('data', (data) => {
    said += data;
  });
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
  const first = await Promise.race([once(lines, 'line'), exited.then(() => null)]);
  if (first === null) throw new Error(said);
  const command = {
    dir: options.dir,
    url: String(first[0]),
    leave: async () => {
      child.stdin?.end();
      await exited;
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
  commands.push(command);
  return command;
}

async function postmasterPid(dir: string): Promise<number> {
  return Number((await readFile(join(dir, 'cluster', 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

function query(url: string, text: string): Promise<Record<string, unknown>[]> {
  return withClient(url, async (client) => (await client.query(text)).rows);
}

async function copyNative(to: string): Promise<string> {
  await cp(packagedNative(), join(to, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !path.endsWith('.a'),
  });
  await cp(join(packagedNative(), '..', 'package.json'), join(to, 'package.json'));
  return join(to, 'native');
}

/** What `--ignore-scripts` leaves: no links, and no programs that may be run. */
async function blockScripts(native: string): Promise<void> {
  const links: { target: string }[] = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  for (const { target } of links) await rm(join(native, '..', target), { force: true });
  for (const program of await readdir(join(native, 'bin'))) await chmod(join(native, 'bin', program), 0o644);
}

test('the second start finds data and port of the first, and each last user stops the server', async () => {
  const dir = join(home, '.logkeep');
  const first = await open({ dir });
  const settings =
    "select current_setting('server_encoding') as encoding, current_setting('fsync') as fsync, current_setting('listen_addresses') as listen";
  expect(await query(first.url, settings)).toEqual([{ encoding: 'UTF8', fsync: 'on', listen: '127.0.0.1' }]);
  await query(first.url, 'create table kept as select 7 as n');
  await first.leave();
  await expect(query(first.url, 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect((await stat(join(dir, 'cluster', 'password'))).mode & 0o777).toBe(0o600);
  // What the server has said grows with every start.
  const log = join(dir, 'cluster', 'server.log');
  await writeFile(log, Buffer.alloc(5_000_001, ' '));

  const second = await open({ dir });
  expect(second.url).toBe(first.url);
  expect(await query(second.url, 'select n from kept')).toEqual([{ n: 7 }]);
  expect((await stat(log)).size).toBeLessThan(100_000);
});

test('nobody gets in without the password', async () => {
  const { url } = await open({ dir: await usedFolder() });
  const wrong = new URL(url);
  wrong.password = 'guess';
  await expect(query(wrong.href, 'select')).rejects.toMatchObject({ code: '28P01' });
});

test('commands that make the first start at once share one server, which lives until the last leaves', async () => {
  const dir = join(home, '.logkeep');
  const users = await Promise.all([open({ dir }), open({ dir }), open({ dir })]);
  expect(new Set(users.map(({ url }) => url)).size).toBe(1);
  const [one, two, three] = users as [Command, Command, Command];
  await Promise.all([one.leave(), two.leave()]);
  expect(await query(three.url, 'select 1 as n')).toEqual([{ n: 1 }]);
  await three.leave();
  await expect(query(three.url, 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
  expect((await readdir(dir)).filter((name) => name.startsWith('cluster'))).toEqual(['cluster']);
});

test('a command that comes while the last one stops the server gets a server', async () => {
  const dir = await usedFolder();
  // A command takes some 0.3 s to arrive: the last one leaves before, then, and after that.
  for (const headStartMs of [0, 70, 140, 210, 280, 350]) {
    const first = await open({ dir });
    const second = open({ dir });
    await delay(headStartMs);
    await Promise.all([first.leave(), second]);
    expect(await query((await second).url, 'select 1 as n')).toEqual([{ n: 1 }]);
    await (await second).leave();
  }
});

test('after a SIGKILL of the starter the next command joins its server, and as the last one stops it', async () => {
  const dir = await usedFolder();
  const starter = await open({ dir });
  const pid = await postmasterPid(dir);
  await starter.kill();
  const next = await open({ dir });
  expect(await postmasterPid(dir)).toBe(pid);
  await next.leave();
  await expect(query(next.url, 'select')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
});

test('after a SIGKILL of starter and server the next command recovers what was committed', async () => {
  const dir = await usedFolder();
  const starter = await open({ dir });
  await query(starter.url, 'create table kept as select 7 as n');
  const pid = await postmasterPid(dir);
  await starter.kill();
  process.kill(pid, 'SIGKILL');
  const next = await open({ dir });
  expect(await query(next.url, 'select n from kept')).toEqual([{ n: 7 }]);
  expect(await postmasterPid(dir)).not.toBe(pid);
});

test('a command whose server is killed brings it back under the same url', async () => {
  const dir = await usedFolder();
  const user = await open({ dir });
  const pid = await postmasterPid(dir);
  process.kill(pid, 'SIGKILL');
  await expect
    .poll(() => query(user.url, 'select 1 as n').catch(() => []), { timeout: 20_000 })
    .toEqual([{ n: 1 }]);
  // Its presence came back too: another command that leaves does not stop the server.
  await (await open({ dir })).leave();
  expect(await query(user.url, 'select 1 as n')).toEqual([{ n: 1 }]);
});

test('a pid file that names a living process of another kind is stale', async () => {
  const dir = await usedFolder();
  const first = await open({ dir });
  const pidFile = join(dir, 'cluster', 'data', 'postmaster.pid');
  const lines = (await readFile(pidFile, 'utf8')).split('\n');
  const { uid, gid } = await stat(join(dir, 'cluster'));
  await first.leave();
  // Of the server's own user: Postgres alone would take it for a running server.
  const other = spawn('sleep', ['60'], { uid, gid });
  try {
    await writeFile(pidFile, [String(other.pid), ...lines.slice(1)].join('\n'), { mode: 0o600 });
    await chown(pidFile, uid, gid);
    const next = await open({ dir });
    expect(await query(next.url, 'select 1 as n')).toEqual([{ n: 1 }]);
    expect(await postmasterPid(dir)).not.toBe(other.pid);
  } finally {
    other.kill();
  }
});

test('a port that somebody else took is left to them', async () => {
  const dir = await usedFolder();
  const first = await open({ dir });
  await first.leave();
  const squatter = createServer((socket) => socket.destroy());
  squatter.listen(Number(new URL(first.url).port), '127.0.0.1');
  await once(squatter, 'listening');
  try {
    const next = await open({ dir });
    expect(new URL(next.url).port).not.toBe(new URL(first.url).port);
    expect(await query(next.url, 'select 1 as n')).toEqual([{ n: 1 }]);
  } finally {
    squatter.close();
  }
});

test('a checkout in a home of mode 700 works, also for root, whose server is another user', async () => {
  const native = await copyNative(home);
  await chmod(home, 0o700);
  const dir = join(home, '.logkeep');
  const elsewhere = await mkdtemp(join(tmpdir(), 'logkeep-elsewhere-'));
  try {
    const both = await Promise.all([open({ dir, native, elsewhere }), open({ dir, native, elsewhere })]);
    expect(both[0].url).toBe(both[1].url);
    await query(both[0].url, 'create table kept as select 7 as n');
    await Promise.all(both.map((command) => command.leave()));
    expect((await lstat(join(dir, 'cluster'))).isSymbolicLink()).toBe(root);
    expect((await readdir(elsewhere)).length).toBe(root ? 1 : 0);
    const next = await open({ dir, native, elsewhere });
    expect(await query(next.url, 'select n from kept')).toEqual([{ n: 7 }]);
    await next.leave();
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
});

test('a user who is not root runs it as themselves', async () => {
  const uid = root ? NOBODY : process.getuid?.();
  const own = join(home, 'own');
  await mkdir(own, { mode: 0o700 });
  if (root) await chown(own, NOBODY, NOBODY);
  const command = await open({
    dir: join(own, '.logkeep'),
    native: await copyNative(home),
    ...(root && { uid }),
  });
  expect(await query(command.url, 'select 1 as n')).toEqual([{ n: 1 }]);
  expect((await stat(join(own, '.logkeep', 'cluster'))).uid).toBe(uid);
});

test('what a blocked install script left out is mended in place', async () => {
  const native = await copyNative(home);
  await blockScripts(native);
  const command = await open({ dir: join(home, '.logkeep'), native });
  expect(await query(command.url, 'select 1 as n')).toEqual([{ n: 1 }]);
  expect(await readdir(join(home, '.logkeep'))).toEqual(['cluster']);
});

test('a package that is read-only and unmended is mended in a copy', async () => {
  const own = join(home, 'own');
  await mkdir(own, { mode: 0o700 });
  if (root) await chown(own, NOBODY, NOBODY);
  const native = await copyNative(home);
  await blockScripts(native);
  for (const folder of ['bin', 'lib']) await chmod(join(native, folder), 0o555);
  const dir = join(own, '.logkeep');
  const command = await open({ dir, native, ...(root && { uid: NOBODY }) });
  expect(await query(command.url, 'select 1 as n')).toEqual([{ n: 1 }]);
  expect((await readdir(dir)).sort()).toEqual(['cluster', expect.stringMatching(/^postgres-18\./)]);
  for (const folder of ['bin', 'lib']) await chmod(join(native, folder), 0o755);
});

test('a folder that cannot be written is named, with what to do', async () => {
  const locked = join(home, 'locked');
  await mkdir(locked, { mode: 0o555 });
  await expect(open({ dir: join(locked, '.logkeep'), ...(root && { uid: NOBODY }) })).rejects.toThrow(
    /locked.* cannot be written \(EACCES\).*DATABASE_URL/,
  );
  // A kernel's folder, where nobody can make one; Linux alone has it.
  if (process.platform === 'linux') {
    await expect(open({ dir: '/proc/logkeep/data' })).rejects.toThrow(
      /cannot be written \(ENOENT\).*DATABASE_URL/,
    );
  }
  await writeFile(join(home, '.logkeep'), 'a file');
  await expect(open({ dir: join(home, '.logkeep') })).rejects.toThrow(/\.logkeep is not a folder/);
});

test('data of another major version is refused and left alone', async () => {
  const dir = await usedFolder();
  await writeFile(join(dir, 'cluster', 'data', 'PG_VERSION'), '17\n');
  await expect(open({ dir })).rejects.toThrow(/was made by PostgreSQL 17, this logkeep comes with 18/);
});

test('a server that cannot start says why', async () => {
  const dir = await usedFolder();
  await writeFile(join(dir, 'cluster', 'data', 'postgresql.conf'), 'shared_buffers = lots\n');
  await expect(open({ dir })).rejects.toThrow(/does not start[\s\S]*shared_buffers/);
});

test('a platform without an embedded Postgres is told what to do', () => {
  expect(() => packagedNative('sunos', 'x64')).toThrow(/does not exist for sunos-x64.*DATABASE_URL/);
});
