import type { Span } from '../../src/model.ts';
import type { Baseline, BaselineTask } from './baseline.ts';
import { copyRows, dumpRows } from './ceiling.ts';
import { type Child, startChild } from './child.ts';
import { type BenchServer, diskBytes, measureWork, type ServerCost } from './database.ts';
import { loadNow, rounded } from './figures.ts';
import { PAGE_SIZE, type SourceName } from './pages.ts';
import type { Served, ServerTask } from './server.ts';
import type { Synced, SyncTask } from './sync.ts';

const HOUR_MS = 3_600_000;
const SPAN_MS = 24 * HOUR_MS;

/** One API with its history, served by a process of its own. */
export interface Stand {
  readonly source: SourceName;
  readonly span: Span;
  readonly served: Served;
  close(): Promise<void>;
}

/** One run's figures; the names say the units. */
export interface Run {
  readonly source: SourceName;
  readonly number: number;
  /** Of a fixed piece of work, just before. */
  readonly yardstick_ms: number;
  /** The machine's load average of the last minute, at the start. */
  readonly load: number;
  readonly requests: number;
  readonly requests_to_least: number;
  readonly sync_per_s: number;
  readonly copy_per_s: number;
  readonly ratio_to_copy: number;
  /** The first re-read, of tables that nobody has looked at since they were written. */
  readonly first_again_per_s: number;
  /** The second re-read. */
  readonly again_per_s: number;
  readonly again_to_sync: number;
  readonly baseline_per_s: number;
  readonly ratio_to_baseline: number;
  readonly start_rss_mb: number;
  readonly sync_rss_mb: number;
  readonly again_rss_mb: number;
  readonly baseline_rss_mb: number;
  readonly sync_cpu_s: number | null;
  readonly baseline_cpu_s: number | null;
  readonly sync_postgres_cpu_s: number | null;
  readonly copy_postgres_cpu_s: number | null;
  readonly baseline_postgres_cpu_s: number | null;
  readonly sync_wal_bytes_per_entry: number;
  readonly copy_wal_bytes_per_entry: number;
  readonly first_again_wal_bytes_per_entry: number;
  readonly again_wal_bytes_per_entry: number;
  readonly baseline_wal_bytes_per_entry: number;
  readonly disk_bytes_per_entry: number;
  readonly copy_disk_bytes_per_entry: number;
  readonly baseline_disk_bytes_per_entry: number;
}

/** Renders `entries` entries over the day that ended an hour ago, and serves them. */
export async function openStand(source: SourceName, entries: number): Promise<Stand> {
  // Old enough that nothing of it is due to be read again.
  const to = Math.floor(Date.now() / HOUR_MS) * HOUR_MS - HOUR_MS;
  const span = { from: to - SPAN_MS, to };
  const task: ServerTask = { source, entries, span };
  const child: Child<Served, null> = await startChild('./server.ts', task, ['--max-old-space-size=12000']);
  return { source, span, served: child.ready, close: () => child.stop() };
}

/**
 * A sync that is not counted: whoever comes first touches the server's and the API's memory for the first time, which in
 * a virtual machine costs about as much as the work itself.
 */
export async function warmUp(server: BenchServer, { source, span, served }: Stand): Promise<void> {
  const database = await server.create('migrated');
  await measureSync(
    database.client,
    { source, api: served.url, database: database.url, span, again: false },
    null,
  );
  await database.drop();
}

/** Sync, re-read, COPY and baseline once each, every one from a checkpoint and on fresh tables. */
export async function runOnce(
  server: BenchServer,
  { source, span, served }: Stand,
  options: { readonly number: number; readonly yardstickMs: number; readonly profile: string | null },
): Promise<Run> {
  const { entries, pages, url: api } = served;
  const load = loadNow();
  const perSecond = (elapsedMs: number) => Math.round((entries / elapsedMs) * 1000);
  const perEntry = (bytes: number) => rounded(bytes / entries, 1);

  const mine = await server.create('migrated');
  const task: SyncTask = { source, api, database: mine.url, span, again: false };
  const sync = await measureSync(mine.client, task, options.profile);
  expectCount('sync', sync.result.fetched, entries);
  expectCount('sync: new', sync.result.fresh + sync.result.known, entries);
  const disk = await diskBytes(mine.client, source);
  const firstAgain = await measureSync(mine.client, { ...task, again: true }, null);
  expectCount('first re-read: known', firstAgain.result.known, entries);
  const again = await measureSync(mine.client, { ...task, again: true }, null);
  expectCount('second re-read: known', again.result.known, entries);
  await dumpRows(mine, source, server.exchange);
  await mine.drop();

  const fresh = await server.create('migrated');
  const copy = await copyRows(fresh, source, server.exchange, span);
  const copyDisk = await diskBytes(fresh.client, source);
  await fresh.drop();

  const plain = await server.create('empty');
  const baselineTask: BaselineTask = { source, api, database: plain.url, span };
  const child: Child<string, Baseline> = await startChild('./baseline.ts', baselineTask);
  const baseline = await measureWork(plain.client, () => child.go());
  await child.stop();
  expectCount('baseline', baseline.result.fetched, entries);
  const baselineDisk = await diskBytes(plain.client, `wide_${source}`);
  await plain.drop();

  const [syncMs, againMs] = [sync.result.elapsedMs, again.result.elapsedMs];
  return {
    source,
    number: options.number,
    yardstick_ms: options.yardstickMs,
    load,
    requests: sync.result.requests,
    requests_to_least: rounded(sync.result.requests / Math.ceil(entries / PAGE_SIZE[source]), 4),
    sync_per_s: perSecond(syncMs),
    copy_per_s: perSecond(copy.elapsedMs),
    ratio_to_copy: rounded(copy.elapsedMs / syncMs, 3),
    first_again_per_s: perSecond(firstAgain.result.elapsedMs),
    again_per_s: perSecond(againMs),
    again_to_sync: rounded(syncMs / againMs, 3),
    baseline_per_s: perSecond(baseline.result.elapsedMs),
    ratio_to_baseline: rounded(baseline.result.elapsedMs / syncMs, 2),
    start_rss_mb: megabytes(sync.startRssBytes),
    sync_rss_mb: megabytes(sync.result.peakRssBytes),
    again_rss_mb: megabytes(again.result.peakRssBytes),
    baseline_rss_mb: megabytes(baseline.result.peakRssBytes),
    sync_cpu_s: seconds(sync.result.cpuMs),
    baseline_cpu_s: seconds(baseline.result.cpuMs),
    sync_postgres_cpu_s: seconds(sync.postgresCpuMs),
    copy_postgres_cpu_s: seconds(copy.postgresCpuMs),
    baseline_postgres_cpu_s: seconds(baseline.postgresCpuMs),
    sync_wal_bytes_per_entry: perEntry(sync.walBytes),
    copy_wal_bytes_per_entry: perEntry(copy.walBytes),
    first_again_wal_bytes_per_entry: perEntry(firstAgain.walBytes),
    again_wal_bytes_per_entry: perEntry(again.walBytes),
    baseline_wal_bytes_per_entry: perEntry(baseline.walBytes),
    disk_bytes_per_entry: perEntry(disk),
    copy_disk_bytes_per_entry: perEntry(copyDisk),
    baseline_disk_bytes_per_entry: perEntry(baselineDisk),
  };

  function expectCount(what: string, found: number, expected: number): void {
    if (found !== expected)
      throw new Error(`${source}: ${what}: ${found} entries: expected ${expected} of ${pages} pages`);
  }
}

/** One sync in a process of its own, so that the memory is its own; `profile` is a folder for its CPU profile. */
export async function measureSync(
  client: Parameters<typeof measureWork>[0],
  task: SyncTask,
  profile: string | null,
): Promise<ServerCost & { readonly result: Synced; readonly startRssBytes: number }> {
  const nodeOptions = profile === null ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`];
  const child: Child<number, Synced> = await startChild('./sync.ts', task, nodeOptions);
  const measured = await measureWork(client, () => child.go());
  await child.stop();
  return { ...measured, startRssBytes: child.ready };
}

/** Bytes as MB of 2^20, to one decimal. */
export function megabytes(bytes: number): number {
  return rounded(bytes / 1048576, 1);
}

function seconds(ms: number | null): number | null {
  return ms === null ? null : rounded(ms / 1000, 2);
}
