import type { BenchServer } from '../database.ts';
import type { SourceName } from '../pages.ts';
import type { Line } from './figures.ts';
import { measureFreshness, RATES, SETTINGS } from './freshness.ts';
import { measureCatchUp, measureIdleRequests } from './hours.ts';
import { measureIdle } from './idle.ts';
import { measureTakeover } from './takeover.ts';

/** What `--only` may name. */
export const PARTS = ['hours', 'idle', 'takeover', 'freshness'] as const;
export type Part = (typeof PARTS)[number];

/** So many processes do not start in the same second. */
const APART_MS = 1_000;

/**
 * All figures of scheduled ingestion, or the parts named. Freshness is waiting for the most part, so that all its
 * settings wait at once, and takeover is measured meanwhile; what idling costs is measured alone.
 */
export async function measureServe(
  server: BenchServer,
  parts: readonly Part[],
  sources: readonly SourceName[],
  print: (line: Line) => void,
): Promise<void> {
  const wanted = (part: Part) => parts.includes(part);
  if (wanted('hours')) {
    for (const source of sources) {
      print(await measureCatchUp(server, source));
      print(await measureIdleRequests(server, source));
    }
  }
  if (wanted('idle')) print(await measureIdle(server));
  const waiting: Promise<void>[] = [];
  if (wanted('freshness')) {
    for (const setting of SETTINGS) {
      for (const rate of RATES) {
        const lines = measureFreshness(server, setting, rate);
        waiting.push(lines.then((found) => found.forEach(print)));
        // What fails is told when all have ended.
        lines.catch(() => {});
        await new Promise((resolve) => setTimeout(resolve, APART_MS));
      }
    }
  }
  if (wanted('takeover')) waiting.push(measureTakeover(server).then(print));
  const failed = (await Promise.allSettled(waiting)).find(({ status }) => status === 'rejected');
  if (failed !== undefined) throw (failed as PromiseRejectedResult).reason;
}
