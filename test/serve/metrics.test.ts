import { afterEach, describe, expect, it } from 'vitest';
import { readingReport } from '../../jobs/report.ts';
import { silentLog } from '../../src/log.ts';
import { createMetrics, type Metrics, type MetricsOptions } from '../../src/serve/metrics.ts';
import type { RunEvent } from '../../src/sync/run.ts';
import type { RunCounts } from '../../src/sync/totals.ts';
import { type Family, lint, parseExposition } from './exposition.ts';
import { HOUR, MINUTE, modelOf, NOW, statusOf } from './statuses.ts';

const open: Metrics[] = [];
afterEach(() => {
  for (const metrics of open.splice(0)) metrics.close();
});

function metricsOf(changes: Partial<MetricsOptions> = {}): Metrics {
  const metrics = createMetrics({
    read: async () => modelOf(statusOf()),
    depth: async () => [{ job: 'sync', waiting: 2, active: 1 }],
    version: '1.2.3',
    log: silentLog,
    ...changes,
  });
  open.push(metrics);
  return metrics;
}

async function scrape(metrics: Metrics): Promise<ReadonlyMap<string, Family>> {
  return parseExposition(await metrics.text());
}

/** The value of one sample, by its labels; undefined: it is absent. */
function value(families: ReadonlyMap<string, Family>, name: string, labels: object = {}): number | undefined {
  const found = families.get(name);
  if (found === undefined) throw new Error(`no metric ${name}`);
  return found.samples.find((one) => JSON.stringify(sorted(one.labels)) === JSON.stringify(sorted(labels)))
    ?.value;
}

function sorted(labels: object): unknown {
  return Object.entries(labels).sort(([a], [b]) => (a < b ? -1 : 1));
}

function stored(requests: number, retries: number, fresh: number, more: object = {}): RunEvent {
  return {
    kind: 'stored',
    window: { from: 0, to: 1 },
    share: null,
    whole: null,
    totals: { windows: 0, fetched: fresh, fresh, known: 0, quarantined: 0 },
    meter: { requests, retries, waits: 0, waitMs: 0, bytes: 100, ...more },
  };
}

/** Everything that can happen, so that every metric has a sample. */
function useAll(metrics: Metrics): void {
  const run = metrics.runs.begin('sync', 'datadog.web');
  run.event(stored(3, 1, 10));
  const error = { kind: 'unavailable' } as const;
  run.end({
    outcome: 'failed',
    error,
    counts: { new: 10, known: 4, quarantined: 1, requests: 9, retries: 4, waits: 2, wait_ms: 2500 },
  });
  metrics.runs.begin('trim', null).end({ outcome: 'done', error: null, counts: {} });
  metrics.showAlerts([{ stream: 'datadog.web', kind: 'lag' }]);
  metrics.countDelivery('slack', 'failed');
}

describe('the exposition', () => {
  it('is Prometheus text format to the letter, with names, units and help by the conventions', async () => {
    const metrics = metricsOf();
    useAll(metrics);
    const families = await scrape(metrics);
    expect(families.size).toBeGreaterThan(30);
    expect(lint(families)).toEqual([]);
    expect(metrics.contentType).toBe('text/plain; version=0.0.4; charset=utf-8');
  });

  it('has no label but names of the settings and words of ours', async () => {
    const metrics = metricsOf({
      read: async () =>
        modelOf(
          statusOf({
            failing: { sinceMs: NOW, runs: 3, kind: 'auth', error: 'api: secret-text' },
            unknown: [{ name: 'field:from-outside', firstSeenMs: NOW }],
            windows: [{ job: 'sync', fromMs: 1, toMs: 2, doneToMs: null, pages: 0, holder: 'host:1:abc' }],
          }),
        ),
    });
    useAll(metrics);
    const text = await metrics.text();
    expect(text).not.toMatch(/secret-text|from-outside|host:1/);
    const labels = [...parseExposition(text).values()].flatMap(({ samples }) =>
      samples.flatMap((sample) => Object.keys(sample.labels)),
    );
    expect([...new Set(labels)].sort()).toEqual([
      'job',
      'kind',
      'le',
      'node_version',
      'outcome',
      'receiver',
      'state',
      'stream',
      'version',
    ]);
  });

  it('grows with streams and jobs alone, however much happens', async () => {
    const metrics = metricsOf();
    useAll(metrics);
    const before = (await metrics.text()).split('\n').length;
    for (let i = 0; i < 200; i++) useAll(metrics);
    expect((await metrics.text()).split('\n').length).toBe(before);
  });
});

describe('what the streams are at', () => {
  it('lag, gaps, expiry, quota, quarantine and queue are the read model, in base units', async () => {
    const status = statusOf({
      behindMs: 42 * MINUTE,
      quarantined: 7,
      gaps: [{ kind: 'hole', count: 2, lengthMs: 3 * HOUR }],
      expiresInMs: -1500,
      quota: { limit: 300, remaining: 12, resetMs: NOW + HOUR },
      failing: { sinceMs: NOW, runs: 5, kind: 'auth', error: null },
    });
    const families = await scrape(metricsOf({ read: async () => modelOf(status) }));
    const of = { stream: 'datadog.web' };
    expect(value(families, 'logkeep_stream_lag_seconds', of)).toBe(42 * 60);
    expect(value(families, 'logkeep_stream_gaps', { ...of, kind: 'hole' })).toBe(2);
    expect(value(families, 'logkeep_stream_gaps', { ...of, kind: 'expired' })).toBe(0);
    expect(value(families, 'logkeep_stream_gap_seconds', { ...of, kind: 'hole' })).toBe(10_800);
    expect(value(families, 'logkeep_stream_expires_in_seconds', of)).toBe(-1.5);
    expect(value(families, 'logkeep_stream_quarantined_entries', of)).toBe(7);
    expect(value(families, 'logkeep_stream_failing_runs', of)).toBe(5);
    expect(value(families, 'logkeep_stream_quota_remaining_requests', of)).toBe(12);
    expect(value(families, 'logkeep_stream_quota_limit_requests', of)).toBe(300);
    expect(value(families, 'logkeep_queue_jobs', { job: 'sync', state: 'waiting' })).toBe(2);
    expect(value(families, 'logkeep_processes')).toBe(1);
    expect(value(families, 'logkeep_database_up')).toBe(1);
  });

  it('a stream of which nothing is covered lags by all that was asked for', async () => {
    const status = statusOf({ coveredToMs: null, lagMs: null });
    const families = await scrape(metricsOf({ read: async () => modelOf(status) }));
    expect(value(families, 'logkeep_stream_lag_seconds', { stream: 'datadog.web' })).toBe(48 * 3600);
  });

  it('a quota window that is over tells nothing of what is left', async () => {
    const status = statusOf({ quota: { limit: 300, remaining: 12, resetMs: NOW - 1 } });
    const families = await scrape(metricsOf({ read: async () => modelOf(status) }));
    expect(
      value(families, 'logkeep_stream_quota_remaining_requests', { stream: 'datadog.web' }),
    ).toBeUndefined();
  });

  it('with the database away they are absent, which is not the same as good, and it is said', async () => {
    let away = false;
    const metrics = metricsOf({
      read: async () => {
        if (away) throw new Error('away');
        return modelOf(statusOf());
      },
    });
    const of = { stream: 'datadog.web' };
    expect(value(await scrape(metrics), 'logkeep_stream_lag_seconds', of)).toBe(40);
    away = true;
    const families = await scrape(metrics);
    expect(value(families, 'logkeep_database_up')).toBe(0);
    expect(value(families, 'logkeep_stream_lag_seconds', of)).toBeUndefined();
    away = false;
    expect(value(await scrape(metrics), 'logkeep_stream_lag_seconds', of)).toBe(40);
  });

  it('a database that does not answer costs a scrape three seconds at most', async () => {
    const never = new Promise<never>(() => {});
    const metrics = metricsOf({ read: () => never, depth: () => never });
    const startedAt = performance.now();
    const families = await scrape(metrics);
    expect(performance.now() - startedAt).toBeLessThan(5_000);
    expect(value(families, 'logkeep_database_up')).toBe(0);
    expect(value(families, 'process_resident_memory_bytes')).toBeGreaterThan(1e6);
  });

  it('a stream that is gone from the model is gone from the metrics', async () => {
    let streams = [statusOf(), statusOf({ stream: 'datadog.old' })];
    const metrics = metricsOf({ read: async () => modelOf(...streams) });
    expect(value(await scrape(metrics), 'logkeep_stream_gaps', { stream: 'datadog.old', kind: 'hole' })).toBe(
      0,
    );
    streams = [statusOf()];
    expect(
      value(await scrape(metrics), 'logkeep_stream_gaps', { stream: 'datadog.old', kind: 'hole' }),
    ).toBeUndefined();
  });
});

describe('what the runs of this process do', () => {
  const of = { stream: 'datadog.web', job: 'sync' };

  it('requests are ok, retried or the failure that ended the run, and add up to what was sent', async () => {
    const metrics = metricsOf();
    const run = metrics.runs.begin('sync', 'datadog.web');
    run.event(stored(5, 2, 0));
    let families = await scrape(metrics);
    // One of the five may be under way.
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'ok' })).toBe(2);
    run.end({ outcome: 'failed', error: { kind: 'unavailable' }, counts: { requests: 9, retries: 4 } });
    families = await scrape(metrics);
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'ok' })).toBe(4);
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'retried' })).toBe(4);
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'unavailable' })).toBe(1);
    expect(value(families, 'logkeep_request_retries_total', of)).toBe(4);
  });

  it('a failure that was none of a request does not count as one', async () => {
    const metrics = metricsOf();
    const run = metrics.runs.begin('sync', 'datadog.web');
    run.end({ outcome: 'failed', error: { kind: 'database' }, counts: { requests: 3, retries: 0 } });
    const families = await scrape(metrics);
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'ok' })).toBe(3);
    expect(value(families, 'logkeep_requests_total', { ...of, outcome: 'database' })).toBeUndefined();
    expect(value(families, 'logkeep_runs_total', { ...of, outcome: 'failed' })).toBe(1);
  });

  it('entries count as they are stored, each once, over several runs', async () => {
    const metrics = metricsOf();
    for (let i = 0; i < 3; i++) {
      const run = metrics.runs.begin('sync', 'datadog.web');
      run.event(stored(1, 0, 10));
      run.event(stored(2, 0, 25));
      run.end({
        outcome: 'done',
        error: null,
        counts: { new: 30, known: 5, quarantined: 1, requests: 2, retries: 0, waits: 1, wait_ms: 1500 },
      });
    }
    const families = await scrape(metrics);
    expect(value(families, 'logkeep_entries_total', { ...of, outcome: 'new' })).toBe(90);
    expect(value(families, 'logkeep_entries_total', { ...of, outcome: 'known' })).toBe(15);
    expect(value(families, 'logkeep_entries_total', { ...of, outcome: 'quarantined' })).toBe(3);
    expect(value(families, 'logkeep_quota_wait_seconds_total', of)).toBe(4.5);
    expect(value(families, 'logkeep_received_bytes_total', of)).toBe(300);
    expect(value(families, 'logkeep_runs_total', { ...of, outcome: 'done' })).toBe(3);
  });

  it('bytes that came after the last batch count at the end of the run', async () => {
    const metrics = metricsOf();
    const run = metrics.runs.begin('sync', 'datadog.web');
    const { totals, meter } = stored(2, 0, 10) as RunEvent & RunCounts;
    run.event(stored(2, 0, 10));
    const end = { outcome: 'done', error: null, window: null, skewMs: null, againLeft: [] } as const;
    run.end(readingReport({ ...end, totals, meter: { ...meter, bytes: 250 } }));
    expect(value(await scrape(metrics), 'logkeep_received_bytes_total', of)).toBe(250);
  });

  it('a run that a bug ended is counted as such', async () => {
    const metrics = metricsOf();
    metrics.runs.begin('sync', 'datadog.web').end(null);
    expect(value(await scrape(metrics), 'logkeep_runs_total', { ...of, outcome: 'bug' })).toBe(1);
  });
});

it('the delay of a blocked event loop shows', async () => {
  const metrics = metricsOf();
  await metrics.text();
  // The monitor begins anew with the loop's next turns.
  await new Promise((resolve) => setTimeout(resolve, 200));
  const until = performance.now() + 400;
  while (performance.now() < until);
  await new Promise((resolve) => setTimeout(resolve, 100));
  expect(value(await scrape(metrics), 'nodejs_eventloop_lag_max_seconds')).toBeGreaterThan(0.2);
});
