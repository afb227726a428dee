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

/** How far from its beginning on a stream's coverage hangs together. */
export function reachOf(progress: Pick<Progress, 'askedFrom' | 'covered' | 'expired' | 'oversize'>): Reach {
  const { askedFrom, covered, expired, oversize } = progress;
  const known = union(covered, expired, oversize);
  const newest = covered.at(-1)?.to ?? askedFrom;
  const first = known.find(({ from, to }) => from <= askedFrom && askedFrom < to);
  const read = first === undefined ? [] : intersect(covered, [{ from: askedFrom, to: first.to }]);
  return { untilMs: read.at(-1)?.to ?? null, holes: subtract([{ from: askedFrom, to: newest }], known) };
}
