import { expect, it } from 'vitest';
import { resultText } from '../../src/cli/backfill-view.ts';
import type { BackfillResult } from '../../src/operations/backfill.ts';

const SPAN = { from: 0, to: 3_000 };
const NONE = { windows: [], expired: [], inHand: [], later: [] };

/** What a backfill says to do next that was done, and has left the span. */
function next(
  plan: Partial<Record<keyof typeof NONE, readonly (typeof SPAN)[]>>,
  held: readonly object[] = [],
): string {
  const left = { missing: [SPAN], plan: { ...NONE, ...plan }, held };
  const totals = { windows: 1, fetched: 0, fresh: 0, known: 0, quarantined: 0 };
  const meter = { requests: 1, retries: 0, waits: 0, waitMs: 0, bytes: 0 };
  const result = { stream: { id: 'qstash.main' }, outcome: 'done', error: null, totals, meter, left };
  return resultText(result as unknown as BackfillResult).next;
}

it('says of what a backfill has left who has it, and what to do where nobody has', () => {
  const others = 'is being read by others, or is too young';
  expect(next({ windows: [SPAN] })).toContain('nobody reads it: run `logkeep backfill` to go on');
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'backfill', holder: null }])).toContain(
    'run `logkeep backfill`',
  );
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'sync', holder: null }])).toContain('run `logkeep sync`');
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'backfill', holder: 'host:1:a' }])).toContain(others);
  expect(next({ later: [SPAN] })).toContain(others);
  expect(next({ expired: [SPAN] })).toContain('is expiring at this moment');
});
