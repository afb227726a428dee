import { sql } from 'kysely';
import { resolveMoment } from '../durations.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import type { Gap } from '../store/schema.ts';
import { amountText, lengthText, timeText } from './amounts.ts';
import type { Run } from './command.ts';
import { refuseUnknownStreams, withReadyApp } from './open.ts';
import { tableText } from './table.ts';

const MEANING: Readonly<Record<Gap['kind'], { readonly means: string; readonly remedy: string }>> = {
  hole: {
    means: 'not read yet, with later time already read',
    remedy: 'run `logkeep sync`: it reads holes too, as long as the API still shows them',
  },
  expired: {
    means: 'asked for, but older than the API keeps entries when it was to be read: lost',
    remedy:
      'nothing brings it back; sync more often than the retention, and set `retention` to that of your plan or index',
  },
  oversize: {
    means: 'one entry of this millisecond is longer than max_body; all around it is stored',
    remedy: 'raise max_body of the stream, then run `logkeep sync --again` over the span',
  },
};

/** `logkeep gaps`: what is missing of the time asked for; exit 1 if there is anything. The tail up to now is lag, no gap. */
export const run: Run<'gaps'> = (options, context) =>
  withReadyApp(options, context, async ({ store, streams }) => {
    const since = options.since === null ? null : resolveMoment(options.since, context.clock.now());
    const { gaps, known } = await read(store, since);
    refuseUnknownStreams(options.stream, [...new Set([...streams.map(({ stream }) => stream.id), ...known])]);
    const shown = gaps.filter(({ stream }) => options.stream.length === 0 || options.stream.includes(stream));
    if (options.json) {
      const list = shown.map(({ stream, kind, from_time, to_time }) => ({
        stream,
        kind,
        from: from_time.toISOString(),
        to: to_time.toISOString(),
        length_ms: +to_time - +from_time,
      }));
      context.stdout.write(`${JSON.stringify({ gaps: list }, null, 2)}\n`);
    } else if (shown.length === 0) {
      context.stdout.write('no gaps\n');
    } else {
      context.stdout.write(
        tableText(
          ['stream', 'kind', 'from', 'to', 'length'],
          shown.map(({ stream, kind, from_time, to_time }) => [
            stream,
            kind,
            edge(from_time),
            edge(to_time),
            lengthText(+to_time - +from_time),
          ]),
          [4],
        ),
      );
      for (const kind of Object.keys(MEANING) as Gap['kind'][]) {
        const count = shown.filter((gap) => gap.kind === kind).length;
        if (count === 0) continue;
        const { means, remedy } = MEANING[kind];
        context.stderr.write(`${amountText(count, kind, PLURAL[kind])}: ${means}. To do: ${remedy}.\n`);
      }
    }
    return shown.length === 0 ? 0 : 1;
  });

const PLURAL: Readonly<Record<Gap['kind'], string>> = {
  hole: 'holes',
  expired: 'expired spans',
  oversize: 'oversize entries',
};

/** Gaps that reach beyond `since`, oldest first, with the names of all streams that have progress. */
async function read(
  store: Store,
  sinceMs: number | null,
): Promise<{ gaps: readonly Gap[]; known: readonly string[] }> {
  try {
    let query = store.db.selectFrom('gap').selectAll().orderBy('stream').orderBy('from_time');
    if (sinceMs !== null) query = query.where('to_time', '>', sql<Date>`${new Date(sinceMs).toISOString()}`);
    const known = await store.db.selectFrom('stream').select('stream').where('active', '=', true).execute();
    return { gaps: await query.execute(), known: known.map(({ stream }) => stream) };
  } catch (error) {
    throw asDatabaseError('read the gaps', error);
  }
}

/** To the second, or to the ms where that matters. */
function edge(time: Date): string {
  return +time % 1000 === 0 ? timeText(+time) : time.toISOString().replace('T', ' ');
}
