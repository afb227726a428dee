import type { Ms, Spans } from '../model.ts';
import type { Progress } from './ledger.ts';
import { intersect, subtract, union } from './spans.ts';

/** How far a stream is read. */
export interface Reach {
  /** Up to here all that is asked for is read or known lost, from its beginning on; null: nothing is read from there. */
  readonly untilMs: Ms | null;
  /** What is neither read nor known lost before the newest coverage. */
  readonly holes: Spans;
}

/** What is known of a stream's time. */
type Known = Pick<Progress, 'covered' | 'expired' | 'oversize'>;

/** Time that is read or known lost. */
export function knownOf({ covered, expired, oversize }: Known): Spans {
  return union(covered, expired, oversize);
}

/** Time of `wanted` that is neither read nor known lost. */
export function missingOf(progress: Known, wanted: Spans): Spans {
  return subtract(wanted, knownOf(progress));
}

/** How far from its beginning on a stream's coverage hangs together. */
export function reachOf(progress: Known & Pick<Progress, 'askedFrom'>): Reach {
  const { askedFrom, covered } = progress;
  const known = knownOf(progress);
  const newest = covered.at(-1)?.to ?? askedFrom;
  const first = known.find(({ from, to }) => from <= askedFrom && askedFrom < to);
  const read = first === undefined ? [] : intersect(covered, [{ from: askedFrom, to: first.to }]);
  return { untilMs: read.at(-1)?.to ?? null, holes: subtract([{ from: askedFrom, to: newest }], known) };
}
