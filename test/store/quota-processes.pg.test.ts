import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { bareEnvironment } from '../environment.ts';
import { createMigratedDatabase, type TestDatabase, withClient } from '../postgres.ts';

const READER = fileURLToPath(new URL('quota-reader.ts', import.meta.url));
const LIMIT = 14;
const PERIOD_S = 8;
/** Of 14 requests a window the default reserve leaves two to others. */
const OURS = 12;

/** Which of the API's windows a moment falls into. */
const windowOf = (ms: number): number => Math.floor(ms / (PERIOD_S * 1_000));

let sandbox: Sandbox | null = null;
let database: TestDatabase | null = null;

afterEach(async () => {
  await sandbox?.close();
  await database?.drop();
});

interface Reader {
  pages(): readonly { readonly askedMs: number; readonly tookMs: number }[];
  stop(): Promise<number | null>;
}

function startReader(job: string, env: Readonly<Record<string, string>>): Reader {
  const child = spawn(process.execPath, [READER, job], {
    env: { ...bareEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const gone = once(child, 'close');
  let out = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  return {
    pages: () =>
      out
        .split('\n')
        .slice(0, -1)
        .map((line) => {
          const [askedMs = 0, tookMs = 0] = line.split(' ').map(Number);
          return { askedMs, tookMs };
        }),
    stop: async () => {
      child.kill('SIGTERM');
      await gone;
      return child.exitCode;
    },
  };
}

test('live and backfill in different processes: nothing is refused, live goes first, backfill gets the rest', async () => {
  database = await createMigratedDatabase();
  sandbox = await startSandbox({ datadog: { quota: { limit: LIMIT, periodS: PERIOD_S } } });
  const now = Date.now();
  sandbox.datadog.history({ from: now - 7_200_000, to: now - 60_000, logs: 2_000 });
  const env = { ...sandbox.env, DATABASE_URL: database.url };
  const backfills = [startReader('backfill', env), startReader('backfill', env)];
  const live = startReader('sync', env);
  // Where the machine is busy one process starts seconds after another.
  while (live.pages().length === 0) await delay(50);
  await delay(3.6 * PERIOD_S * 1_000);
  const ends = await Promise.all([live, ...backfills].map((reader) => reader.stop()));
  expect(ends).toEqual([0, 0, 0]);

  const requests = sandbox.requests();
  expect(requests.filter(({ status }) => status !== 200)).toEqual([]);
  const windows = new Map<number, { live: number; low: number }>();
  for (const { atMs, body } of requests) {
    const index = windowOf(atMs);
    const window = windows.get(index) ?? { live: 0, low: 0 };
    windows.set(index, window);
    if (Date.parse(JSON.parse(body).time.from) >= now - 700_000) window.live += 1;
    else window.low += 1;
  }
  for (const { live: ours, low } of windows.values()) expect(ours + low).toBeLessThanOrEqual(OURS);
  // In the window of its first request live came late, and the last one is cut off.
  const counts = [...windows];
  const begin = counts.findIndex(([, { live: ours }]) => ours > 0);
  const whole = counts.slice(begin + 1, -1).map(([, window]) => window);
  expect(whole.length).toBeGreaterThanOrEqual(2);
  for (const window of whole) {
    expect(window.live).toBeGreaterThanOrEqual(3);
    expect(window.low).toBeGreaterThanOrEqual(1);
  }
  // Once the plan has seen what live needs, live waits for no backfill: at most where the first window was spent, and
  // never after a whole window.
  const [first = 0] = counts[begin] ?? [];
  const pages = live
    .pages()
    .map(({ askedMs, tookMs }) => ({ window: windowOf(askedMs) - first, waited: tookMs > 2_500, tookMs }));
  const waits = pages.filter(({ waited }) => waited);
  expect(waits.length, JSON.stringify(waits)).toBeLessThanOrEqual(1);
  const planned = pages.filter(({ window }) => window >= 2);
  expect(planned.length).toBeGreaterThanOrEqual(3);
  expect(planned.filter(({ waited }) => waited)).toEqual([]);

  const rows = await withClient(database.url, async (client) => {
    const found = await client.query('select credential, holders from logkeep.quota');
    return found.rows;
  });
  expect(rows).toHaveLength(1);
  expect(rows[0].holders).toEqual({});
  expect(JSON.stringify(rows)).not.toContain(sandbox.env.DD_API_KEY);
}, 90_000);
