import type { App, OpenStream } from '../app.ts';
import { betweenTicks } from '../config/schedule.ts';
import { readRefusals } from '../store/refusals.ts';

/** No stream is left alone for longer, unless its schedule does it. */
const MOST_REST_MS = 10 * 60_000;

/**
 * Whether a tick leaves a stream alone that was refused with the last ones: each request of its would be refused too,
 * and be missing where it shares a quota. The rest doubles with each refusal. Those from before the `servedMs` that this
 * process serves with its settings do not count: somebody may have put things right. Throws `database`.
 */
export async function isResting(
  { store }: App,
  { stream }: OpenStream,
  job: { readonly name: string; readonly schedule: string },
  servedMs: number,
): Promise<boolean> {
  const refusals = await readRefusals(store.pool, [stream.id, stream.fingerprint], job.name);
  return refusals !== null && refusals.agoMs < servedMs && isEarly(refusals, betweenTicks(job.schedule));
}

/** Ticks are not quite even: the one that comes nearest to the end of the rest ends it. */
export function isEarly(
  { runs, agoMs }: { readonly runs: number; readonly agoMs: number },
  everyMs: number,
): boolean {
  const restMs = Math.min(everyMs * 2 ** (runs - 1), Math.max(MOST_REST_MS, everyMs));
  return agoMs < restMs - everyMs / 2;
}
