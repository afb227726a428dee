import { openApp } from '../app.ts';
import { formatDuration } from '../durations.ts';
import { LogkeepError } from '../errors.ts';
import { makeRoomForNew } from '../memory.ts';
import { syncStreams } from '../operations/sync.ts';
import type { Outcome } from '../sync/ledger.ts';
import type { Run } from './command.ts';
import { chooseStreams, readConfig } from './open.ts';
import { createProgress } from './progress.ts';
import { reportSync } from './sync-report.ts';
import { openCommandLog } from './text-log.ts';

/** A longer timer would go off at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** `logkeep sync`: every stream from what is not covered yet up to now. */
export const run: Run<'sync'> = async (options, context) => {
  makeRoomForNew();
  const config = readConfig(options, context, 'required');
  const chosen = chooseStreams(config.streams, options.stream);
  const view = createProgress(context, { json: options.json, live: true });
  const log = openCommandLog(config.logLevel, options.json, view);
  const app = await openApp(config, chosen, context.clock, log);
  const stop = new AbortController();
  const timer =
    options.forMs === null
      ? undefined
      : setTimeout(
          () =>
            stop.abort(
              new LogkeepError('time_up', `stopped after ${formatDuration(options.forMs as number)}`),
            ),
          Math.min(options.forMs, LONGEST_TIMER_MS),
        );
  const shares = new Map<string, number | null>();
  let allowance = options.maxRequests ?? Number.POSITIVE_INFINITY;
  try {
    const results = await syncStreams(app, {
      since: options.since,
      untilMs: options.until,
      again: options.again,
      signal: AbortSignal.any([context.signal, stop.signal]),
      mayRequest: () => allowance-- > 0,
      watch: (stream, event) => {
        view.update(stream, event);
        if (event.kind === 'stored') shares.set(stream.id, event.share);
      },
    });
    view.close();
    await reportSync(app, results, { context, json: options.json, shares, untilMs: options.until });
    // Stopped by --for or --max-requests it did what was asked, unless the API failed; stopped by a signal it did not.
    const short = (outcome: Outcome) =>
      outcome === 'failed' || (outcome === 'stopped' && context.signal.aborted);
    return results.some(({ outcome }) => short(outcome)) ? 1 : 0;
  } finally {
    clearTimeout(timer);
    view.close();
    await app.close();
  }
};
