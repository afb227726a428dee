/**
 * A command that uses the embedded Postgres until its standard input ends:
 * `node embedded-user.ts '{"dir": ...}'`; with `uid` it first becomes that user.
 */
import { openLog } from '../../src/log.ts';
import { openEmbedded } from '../../src/store/embedded.ts';

const { uid, ...options } = JSON.parse(process.argv[2] ?? '{}');
if (uid !== undefined) {
  process.setgroups?.([]);
  process.setgid?.(uid);
  process.setuid?.(uid);
}
try {
  const embedded = await openEmbedded({ ...options, log: openLog('info') });
  process.stdout.write(`${embedded.url}\n`);
  for await (const _ of process.stdin);
  await embedded.release();
} catch (error) {
  process.stderr.write(`failed: ${(error as Error).message}\n`);
  process.exitCode = 1;
}
