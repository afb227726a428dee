import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Where Linux keeps files in memory: what is made and dropped by the thousand costs a disk more than all else. */
export const MEMORY = '/dev/shm';

/** Whether `bytes` more have room in memory. */
export function hasRoomInMemory(bytes: number): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    // What it may hold says nothing of what is there.
    return Math.min(bavail * bsize, process.availableMemory()) >= bytes;
  } catch {
    return false;
  }
}

/** A new folder in memory whose name begins with `prefix`; null: none from which programs run, as in most containers. */
export function folderInMemory(prefix: string): string | null {
  let folder: string | null = null;
  try {
    folder = mkdtempSync(join(MEMORY, prefix));
    const program = join(folder, 'program');
    writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
    const runs = spawnSync(program).status === 0;
    rmSync(program);
    if (runs) return folder;
  } catch {
    // Then there is none.
  }
  if (folder !== null) rmSync(folder, { recursive: true, force: true });
  return null;
}
