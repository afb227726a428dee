import { setTimeout as delay } from 'node:timers/promises';
import { errorText, isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Stream } from '../sources/source.ts';
import type { Lease, Ledger } from './ledger.ts';

const RENEW_MS = 3_000;

/** What holding a lease needs. */
export interface HoldContext {
  readonly stream: Pick<Stream, 'id'>;
  readonly ledger: Pick<Ledger, 'renew' | 'release'>;
  readonly log: Log;
}

/** A lease that is kept. */
export interface Hold {
  /** Renews it no more. */
  end(): void;
  /** After a failure: others may take the window at once, as far as the ledger can be told. Never throws. */
  letGo(failure: unknown): Promise<void>;
}

/**
 * Renews a lease every three seconds and calls `onLost` when it is another's. The fence would refuse a commit anyway,
 * but only later. One renewal at a time: where the database keeps it waiting, more of them would only take connections.
 */
export function holdLease(context: HoldContext, lease: Lease, onLost: (why: LogkeepError) => void): Hold {
  const { ledger, log, stream } = context;
  let renewing = false;
  let over = false;
  const renew = async () => {
    if (renewing) return;
    renewing = true;
    try {
      if (!(await ledger.renew(lease))) onLost(new LogkeepError('lease', `${stream.id}: the lease is lost`));
    } catch (error) {
      // One that is under way when the lease is given up fails with the connections, and nobody minds.
      if (!over) log.warn({ stream: stream.id, error: errorText(error) }, 'lease not renewed');
    } finally {
      renewing = false;
    }
  };
  const renewal = setInterval(() => void renew(), RENEW_MS);
  const end = () => {
    over = true;
    clearInterval(renewal);
  };
  return {
    end,
    letGo: async (failure) => {
      end();
      // A database that has failed may be gone: it is told once, and not waited for.
      const once = isFailure(failure, 'database');
      const told = ledger.release(lease, once).catch((error: unknown) => {
        log.warn({ stream: stream.id, error: errorText(error) }, 'lease not released');
      });
      await (once ? Promise.race([told, delay(RENEW_MS, undefined, { ref: false })]) : told);
    },
  };
}
