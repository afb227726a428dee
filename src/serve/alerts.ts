import type { Clock } from '../clock.ts';
import type { AlertSettings } from '../config/alerts.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import { type Due, recordNotSent, recordSent, updateAlerts } from '../store/alerts.ts';
import type { Store } from '../store/database.ts';
import { firingAlerts, type WatchedStream } from './alert-rules.ts';
import type { Metrics } from './metrics.ts';
import type { ReadModel } from './read-model.ts';
import { post, type Receiver } from './webhook.ts';

/** How often the rules are evaluated; a process that just began gives the first sync that long to catch up. */
const EVALUATE_MS = 30_000;

/** What the alerts need. */
export interface AlertingOptions {
  readonly store: Store;
  readonly settings: AlertSettings;
  /** The streams of this process's settings. */
  readonly watched: readonly WatchedStream[];
  readonly read: () => Promise<ReadModel>;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Pick<Metrics, 'showAlerts' | 'countDelivery'>;
}

/** The alerts of one process. */
export interface Alerting {
  /** Evaluates the rules once and sends what is due; throws `database`. */
  evaluate(): Promise<void>;
  /** Evaluates every half a minute until `stop`; what fails is logged and tried again the next time. */
  start(): void;
  /** Ends what is under way; never rejects. */
  stop(): Promise<void>;
}

/**
 * Tells the receivers what is firing, once for all processes that share the database, again while it goes on and at its
 * end. Runs beside the work and shares nothing with it but the database: a receiver that is down costs nobody
 * anything. Time is the database's, so that processes agree and a clock that jumps does no harm.
 */
export function createAlerting(options: AlertingOptions): Alerting {
  const { store, settings, watched, read, clock, log, metrics } = options;
  const addresses = new Map<Receiver, string>();
  if (settings.webhook !== null) addresses.set('webhook', settings.webhook);
  if (settings.slack !== null) addresses.set('slack', settings.slack);
  const stopping = new AbortController();
  let evaluating: Promise<void> = Promise.resolve();

  async function evaluate(): Promise<void> {
    const model = await read();
    const firing = firingAlerts(model, watched, settings);
    metrics.showAlerts(firing);
    const nowMs = model.streams[0]?.nowMs;
    if (nowMs === undefined || addresses.size === 0) return;
    const due = await updateAlerts(store.pool, {
      firing,
      streams: watched.map(({ stream }) => stream),
      receivers: [...addresses.keys()],
      repeatMs: settings.repeatMs,
      nowMs,
    });
    await Promise.all(
      [...addresses].map(([receiver, url]) =>
        send(
          receiver,
          url,
          due.filter((one) => one.receiver === receiver),
          nowMs,
        ),
      ),
    );
  }

  async function send(receiver: Receiver, url: string, due: readonly Due[], nowMs: Ms): Promise<void> {
    if (due.length === 0) return;
    const failure = await post(receiver, url, due, nowMs, stopping.signal);
    // What was cut off by our own end is another process's to tell, once the claim is over.
    if (failure !== null && stopping.signal.aborted) return;
    metrics.countDelivery(receiver, failure === null ? 'sent' : 'failed');
    const alerts = due.map(
      ({ stream, kind, endedMs }) => `${stream} ${kind}${endedMs === null ? '' : ' is over'}`,
    );
    const fields = { receiver, alerts };
    if (failure === null) log.info(fields, 'alert sent');
    else log.warn({ ...fields, error: failure }, 'alert not sent: it will be sent again');
    for (const one of due) {
      if (failure === null) await recordSent(store.pool, one, settings.repeatMs, nowMs);
      else await recordNotSent(store.pool, one, failure, nowMs);
    }
  }

  return {
    evaluate,
    start() {
      evaluating = (async () => {
        for (;;) {
          await clock.sleep(EVALUATE_MS, stopping.signal).catch(() => {});
          if (stopping.signal.aborted) return;
          await evaluate().catch((error: unknown) =>
            log.warn({ error: errorText(error) }, 'alerts: not evaluated'),
          );
        }
      })();
    },
    async stop() {
      stopping.abort();
      await evaluating;
    },
  };
}
