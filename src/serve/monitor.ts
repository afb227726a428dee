import type { OpenStream } from '../app.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import { withQuotas } from '../operations/pacing.ts';
import { type Alerting, createAlerting } from './alerts.ts';
import type { Backend } from './backend.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import { startHttp } from './http.ts';
import { createMetrics } from './metrics.ts';
import { cached, type ReadModel, readModel } from './read-model.ts';
import { readyChecks } from './ready.ts';
import type { RunCounters } from './run-counters.ts';

/** How old what is shown may be: many scrapes and looks cost one query. */
const FRESH_MS = 5_000;

/** What a process tells of itself, from its start on. */
export interface MonitorOptions {
  readonly host: string;
  readonly port: number;
  readonly holder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** What of the backend is looked at. */
export type MonitoredBackend = Pick<Backend, 'store'> & { readonly queue: Pick<Backend['queue'], 'depth'> };

/** Health, metrics, signs of life and alerts of one process of `serve`. */
export interface Monitor {
  /** Where health and metrics are. */
  readonly url: string;
  /** Counts what the jobs of this process do. */
  readonly runs: RunCounters;
  /** The database is open: from now on the process can be ready, and gives signs of life. Once. */
  attach(backend: MonitoredBackend): void;
  /** These settings and streams are in force from now on; after `attach`. */
  watch(config: Pick<Config, 'alerts'>, streams: readonly OpenStream[]): Promise<void>;
  /** Before the database is closed; never rejects. */
  close(): Promise<void>;
}

/** Listens at once, so that a process that waits for its database is alive and not ready. Throws `config`. */
export async function openMonitor(options: MonitorOptions): Promise<Monitor> {
  const { host, port, holder, version, clock, log } = options;
  let backend: MonitoredBackend | null = null;
  let heartbeat: Heartbeat | null = null;
  let alerting: Alerting | null = null;
  let watched: readonly OpenStream[] = [];
  const attached = (): MonitoredBackend => {
    if (backend === null) throw new Error('the database is not open yet');
    return backend;
  };
  const read = cached(async (): Promise<ReadModel> => {
    const { store } = attached();
    const model = await readModel(store.db);
    // A stream that is no longer in the settings stands still, and nobody wants to hear of it.
    const shown = model.streams.filter(({ stream }) => watched.some((one) => one.stream.id === stream));
    return { ...model, streams: await withQuotas({ store, streams: watched }, shown) };
  }, FRESH_MS);
  const depth = cached(async () => attached().queue.depth(), FRESH_MS);
  const metrics = createMetrics({ read, depth, version, log });
  const checks = readyChecks({
    store: () => backend?.store ?? null,
    queue: () => backend?.queue ?? null,
  });
  const http = await startHttp({ host, port, checks, metrics, log }).catch((error: unknown) => {
    metrics.close();
    throw error;
  });
  return {
    url: http.url,
    runs: metrics.runs,
    attach(opened) {
      backend = opened;
      heartbeat = startHeartbeat({ store: opened.store, holder, version, clock, log });
    },
    async watch(config, streams) {
      await alerting?.stop();
      watched = streams;
      alerting = createAlerting({
        store: attached().store,
        settings: config.alerts,
        watched: streams.map(({ stream, settings }) => ({
          stream: stream.id,
          fingerprint: stream.fingerprint,
          settleMs: settings.settleMs,
        })),
        read,
        clock,
        log,
        metrics,
      });
      alerting.start();
    },
    async close() {
      await Promise.all([http.close(), alerting?.stop(), heartbeat?.stop()]);
      metrics.close();
    },
  };
}
