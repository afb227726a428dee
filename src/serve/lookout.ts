import type { OpenStream } from '../app.ts';
import type { Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import type { Log } from '../log.ts';
import type { Store } from '../store/database.ts';
import { type Alerts, createAlerts } from './alerts.ts';
import { type Heartbeat, startHeartbeat } from './heartbeat.ts';
import { startHttp } from './http.ts';
import { createMetrics } from './metrics.ts';
import type { QueueDepth } from './queue.ts';
import { cached, type ReadModel, readModel } from './read-model.ts';
import { readyChecks } from './ready.ts';
import type { RunCounters } from './run-counters.ts';

/** How old what is shown may be: many scrapes and looks cost one query. */
const FRESH_MS = 5_000;

/** What a process tells of itself, from its start on. */
export interface LookoutOptions {
  readonly host: string;
  readonly port: number;
  readonly holder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}

/** The database and queue that the process works with. */
export interface Premises {
  readonly store: Store;
  readonly queue: { depth(): Promise<readonly QueueDepth[]> };
}

/** Health, metrics, signs of life and alerts of one process of `serve`. */
export interface Lookout {
  /** Where health and metrics are. */
  readonly url: string;
  /** Counts what the jobs of this process do. */
  readonly runs: RunCounters;
  /** The database is open: from now on the process can be ready, and gives signs of life. */
  movedIn(premises: Premises): void;
  /** These settings and streams are in force from now on; after `movedIn`. */
  watch(config: Pick<Config, 'alerts'>, streams: readonly OpenStream[]): Promise<void>;
  /** Before the database is closed; never rejects. */
  close(): Promise<void>;
}

/** Listens at once, so that a process that waits for its database is alive and not ready. Throws `config`. */
export async function openLookout(options: LookoutOptions): Promise<Lookout> {
  const { host, port, holder, version, clock, log } = options;
  let premises: Premises | null = null;
  let heartbeat: Heartbeat | null = null;
  let alerts: Alerts | null = null;
  let names: readonly string[] = [];
  const there = (): Premises => {
    if (premises === null) throw new Error('the database is not open yet');
    return premises;
  };
  const read = cached(async (): Promise<ReadModel> => {
    const model = await readModel(there().store.db);
    // A stream that is no longer in the settings stands still, and is no trouble.
    return { ...model, streams: model.streams.filter(({ stream }) => names.includes(stream)) };
  }, FRESH_MS);
  const depth = cached(async () => there().queue.depth(), FRESH_MS);
  const metrics = createMetrics({ read, depth, version, log });
  const checks = readyChecks({
    store: () => premises?.store ?? null,
    queue: () => premises?.queue ?? null,
  });
  const http = await startHttp({ host, port, checks, metrics, log }).catch((error: unknown) => {
    metrics.close();
    throw error;
  });
  return {
    url: http.url,
    runs: metrics.runs,
    movedIn(found) {
      premises = found;
      heartbeat = startHeartbeat({ store: found.store, holder, version, clock, log });
    },
    async watch(config, streams) {
      await alerts?.stop();
      names = streams.map(({ stream }) => stream.id);
      alerts = createAlerts({
        store: there().store,
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
      alerts.start();
    },
    async close() {
      await Promise.all([http.close(), alerts?.stop(), heartbeat?.stop()]);
      metrics.close();
    },
  };
}
