import { type Sandbox, startSandbox } from '../../../src/sandbox/sandbox.ts';
import type { BenchDatabase, BenchServer } from '../database.ts';
import { inSeconds, type Line, loadNow, p50 } from '../figures.ts';
import { type Serving, startServing } from './process.ts';

const STREAMS = 2;
const LIMIT_MS = 60_000;
/** How long the one that is killed has worked: other places between two signs of life each time. */
const WORKED_MS = [500, 1_300, 2_100, 2_900, 3_700];
/** Slow enough that there is always something to do, in small pages. */
const ANSWER_MS = 500;
const SETTINGS = `
defaults: { page_size: 20, since: 2h }
streams:
  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}' }
  datadog.main: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}' }
`;

/**
 * Two processes of `serve` on one Postgres, one in the middle of both streams: it is killed, and measured is how long
 * after that the other has stored a batch of each stream. The survivor is the next to die.
 */
export async function measureTakeover(server: BenchServer): Promise<Line> {
  const database = await server.create('migrated');
  const sandbox = await startSandbox({ qstash: { quota: null }, datadog: { quota: null } });
  const now = Date.now();
  sandbox.qstash.history({ from: now - 7_200_000, to: now - 300_000, messages: 4_000 });
  sandbox.datadog.history({ from: now - 7_200_000, to: now - 300_000, logs: 12_000 });
  sandbox.faults.every(1, { kind: 'slow', ms: ANSWER_MS });
  const all: Serving[] = [];
  const start = async () => {
    const serving = await startServing({ ...sandbox.env, DATABASE_URL: database.url }, SETTINGS);
    all.push(serving);
    return serving;
  };
  try {
    const requests: number[] = [];
    const stored: number[] = [];
    let working = await start();
    for (const workedMs of WORKED_MS) {
      await storedBy(database, working);
      const other = await start();
      await new Promise((resolve) => setTimeout(resolve, workedMs));
      const died = working.kill();
      const killedMs = performance.now();
      await died;
      requests.push((await requestedAgain(sandbox)) - killedMs);
      stored.push((await storedBy(database, other)) - killedMs);
      working = other;
    }
    return {
      kind: 'takeover',
      kills: stored.length,
      request_median_s: inSeconds(p50(requests)),
      request_worst_s: inSeconds(Math.max(...requests)),
      stored_median_s: inSeconds(p50(stored)),
      stored_worst_s: inSeconds(Math.max(...stored)),
      stored_s: stored.map(inSeconds),
      load: loadNow(),
    };
  } finally {
    for (const serving of all) if (serving.running()) await serving.kill();
    await sandbox.close();
    await database.drop();
  }
}

/** When `serving` had stored a batch of every stream. */
async function storedBy({ client }: BenchDatabase, serving: Serving): Promise<number> {
  return when('a batch of each stream', async () => {
    const { rows } = await client.query(
      'select count(distinct stream)::integer as n from logkeep.run where batches > 0 and holder like $1',
      [serving.holderLike],
    );
    return rows[0].n === STREAMS;
  });
}

/** When both APIs were asked again; what the dead one had sent may still arrive for a moment. */
async function requestedAgain(sandbox: Sandbox): Promise<number> {
  const deadMs = Date.now();
  return when('requests of the other process', async () => {
    const since = sandbox.requests().filter(({ atMs }) => atMs > deadMs + ANSWER_MS);
    return new Set(since.map(({ api }) => api)).size === STREAMS;
  });
}

async function when(what: string, met: () => Promise<boolean>): Promise<number> {
  const deadline = performance.now() + LIMIT_MS;
  while (!(await met())) {
    if (performance.now() > deadline) throw new Error(`waited ${LIMIT_MS} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return performance.now();
}
