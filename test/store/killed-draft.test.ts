import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { openHome } from '../../src/store/embedded-home.ts';

test('what a process that was killed while it made a cluster left behind is removed, and that of a living one stays', async () => {
  const home = mkdtempSync(join(tmpdir(), 'logkeep-draft-'));
  const gone = spawnSync(process.execPath, ['--version']).pid;
  try {
    const native = join(home, 'native');
    // Programs that can tell their version, and make nothing.
    mkdirSync(join(native, 'bin'), { recursive: true });
    for (const program of ['initdb', 'pg_ctl', 'postgres']) {
      const script = `#!/bin/sh\n[ "$1" = --version ] && echo '${program} (PostgreSQL) 18.0'\n`;
      writeFileSync(join(native, 'bin', program), script);
      chmodSync(join(native, 'bin', program), 0o755);
    }
    writeFileSync(join(home, 'package.json'), '{"version":"18.0.0"}');
    const dir = join(home, '.logkeep');
    const [dead, living] = [`cluster.new-${gone}-abcdef`, `cluster.new-${process.pid}-abcdef`];
    for (const draft of [dead, living]) mkdirSync(join(dir, draft, 'data', 'base'), { recursive: true });
    // So that the server's user gets there, where we are root.
    for (const folder of [home, native, join(native, 'bin'), dir]) chmodSync(folder, 0o755);
    await expect(
      openHome({ dir, elsewhere: join(home, 'elsewhere'), native, log: silentLog }),
    ).rejects.toThrow(/initdb ended with 1/);
    expect(readdirSync(dir)).toEqual([living]);
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
});
