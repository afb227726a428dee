import { amountText, bytesText, countText, isoTime, lengthText, timeText } from '../amounts.ts';
import type { App } from '../app.ts';
import { errorJson, errorText, remedyOf } from '../errors.ts';
import type { Ms } from '../model.ts';
import type { ReadResult } from '../operations/read.ts';
import type { Stream } from '../sources/source.ts';
import { readRecord } from '../store/audit.ts';
import type { Progress } from '../sync/ledger.ts';
import { type Reach, reachOf } from '../sync/reach.ts';
import { hull } from '../sync/spans.ts';
import type { CliContext } from './command.ts';
import { printable } from './table.ts';

const STATE = { done: 'caught up', stopped: 'stopped before the end', failed: 'failed' } as const;
type HowFar = Pick<Progress, 'askedFrom' | 'covered' | 'expired' | 'oversize'>;
/** Of a stream that the database has not seen. */
const NOTHING: HowFar = { askedFrom: Number.NEGATIVE_INFINITY, covered: [], expired: [], oversize: [] };
/** A line names so many holes. */
const MOST_NAMED = 3;

interface ReportOptions {
  readonly context: Pick<CliContext, 'stdout' | 'stderr'>;
  readonly json: boolean;
  /** How much of its last window each stream has read, from 0 to 1; null: not known. */
  readonly shares: ReadonlyMap<string, number | null>;
  /** Where the reading was to end; null: not said. */
  readonly untilMs: Ms | null;
}

/** One line for each stream on stdout, text or JSON; what to do next, where something is left to do, on stderr. */
export async function reportSync(
  app: App,
  results: readonly ReadResult[],
  { context, json, shares, untilMs }: ReportOptions,
): Promise<void> {
  for (const result of results) {
    const { stream, outcome, error, againLeft } = result;
    const record = await readHowFar(app, stream);
    const reach = record && reachOf(record);
    if (json) {
      context.stdout.write(`${JSON.stringify({ ...resultJson(result), ...reachJson(reach) })}\n`);
      continue;
    }
    const since = record?.askedFrom ?? Number.NEGATIVE_INFINITY;
    const pointless = outcome === 'done' && untilMs !== null && untilMs <= since;
    const state = pointless ? 'nothing to read' : STATE[outcome];
    context.stdout.write(`${stream.id}: ${state}: ${deeds(result)}; ${reachText(reach)}\n`);
    if (pointless) {
      context.stderr.write(
        `${stream.id}: --until: ${isoTime(untilMs)}: it is asked for since ${isoTime(since)}: expected a later --until, or an earlier --since\n`,
      );
    }
    const again = hull(againLeft);
    if (outcome === 'stopped' || again !== null) {
      const share = shares.get(stream.id) ?? null;
      const part =
        share === null || share === 1 ? '' : `${Math.floor(share * 100)} % of the window in hand is read; `;
      const command =
        again === null
          ? 'sync again'
          : `\`logkeep sync --stream ${stream.id} --again ${isoTime(again.from)}/${isoTime(again.to)}\``;
      context.stderr.write(`${stream.id}: ${part}run ${command} to go on from there\n`);
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
    meter.waits === 0 ? null : `waited ${lengthText(meter.waitMs)} for quota`,
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
    error: errorJson(error),
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
async function readHowFar(app: App, stream: Stream): Promise<HowFar | null> {
  try {
    const record = await readRecord(app.store, stream);
    return record === null ? NOTHING : { ...record, askedFrom: record.askedFromMs };
  } catch (error) {
    app.log.warn({ error: errorText(error) }, 'coverage not shown');
    return null;
  }
}

function reachText(reach: Reach | null): string {
  if (reach === null) return 'coverage unknown';
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
  const untilMs = reach?.untilMs ?? null;
  return {
    covered_to: isoTime(untilMs),
    holes:
      reach?.holes.map(({ from, to }) => ({ from: isoTime(from), to: isoTime(to), length_ms: to - from })) ??
      null,
  };
}
