import { expect, it } from 'vitest';
import type { OpenStream } from '../../src/app.ts';
import { planText, resultText } from '../../src/cli/backfill-view.ts';
import type { BackfillResult } from '../../src/operations/backfill.ts';
import type { BackfillPreview } from '../../src/operations/backfill-status.ts';

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
  const others = 'is being read by other processes or is too recent';
  expect(next({ windows: [SPAN] })).toContain('no process is reading it: run `logkeep backfill` to go on');
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'backfill', holder: null }])).toContain(
    'run `logkeep backfill`',
  );
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'sync', holder: null }])).toContain('run `logkeep sync`');
  expect(next({ inHand: [SPAN] }, [{ ...SPAN, job: 'backfill', holder: 'host:1:a' }])).toContain(others);
  expect(next({ later: [SPAN] })).toContain(others);
  expect(next({ expired: [SPAN] })).toContain('is expiring right now');
});

it('counts whole requests, and parts of one only where a window leaves no more', () => {
  const open = { stream: { id: 'qstash.main' }, settings: { retentionMs: 1_000 } } as unknown as OpenStream;
  const paceOf = (each: number) => {
    const estimate = { requests: 4, entries: null, timeMs: 5_000, expiresMs: null };
    const speed = { quota: { now: each, each, periodMs: 1_000 } };
    const preview = { wanted: [SPAN], missing: [SPAN], plan: NONE, held: [], nowMs: 0, estimate, speed };
    return planText(open, preview as unknown as BackfillPreview);
  };
  expect(paceOf(89.9)).toContain('(89 requests now, then 89 in 1 s, after');
  expect(paceOf(0.55)).toContain('(0 requests now, then 0.5 in 1 s, after');
});
