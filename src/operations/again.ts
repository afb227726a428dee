import type { App, OpenStream } from '../app.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms, Span, Spans } from '../model.ts';
import { readBackfillState } from '../store/backfill.ts';
import { planWindows } from '../sync/plan.ts';
import { knownOf } from '../sync/reach.ts';
import type { RunOptions } from '../sync/run.ts';
import { floorSecond, hull, intersect, subtract, union } from '../sync/spans.ts';

/** How far before the asked time a span may begin: `3d` means a later moment each time it is said. */
const SLACK_MS = 120_000;

/**
 * Throws LogkeepError `config` where `span`, or a part of it, was never asked for of the stream: neither since
 * `askedFrom` or the earliest time on record, nor by a backfill. Reading it once more would make all the time from
 * there to now owed.
 */
export async function refuseUnasked(
  app: App,
  { stream }: OpenStream,
  span: Span,
  askedFrom: Ms,
): Promise<void> {
  const state = await readBackfillState(app.store.pool, stream);
  const from = floorSecond(Math.min(askedFrom, state?.progress.askedFrom ?? Number.POSITIVE_INFINITY));
  const asked = [{ from: from - SLACK_MS, to: Number.POSITIVE_INFINITY }];
  const unasked = hull(subtract([span], union(asked, state === null ? [] : knownOf(state.progress))));
  if (unasked === null) return;
  const { id } = stream;
  const [begin, end, since] = [unasked.from, unasked.to < from - SLACK_MS ? unasked.to : from, from].map(
    textOf,
  );
  throw new LogkeepError(
    'config',
    `--again: ${textOf(span.from)}/${textOf(span.to)}: ${id} is asked for since ${since}, and was never asked for ${begin}/${end}: expected a span after that, or run \`logkeep backfill --stream ${id} --from ${begin} --to ${end}\``,
  );
}

/**
 * What a sync reads, and what is asked for again of older time that a backfill once asked for: `planWindows` knows
 * only what is asked for since the earliest time on record.
 */
export const planAgain: RunOptions['plan'] = (progress, ask) => {
  const older: Spans = [{ from: Number.NEGATIVE_INFINITY, to: floorSecond(progress.askedFrom) }];
  const known = intersect(knownOf(progress), older);
  const again = intersect(ask.again, known);
  const windows = planWindows(progress, ask);
  // A first read reaches back beyond the asked time too.
  return [...subtract(again, union(progress.open, windows)), ...windows];
};

function textOf(ms: Ms): string {
  return new Date(ms).toISOString();
}
