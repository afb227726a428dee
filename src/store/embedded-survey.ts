import { constants } from 'node:fs';
import { access, lstat, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { LogkeepError } from '../errors.ts';
import { packagedNative } from './binaries.ts';
import { folderTrouble, newAccount, roomWarning } from './embedded-home.ts';

/**
 * Whether `openEmbedded` could make a cluster in `dir`, which need not exist, as far as that can be told without
 * making anything. Throws `database`, with what to do, where it could not.
 */
export async function surveyCluster(dir: string): Promise<void> {
  const ground = await groundOf(resolve(dir));
  try {
    await access(ground, constants.W_OK | constants.X_OK);
    await newAccount(ground);
  } catch (error) {
    throw folderTrouble(error, resolve(dir));
  }
  packagedNative();
  const room = await roomWarning(ground);
  if (room !== '') throw new LogkeepError('database', room.trim());
}

/** The folder that `dir` is, or would be made in. */
async function groundOf(dir: string): Promise<string> {
  // A link that leads nowhere is there, and no folder is made through it.
  const found = await stat(dir).catch(() => lstat(dir).catch(() => null));
  if (found?.isDirectory()) return dir;
  if (found === null && dirname(dir) !== dir) return groundOf(dirname(dir));
  throw new LogkeepError(
    'database',
    `${dir} is not a folder: move it away, or run logkeep in another folder`,
  );
}
