import { Counter, Gauge, Registry } from 'prom-client';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import { watchProcess } from './process-gauges.ts';
import type { QueueDepth } from './queue.ts';
import type { ReadModel } from './read-model.ts';
import { createRunCounters, type RunCounters } from './run-counters.ts';
import { createStreamGauges } from './stream-gauges.ts';

/** A database that answers later than this counts as away for the scrape that waits for it. */
const PATIENCE_MS = 3_000;

/** What the metrics are made of. */
export interface MetricsOptions {
  /** The read model, kept for a few seconds (`cached`). */
  readonly read: () => Promise<ReadModel>;
  readonly depth: () => Promise<readonly QueueDepth[]>;
  readonly version: string;
  readonly log: Log;
}

/** What one process says of itself and of the streams, in a registry of its own. */
export interface Metrics {
  readonly contentType: string;
  /** The exposition; never rejects for a database that is away, which it then says. */
  text(): Promise<string>;
  /** Counts what the runs of this process do. */
  readonly runs: RunCounters;
  /** Shows what the alerts found: one for each stream and kind. */
  showAlerts(found: readonly { readonly stream: string; readonly kind: string }[]): void;
  countDelivery(receiver: string, outcome: 'sent' | 'failed'): void;
  close(): void;
}

/** Labels are names from the settings and words of ours: no value that an entry, an API or a user's request brings. */
export function createMetrics({ read, depth, version, log }: MetricsOptions): Metrics {
  const registry = new Registry();
  const registers = [registry];
  const stopWatching = watchProcess(registry, version);
  const runs = createRunCounters(registry);
  const streams = createStreamGauges(registry);
  const databaseUp = new Gauge({
    name: 'logkeep_database_up',
    help: 'Whether the database answered this scrape: 1 or 0. While it is 0 the metrics of streams are absent.',
    registers,
  });
  const processes = new Gauge({
    name: 'logkeep_processes',
    help: 'Processes of logkeep serve that are alive and share this database.',
    registers,
  });
  const queue = new Gauge({
    name: 'logkeep_queue_jobs',
    help: 'Jobs of all processes in the queue, by state: waiting or active.',
    labelNames: ['job', 'state'],
    registers,
  });
  const alerts = new Gauge({
    name: 'logkeep_alerts',
    help: 'Alerts that are firing, as this process sees them: 1 for each stream and kind.',
    labelNames: ['stream', 'kind'],
    registers,
  });
  const deliveries = new Counter({
    name: 'logkeep_alert_deliveries_total',
    help: 'Messages to webhooks, by outcome: sent or failed.',
    labelNames: ['receiver', 'outcome'],
    registers,
  });

  async function look(): Promise<void> {
    try {
      const model = await soon(read());
      streams.set(model.streams);
      processes.set(model.processes.length);
      databaseUp.set(1);
    } catch (error) {
      log.debug({ error: errorText(error) }, 'metrics: the database did not answer');
      streams.set([]);
      processes.reset();
      databaseUp.set(0);
    }
  }

  async function count(): Promise<void> {
    const found = await soon(depth()).catch(() => []);
    queue.reset();
    for (const { job, waiting, active } of found) {
      queue.set({ job, state: 'waiting' }, waiting);
      queue.set({ job, state: 'active' }, active);
    }
  }

  return {
    contentType: registry.contentType,
    text: async () => {
      await Promise.all([look(), count()]);
      return registry.metrics();
    },
    runs,
    showAlerts(found) {
      alerts.reset();
      for (const { stream, kind } of found) alerts.set({ stream, kind }, 1);
    },
    countDelivery: (receiver, outcome) => deliveries.inc({ receiver, outcome }),
    close: stopWatching,
  };
}

/** `work`, unless it takes too long: it then goes on unheard. */
async function soon<T>(work: Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error(`no answer within ${PATIENCE_MS} ms`)), PATIENCE_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
