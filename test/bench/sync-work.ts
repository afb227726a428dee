import { openApp } from '../../src/app.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { openLog } from '../../src/log.ts';
import { makeRoomForNew } from '../../src/memory.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { beChild, childTask } from './child.ts';
import { startEffort } from './effort.ts';
import type { Synced, SyncTask } from './sync.ts';

const task = childTask<SyncTask>();
const config = loadConfig({
  env: {
    DATABASE_URL: task.database,
    ...(task.source === 'qstash'
      ? { QSTASH_TOKEN: 'bench', QSTASH_URL: task.api }
      : { DD_API_KEY: 'bench', DD_APP_KEY: 'bench', DD_API_URL: task.api }),
  },
  cwd: '/',
  file: null,
  sources: SOURCES,
});
const app = await openApp(config, config.streams, systemClock, openLog(config.logLevel));

// What Node and the modules take before anything is read.
const startRssBytes = process.resourceUsage().maxRSS * 1024;
await beChild(startRssBytes, async (): Promise<Synced> => {
  const effort = startEffort();
  makeRoomForNew();
  let notedRssBytes: number | null = null;
  const results = await syncStreams(app, {
    since: { atMs: task.span.from },
    untilMs: task.span.to,
    again: task.again ? task.span : null,
    signal: new AbortController().signal,
    mayRequest: () => true,
    watch: (_stream, event) => {
      if (event.kind !== 'stored' || notedRssBytes !== null) return;
      if (event.totals.fetched >= (task.noteAt ?? Number.POSITIVE_INFINITY))
        notedRssBytes = process.resourceUsage().maxRSS * 1024;
    },
  });
  const spent = effort();
  const [result] = results;
  if (result?.outcome !== 'done') throw result?.error ?? new Error('no stream was read');
  const { fetched, fresh, known, quarantined } = result.totals;
  return { ...spent, fetched, fresh, known, quarantined, requests: result.meter.requests, notedRssBytes };
});
await app.close();
