import type { App, OpenStream } from '../app.ts';
import { betweenTicks } from '../config/schedule.ts';
import { type Refusals, readRefusals } from '../store/refusals.ts';

/** No stream is left alone for longer; a job that comes no oftener never is. */
const MOST_REST_MS = 10 * 60_000;

/**
 * Whether a tick leaves a stream alone that was refused with the last ones before it got anything: its requests would be
 * refused again, and be missing where it shares a quota. The rest doubles with each refusal. Those from before the
 * `servedMs` that this process serves with its settings do not count: somebody may have put things right. Throws
 * `database`.
 */
export async function isResting(
  { store }: App,
  { stream }: OpenStream,
  job: { readonly name: string; readonly schedule: string },
  servedMs: number,
): Promise<boolean> {
  const everyMs = betweenTicks(job.schedule);
  if (everyMs >= MOST_REST_MS) return false;
  const refusals = await readRefusals(store.pool, [stream.id, stream.fingerprint], job.name, servedMs);
  return refusals !== null && isWithinRest(refusals, everyMs);
}

/** Ticks are not quite even: the one that comes nearest to the end of the rest ends it. */
export function isWithinRest({ runs, agoMs }: Refusals, everyMs: number): boolean {
  return agoMs < Math.min(everyMs * 2 ** (runs - 1), MOST_REST_MS) - everyMs / 2;
}
