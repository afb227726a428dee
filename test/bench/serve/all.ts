import type { BenchServer } from '../database.ts';
import type { Line } from '../figures.ts';
import type { SourceName } from '../pages.ts';
import { measureFreshness, RATES, SETTINGS, type Setting } from './freshness.ts';
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
  { server, openAnother }: { readonly server: BenchServer; readonly openAnother: () => Promise<BenchServer> },
  { parts, sources }: { readonly parts: readonly Part[]; readonly sources: readonly SourceName[] },
  print: (line: Line) => void,
): Promise<void> {
  const wanted = (part: Part) => parts.includes(part);
  if (wanted('hours')) {
    print(await measureCatchUp(server));
    for (const source of sources) print(await measureIdleRequests(server, source));
  }
  if (wanted('idle')) print(await measureIdle(server));
  // A dozen processes that start take more than the hundred connections of one server.
  const second = wanted('freshness') ? await openAnother() : null;
  try {
    const waiting = second === null ? [] : await startFreshness({ live: server, none: second }, print);
    if (wanted('takeover')) waiting.push(measureTakeover(server).then(print));
    const failed = (await Promise.allSettled(waiting)).find(({ status }) => status === 'rejected');
    if (failed?.status === 'rejected') throw failed.reason;
  } finally {
    await second?.close();
  }
}

/** Starts every setting at every rate, one after the other; the promises say when each has been measured. */
async function startFreshness(
  servers: Readonly<Record<Setting['quota'], BenchServer>>,
  print: (line: Line) => void,
): Promise<Promise<void>[]> {
  const waiting: Promise<void>[] = [];
  for (const setting of SETTINGS) {
    for (const rate of RATES) {
      const printed = measureFreshness(servers[setting.quota], setting, rate).then((lines) =>
        lines.forEach(print),
      );
      // What fails is told when all have ended.
      printed.catch(() => {});
      waiting.push(printed);
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
    }
  }
  return waiting;
}
