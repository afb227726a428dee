import { sql } from 'kysely';
import { amountText, lengthText, timeText } from '../amounts.ts';
import { resolveMoment } from '../durations.ts';
import { REMEDY } from '../errors.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import type { Gap } from '../store/schema.ts';
import { type Failing, readStatus } from '../store/status.ts';
import type { Run } from './command.ts';
import { chooseNames, withReadyApp } from './open.ts';
import { printable, tableText, withoutName } from './table.ts';

/** `unreachable`: expired before all that was read, so beyond the retention already when it was asked for. */
type Kind = Gap['kind'] | 'unreachable';

const MEANING: Readonly<
  Record<
    Kind,
    { readonly one: string; readonly many: string; readonly means: string; readonly remedy: string }
  >
> = {
  hole: {
    one: 'hole',
    many: 'holes',
    means: 'not read yet, with later time already read',
    remedy:
      'run `logkeep sync`, or `logkeep backfill` for what a backfill was asked for: they read holes too, as long as the API still shows them',
  },
  expired: {
    one: 'expired span',
    many: 'expired spans',
    means:
      'asked for, but older than the retention by the time it was to be read: lost, unless the API keeps entries longer',
    remedy:
      'set `retention` to that of your plan or index, and the span is read again; sync more often than that',
  },
  unreachable: {
    one: 'expired span',
    many: 'expired spans',
    means:
      'already older than the retention when it was asked for, with nothing read before it: lost, unless the API keeps entries longer',
    remedy:
      'set `retention` to that of your plan or index, if that is longer, and the span is read again; otherwise it cannot be recovered: it was asked for by `since` or by a backfill; `logkeep gaps --since 3d` leaves it out',
  },
  oversize: {
    one: 'oversize entry',
    many: 'oversize entries',
    means:
      'an entry of this millisecond is longer than max_body, and others of this millisecond may be missing with it; all around it is stored',
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
    const configured = new Map(streams.map(({ stream }) => [stream.id as string, stream.fingerprint]));
    const names = chooseNames([...new Set([...configured.keys(), ...known.keys()])], options.stream);
    // Progress under other filters says nothing of what is asked for now.
    const isChanged = (stream: string) => {
      const wanted = configured.get(stream);
      return wanted !== undefined && known.has(stream) && known.get(stream)?.fingerprint !== wanted;
    };
    const chosen = (stream: string) => names.includes(stream);
    const shown = gaps.filter(({ stream }) => chosen(stream) && !isChanged(stream));
    // All of it is missing, and no later time was read that would make it a hole.
    const unread = [...configured.keys()].filter(
      (stream) => chosen(stream) && (isChanged(stream) || (known.get(stream)?.covered_to ?? null) === null),
    );
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
      for (const [stream, { covered_to }] of known) {
        if (chosen(stream) && !isChanged(stream) && covered_to !== null)
          context.stderr.write(`${stream}: up to ${edge(covered_to)}\n`);
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
      for (const kind of Object.keys(MEANING) as Kind[]) {
        const count = shown.filter((gap) => kindOf(gap, known.get(gap.stream)) === kind).length;
        if (count === 0) continue;
        const { one, many, means, remedy } = MEANING[kind];
        context.stderr.write(`${amountText(count, one, many)}: ${means}. To do: ${remedy}.\n`);
      }
    }
    if (!options.json && unread.length > 0) {
      const failures = new Map((await readStatus(store.db)).map(({ stream, failing }) => [stream, failing]));
      for (const stream of unread) {
        const text = isChanged(stream)
          ? unreadText(stream, ' with these settings', null)
          : unreadText(stream, '', failures.get(stream) ?? null);
        context.stderr.write(`${text}\n`);
      }
    }
    return shown.length === 0 && unread.length === 0 ? 0 : 1;
  });

/** What to do of a stream that nothing is covered of: of one that fails, first about that. */
function unreadText(stream: string, how: string, failing: Failing | null): string {
  const sync = `run \`logkeep sync --stream ${stream}\``;
  if (failing === null) return `${stream}: nothing is covered yet${how}. To do: ${sync}.`;
  const { kind, error } = failing;
  const why = error === null ? '' : `: ${printable(withoutName(error, stream))}`;
  // Another version of logkeep may know other kinds.
  const remedy = Object.entries(REMEDY).find(([known]) => known === kind)?.[1];
  const toDo = remedy === undefined ? sync : `${remedy}; then ${sync}`;
  return `${stream}: nothing is covered yet: the last sync failed${why}. To do: ${toDo}.`;
}

/** Where a stream stands. `covered_to`: null: nothing is covered. */
interface Known {
  readonly fingerprint: string;
  readonly asked_from: Date;
  readonly covered_to: Date | null;
}

/** An expired span that begins no later than the asked time was never within reach. */
function kindOf({ kind, from_time }: Gap, known: Known | undefined): Kind {
  return kind === 'expired' && known !== undefined && from_time <= known.asked_from ? 'unreachable' : kind;
}

/** Gaps that reach beyond `since`, oldest first, and where each stream that has progress stands. */
async function read(
  store: Store,
  sinceMs: number | null,
): Promise<{ gaps: readonly Gap[]; known: ReadonlyMap<string, Known> }> {
  try {
    let query = store.db.selectFrom('gap').selectAll().orderBy('stream').orderBy('from_time');
    if (sinceMs !== null) query = query.where('to_time', '>', sql<Date>`${new Date(sinceMs).toISOString()}`);
    const known = await store.db
      .selectFrom('stream')
      .select(({ fn }) => [
        'stream',
        'fingerprint',
        'asked_from',
        fn<Date | null>('upper', ['covered']).as('covered_to'),
      ])
      .where('active', '=', true)
      .orderBy('stream')
      .execute();
    return {
      gaps: await query.execute(),
      known: new Map(known.map((row) => [row.stream, row])),
    };
  } catch (error) {
    throw asDatabaseError('read the gaps', error);
  }
}

/** To the second, or to the ms where that matters. */
function edge(time: Date): string {
  return +time % 1000 === 0 ? timeText(+time) : time.toISOString().replace('T', ' ');
}
