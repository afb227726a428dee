import { setTimeout as delay } from 'node:timers/promises';
import { openApp } from '../../src/app.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log.ts';
import type { JobKind } from '../../src/model.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { createMeter } from '../../src/sources/source.ts';
import { PRIORITY } from '../../src/sync/priority.ts';

/**
 * A process that reads Datadog until SIGTERM: `sync` a page of the last minutes every second, `backfill` page after
 * page of what lies before. Each line it prints is of one page: when it was asked for, and for
 * how many ms.
 */
const job = process.argv[2] as JobKind;
const config = loadConfig({ env: process.env, cwd: '/nonexistent', file: null, sources: SOURCES });
const chosen = config.streams
  .filter(({ source }) => source === 'datadog')
  .map((stream) => ({ ...stream, pageSize: 5 }));
const app = await openApp(config, chosen, systemClock, silentLog, { migrate: false });
const stream = app.streams[0]?.stream;
if (stream === undefined) throw new Error('expected a Datadog stream in the environment');
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());
const now = Math.floor(Date.now() / 1000) * 1000;
const window =
  job === 'sync' ? { from: now - 600_000, to: now - 60_000 } : { from: now - 7_200_000, to: now - 600_000 };
try {
  while (!stop.signal.aborted) {
    let askedMs = Date.now();
    const pages = stream.read({
      window,
      cursor: null,
      signal: stop.signal,
      meter: createMeter(),
      priority: PRIORITY[job],
    });
    for await (const page of pages) {
      if (page.bytes > 0) process.stdout.write(`${askedMs} ${Date.now() - askedMs}\n`);
      askedMs = Date.now();
      if (job === 'sync') break;
    }
    if (job === 'sync') await delay(1_000, undefined, { signal: stop.signal });
  }
} catch (error) {
  if (!stop.signal.aborted) throw error;
} finally {
  await app.close();
}
