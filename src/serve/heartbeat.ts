import type { Clock } from '../clock.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Store } from '../store/database.ts';
import { beatProcess, endProcess } from '../store/process.ts';

const BEAT_MS = 15_000;
/** Three beats: one that a busy database delays is no death. */
const ALIVE_MS = 3 * BEAT_MS;

/** Signs of life of one process. */
export interface Heartbeat {
  /** Takes the process off the list; never rejects. */
  stop(): Promise<void>;
}

/**
 * Keeps a row in `logkeep.process` for as long as this process lives, so that `why`, `/metrics` and operators know
 * who serves. A database that is away is waited for: the next beat tries again.
 */
export function startHeartbeat(options: {
  readonly store: Store;
  readonly holder: string;
  readonly version: string;
  readonly clock: Clock;
  readonly log: Log;
}): Heartbeat {
  const { store, holder, version, clock, log } = options;
  const stopping = new AbortController();
  const beating = (async () => {
    while (!stopping.signal.aborted) {
      await beatProcess(store.db, { holder, version, aliveMs: ALIVE_MS }).catch((error: unknown) =>
        log.debug({ error: errorText(error) }, 'heartbeat not sent'),
      );
      await clock.sleep(BEAT_MS, stopping.signal).catch(() => {});
    }
  })();
  return {
    async stop() {
      stopping.abort();
      await beating;
      await endProcess(store.db, holder).catch((error: unknown) =>
        log.debug({ error: errorText(error) }, 'process not taken off the list'),
      );
    },
  };
}
