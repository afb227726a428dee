import type { Clock } from '../clock.ts';
import type { AlertSettings } from '../config/alerts.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import { type Due, recordTold, recordUntold, settleAlerts } from '../store/alerts.ts';
import type { Store } from '../store/database.ts';
import type { Metrics } from './metrics.ts';
import type { ReadModel } from './read-model.ts';
import { findTrouble, type Watched } from './trouble.ts';
import { post, type Receiver } from './webhook.ts';

/** How often it is looked for trouble; a process that just began gives the first sync that long to catch up. */
const LOOK_MS = 30_000;

/** What the alerts need. */
export interface AlertsOptions {
  readonly store: Store;
  readonly settings: AlertSettings;
  /** The streams of this process's settings. */
  readonly watched: readonly Watched[];
  readonly read: () => Promise<ReadModel>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'showAlerts' | 'countDelivery'>;
}

/** The lookout for trouble. */
export interface Alerts {
  /** Looks once and tells what is due; throws `database`. */
  look(): Promise<void>;
  /** Looks every half a minute until `stop`; what fails is logged and tried again at the next look. */
  start(): void;
  /** Ends what is under way; never rejects. */
  stop(): Promise<void>;
}

/**
 * Tells the receivers of trouble, once for all processes that share the database, again while it goes on and at its
 * end. Runs beside the work and shares nothing with it but the database: a receiver that is down costs nobody
 * anything. Time is the database's, so that processes agree and a clock that jumps does no harm.
 */
export function createAlerts(options: AlertsOptions): Alerts {
  const { store, settings, watched, read, clock, log, metrics } = options;
  const addresses = new Map<Receiver, string>();
  if (settings.webhook !== null) addresses.set('webhook', settings.webhook);
  if (settings.slack !== null) addresses.set('slack', settings.slack);
  const stopping = new AbortController();
  let looking: Promise<void> = Promise.resolve();

  async function look(): Promise<void> {
    const model = await read();
    const ongoing = findTrouble(model, watched, settings);
    metrics.showAlerts(ongoing);
    const nowMs = model.streams[0]?.nowMs;
    if (nowMs === undefined || addresses.size === 0) return;
    const due = await settleAlerts(store.pool, {
      ongoing,
      streams: watched.map(({ stream }) => stream),
      receivers: [...addresses.keys()],
      repeatMs: settings.repeatMs,
      nowMs,
    });
    await Promise.all(
      [...addresses].map(([receiver, url]) =>
        tell(
          receiver,
          url,
          due.filter((one) => one.receiver === receiver),
          nowMs,
        ),
      ),
    );
  }

  async function tell(receiver: Receiver, url: string, due: readonly Due[], nowMs: Ms): Promise<void> {
    if (due.length === 0) return;
    const trouble = await post(receiver, url, due, nowMs, stopping.signal);
    // What was cut off by our own end is another process's to tell, once the claim is over.
    if (trouble !== null && stopping.signal.aborted) return;
    metrics.countDelivery(receiver, trouble === null ? 'sent' : 'failed');
    const fields = { receiver, alerts: due.map(({ stream, kind }) => `${stream} ${kind}`) };
    if (trouble === null) log.info(fields, 'alert sent');
    else log.warn({ ...fields, error: trouble }, 'alert not sent: it is tried again');
    for (const one of due) {
      if (trouble === null) await recordTold(store.pool, one, settings.repeatMs, nowMs);
      else await recordUntold(store.pool, one, trouble, nowMs);
    }
  }

  return {
    look,
    start() {
      looking = (async () => {
        for (;;) {
          await clock.sleep(LOOK_MS, stopping.signal).catch(() => {});
          if (stopping.signal.aborted) return;
          await look().catch((error: unknown) => log.warn({ error: String(error) }, 'alerts: not looked'));
        }
      })();
    },
    async stop() {
      stopping.abort();
      await looking;
    },
  };
}
