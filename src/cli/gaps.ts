import { sql } from 'kysely';
import { amountText, lengthText, timeText } from '../amounts.ts';
import { resolveMoment } from '../durations.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import type { Gap } from '../store/schema.ts';
import type { Run } from './command.ts';
import { refuseUnknownStreams, withReadyApp } from './open.ts';
import { tableText } from './table.ts';

const MEANING: Readonly<Record<Gap['kind'], { readonly means: string; readonly remedy: string }>> = {
  hole: {
    means: 'not read yet, with later time already read',
    remedy:
      'run `logkeep sync`, or `logkeep backfill` for what a backfill was asked for: they read holes too, as long as the API still shows them',
  },
  expired: {
    means:
      'asked for, but older than the retention when it was to be read: lost, unless the API keeps entries longer',
    remedy:
      'set `retention` to that of your plan or index, which has the span read again; sync more often than that',
  },
  oversize: {
    means: 'one entry of this millisecond is longer than max_body; all around it is stored',
    remedy: 'raise max_body of the stream, then run `logkeep sync --again` over the span',
  },
};

/**
 * `logkeep gaps`: what is missing of the time asked for; exit 1 if there is anything, or a configured stream of
 * which nothing is covered at all. The tail up to now is lag, no gap.
 */
export const run: Run<'gaps'> = (options, context) =>
  withReadyApp(options, context, async ({ store, streams }) => {
    const since = options.since === null ? null : resolveMoment(options.since, context.clock.now());
    const { gaps, known } = await read(store, since);
    const configured: readonly string[] = streams.map(({ stream }) => stream.id);
    refuseUnknownStreams(options.stream, [...new Set([...configured, ...known.keys()])]);
    const chosen = (stream: string) => options.stream.length === 0 || options.stream.includes(stream);
    const shown = gaps.filter(({ stream }) => chosen(stream));
    // All of it is missing, and no later time was read that would make it a hole.
    const unread = configured.filter((stream) => chosen(stream) && (known.get(stream) ?? null) === null);
    if (options.json) {
      const list = shown.map(({ stream, kind, from_time, to_time }) => ({
        stream,
        kind,
        from: from_time.toISOString(),
        to: to_time.toISOString(),
        length_ms: +to_time - +from_time,
      }));
      context.stdout.write(`${JSON.stringify({ gaps: list, unread }, null, 2)}\n`);
    } else if (shown.length === 0) {
      context.stdout.write(unread.length === 0 ? 'no gaps\n' : '');
      for (const [stream, coveredTo] of known) {
        if (chosen(stream) && coveredTo !== null)
          context.stderr.write(`${stream}: up to ${edge(coveredTo)}\n`);
      }
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
    if (!options.json) {
      for (const stream of unread) {
        context.stderr.write(
          `${stream}: nothing is covered yet. To do: run \`logkeep sync --stream ${stream}\`.\n`,
        );
      }
    }
    return shown.length === 0 && unread.length === 0 ? 0 : 1;
  });

const PLURAL: Readonly<Record<Gap['kind'], string>> = {
  hole: 'holes',
  expired: 'expired spans',
  oversize: 'oversize entries',
};

/** Gaps that reach beyond `since`, oldest first, and up to where each stream that has progress is covered (null: nowhere). */
async function read(
  store: Store,
  sinceMs: number | null,
): Promise<{ gaps: readonly Gap[]; known: ReadonlyMap<string, Date | null> }> {
  try {
    let query = store.db.selectFrom('gap').selectAll().orderBy('stream').orderBy('from_time');
    if (sinceMs !== null) query = query.where('to_time', '>', sql<Date>`${new Date(sinceMs).toISOString()}`);
    const known = await store.db
      .selectFrom('stream')
      .select(({ fn }) => ['stream', fn<Date | null>('upper', ['covered']).as('covered_to')])
      .where('active', '=', true)
      .orderBy('stream')
      .execute();
    return {
      gaps: await query.execute(),
      known: new Map(known.map((row) => [row.stream, row.covered_to])),
    };
  } catch (error) {
    throw asDatabaseError('read the gaps', error);
  }
}

/** To the second, or to the ms where that matters. */
function edge(time: Date): string {
  return +time % 1000 === 0 ? timeText(+time) : time.toISOString().replace('T', ' ');
}
