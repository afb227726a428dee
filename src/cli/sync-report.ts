import { amountText, bytesText, countText, lengthText, timeText } from '../amounts.ts';
import type { App } from '../app.ts';
import { remedyOf } from '../errors.ts';
import type { ReadResult } from '../operations/read.ts';
import type { Stream } from '../sources/source.ts';
import { readRecord } from '../store/audit.ts';
import { type Reach, reachOf } from '../sync/reach.ts';
import type { CliContext } from './command.ts';
import { printable } from './table.ts';

const STATE = { done: 'caught up', stopped: 'stopped before the end', failed: 'failed' } as const;
const NOTHING: Reach = { untilMs: null, holes: [] };
/** A line names so many holes. */
const MOST_NAMED = 3;

interface ReportOptions {
  readonly context: Pick<CliContext, 'stdout' | 'stderr'>;
  readonly json: boolean;
  /** How much of its last window each stream has read, from 0 to 1; null: not known. */
  readonly shares: ReadonlyMap<string, number | null>;
}

/** One line for each stream on stdout, text or JSON; what to do next, where something is left to do, on stderr. */
export async function reportSync(
  app: App,
  results: readonly ReadResult[],
  { context, json, shares }: ReportOptions,
): Promise<void> {
  for (const result of results) {
    const { stream, outcome, error } = result;
    const reach = await readReach(app, stream);
    if (json) {
      context.stdout.write(`${JSON.stringify({ ...resultJson(result), ...reachJson(reach) })}\n`);
      continue;
    }
    context.stdout.write(`${stream.id}: ${STATE[outcome]}: ${deeds(result)}; ${reachText(reach)}\n`);
    if (outcome === 'stopped') {
      const share = shares.get(stream.id) ?? null;
      const part =
        share === null || share === 1 ? '' : `${Math.floor(share * 100)} % of the window in hand is read; `;
      context.stderr.write(`${stream.id}: ${part}run sync again to go on from there\n`);
    }
    if (error !== null) {
      const remedy = remedyOf(error);
      context.stderr.write(`logkeep: ${printable(error.message)} (${remedy})\n`);
    }
  }
}

function deeds({ totals, meter }: ReadResult): string {
  const parts = [
    `${amountText(totals.fresh, 'new entry', 'new entries')}`,
    `${countText(totals.known)} known`,
    totals.quarantined === 0 ? null : `${countText(totals.quarantined)} quarantined`,
    `${amountText(meter.requests, 'request')}`,
    meter.retries === 0 ? null : `${amountText(meter.retries, 'retry', 'retries')}`,
    meter.waits === 0 ? null : `${lengthText(meter.waitMs)} waited for quota`,
    bytesText(meter.bytes),
  ];
  return parts.filter((part) => part !== null).join(', ');
}

/** How reading a stream went, for machines. */
export function resultJson({
  stream,
  outcome,
  error,
  totals,
  meter,
}: ReadResult): Readonly<Record<string, unknown>> {
  return {
    stream: stream.id,
    event: 'end',
    outcome,
    error: error === null ? null : { kind: error.kind, message: error.message, remedy: remedyOf(error) },
    windows: totals.windows,
    fetched: totals.fetched,
    new: totals.fresh,
    known: totals.known,
    quarantined: totals.quarantined,
    requests: meter.requests,
    retries: meter.retries,
    waits: meter.waits,
    wait_ms: Math.round(meter.waitMs),
    bytes: meter.bytes,
  };
}

/** How far a stream is read; null: not known. A database that went away meanwhile is told of by the results. */
async function readReach(app: App, stream: Stream): Promise<Reach | null> {
  try {
    const record = await readRecord(app.store, stream);
    return record === null ? NOTHING : reachOf({ ...record, askedFrom: record.askedFromMs });
  } catch (error) {
    app.log.warn({ error: String(error) }, 'coverage not shown');
    return null;
  }
}

function reachText(reach: Reach | null): string {
  if (reach === null) return 'coverage not known';
  const { untilMs, holes } = reach;
  const far = untilMs === null ? 'nothing covered yet' : `covered until ${timeText(untilMs)}`;
  if (holes.length === 0) return far;
  const named = holes
    .slice(0, MOST_NAMED)
    .map(({ from, to }) => `${timeText(from)} to ${timeText(to)} (${lengthText(to - from)})`);
  const more = holes.length > MOST_NAMED ? ' and more: `logkeep gaps` shows them' : '';
  return `${far}; ${amountText(holes.length, 'hole')}: ${named.join(', ')}${more}`;
}

/** `covered_to`: up to there all that is asked for is read or known lost, from its beginning on. */
function reachJson(reach: Reach | null): Readonly<Record<string, unknown>> {
  const iso = (ms: number) => new Date(ms).toISOString();
  const untilMs = reach?.untilMs ?? null;
  return {
    covered_to: untilMs === null ? null : iso(untilMs),
    holes:
      reach?.holes.map(({ from, to }) => ({ from: iso(from), to: iso(to), length_ms: to - from })) ?? null,
  };
}
