import { type Child, startChild } from '../child.ts';
import type { BenchDatabase, BenchServer } from '../database.ts';
import { inSeconds, type Line, loadNow, p50, p95, rounded } from '../figures.ts';
import type { ApiReady, ApiTask, Written } from './api.ts';
import { type Serving, startServing } from './process.ts';

/** How `serve` is set up. */
export interface Setting {
  readonly name: string;
  readonly quota: 'live' | 'none';
  /** The logkeep.yaml; null: the defaults. */
  readonly file: string | null;
  /** How close to now a read may end. */
  readonly settleMs: { readonly qstash: number; readonly datadog: number };
  /** Every time at which the timetable may stand is to meet entries: a multiple of its period. */
  readonly forMs: number;
}

/** Settle delays just above the longest lateness of the sandbox's APIs: nothing has to be read again for it. */
const QUICK = (schedule: string) => `
defaults: { schedule: '${schedule}' }
streams:
  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}', settle: 10s }
  datadog.main:
    { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}', settle: 50s }
`;
const SETTLE_MS = {
  default: { qstash: 30_000, datadog: 120_000 },
  quick: { qstash: 10_000, datadog: 50_000 },
};

/**
 * The defaults (every minute; settle 30 s and 120 s); every 15 s, which is as quick as 300 requests an hour carry;
 * and every 2 s.
 */
export const SETTINGS: readonly Setting[] = [
  { name: 'default', quota: 'live', file: null, settleMs: SETTLE_MS.default, forMs: 60_000 },
  { name: 'default', quota: 'none', file: null, settleMs: SETTLE_MS.default, forMs: 60_000 },
  {
    name: 'every 15 s',
    quota: 'live',
    file: QUICK('*/15 * * * * *'),
    settleMs: SETTLE_MS.quick,
    forMs: 60_000,
  },
  {
    name: 'every 2 s',
    quota: 'none',
    file: QUICK('*/2 * * * * *'),
    settleMs: SETTLE_MS.quick,
    forMs: 60_000,
  },
];
export const RATES = [1, 10, 100] as const;

/** After the first read, and so that no entry is written in the second in which one was. */
const CALM_MS = 3_000;
/** Visible after 49 s at most, asked for a minute later at most. */
const BEYOND_SETTLE_MS = 75_000;

const TABLES = {
  qstash: `select message_id as name, extract(epoch from ingested_at)::float8 * 1000 as at from logkeep.qstash_log`,
  datadog: `select message as name, extract(epoch from ingested_at)::float8 * 1000 as at from logkeep.datadog_log`,
};

/**
 * Lets `perSecond` entries a second be written to both APIs for a while and `serve` bring them; a line for each source
 * with how long after it was visible each was a row. `beyond_settle` counts from when a read may end after it, which
 * is what schedule and work add.
 */
export async function measureFreshness(
  server: BenchServer,
  setting: Setting,
  perSecond: number,
): Promise<readonly Line[]> {
  const database = await server.create('migrated');
  const task: ApiTask = { perSecond, forMs: setting.forMs, quota: setting.quota };
  const api: Child<ApiReady, readonly Written[]> = await startChild('./serve/api.ts', task);
  let serving: Serving | null = null;
  try {
    serving = await startServing({ ...api.ready.env, DATABASE_URL: database.url }, setting.file);
    await firstReads(database);
    await pause(CALM_MS);
    const before = await requestsOf(database);
    const startedMs = performance.now();
    const written = await api.go();
    await untilStored(
      database,
      written.length,
      Math.max(...Object.values(setting.settleMs)) + BEYOND_SETTLE_MS,
    );
    const tookMs = performance.now() - startedMs;
    const after = await requestsOf(database);
    const lines: Line[] = [];
    for (const source of ['qstash', 'datadog'] as const) {
      const stored = await storedAt(database, source);
      const own = written.filter((one) => one.source === source);
      const fresh = own.flatMap(({ name, visibleAtMs }) => since(stored.get(name), visibleAtMs));
      const beyond = own.flatMap(({ name, visibleAtMs, timeMs }) =>
        since(stored.get(name), Math.max(visibleAtMs, timeMs + setting.settleMs[source])),
      );
      lines.push({
        kind: 'freshness',
        source,
        schedule: setting.name,
        quota: setting.quota,
        entries_per_s: perSecond,
        entries: own.length,
        missing: own.length - fresh.length,
        p50_s: inSeconds(p50(fresh)),
        p95_s: inSeconds(p95(fresh)),
        beyond_settle_p50_s: inSeconds(p50(beyond)),
        beyond_settle_p95_s: inSeconds(p95(beyond)),
        settle_s: setting.settleMs[source] / 1000,
        requests_per_h: rounded(((after[source] - before[source]) * 3_600_000) / tookMs, 0),
        load: loadNow(),
      });
    }
    return lines;
  } finally {
    await serving?.stop();
    await api.stop();
    await database.drop();
  }
}

function since(storedMs: number | undefined, ms: number): readonly number[] {
  return storedMs === undefined ? [] : [storedMs - ms];
}

/** Waits until both streams have been read up to the settle delay once. */
async function firstReads({ client }: BenchDatabase): Promise<void> {
  await until(60_000, async () => {
    const { rows } = await client.query(
      `select count(distinct stream)::integer as n from logkeep.run where job = 'sync' and outcome = 'done'`,
    );
    return rows[0].n === 2;
  });
}

/** Waits until so many entries are rows, or the time is over: what is missing then is told. */
async function untilStored({ client }: BenchDatabase, entries: number, limitMs: number): Promise<void> {
  await until(limitMs, async () => {
    const { rows } = await client.query(
      'select (select count(*) from logkeep.qstash_log) + (select count(*) from logkeep.datadog_log) as n',
    );
    return Number(rows[0].n) >= entries;
  });
}

async function until(limitMs: number, met: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!(await met()) && performance.now() < deadline) await pause(500);
}

/** Requests that the streams have used so far. */
async function requestsOf({ client }: BenchDatabase): Promise<{ qstash: number; datadog: number }> {
  const { rows } = await client.query(
    `select coalesce(sum(requests) filter (where stream = 'qstash.main'), 0)::integer as qstash,
      coalesce(sum(requests) filter (where stream = 'datadog.main'), 0)::integer as datadog from logkeep.run`,
  );
  return rows[0];
}

/** When each entry's row was stored: the start of its transaction, some ms before its end. */
async function storedAt(
  { client }: BenchDatabase,
  source: 'qstash' | 'datadog',
): Promise<Map<string, number>> {
  const { rows } = await client.query(TABLES[source]);
  return new Map(rows.map(({ name, at }) => [name, at]));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
