import { amountText, bytesText, countText, lengthText, timeText } from '../amounts.ts';
import type { App } from '../app.ts';
import { CONSEQUENCE } from '../errors.ts';
import type { ReadResult } from '../operations/read.ts';
import { asDatabaseError } from '../store/database.ts';
import type { CliContext } from './command.ts';
import { printable } from './table.ts';

const STATE = { done: 'caught up', stopped: 'stopped before the end', failed: 'failed' } as const;

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
  const until = await coveredUntil(app);
  for (const result of results) {
    const { stream, outcome, error } = result;
    const coveredTo = until.get(stream.id) ?? null;
    if (json) {
      context.stdout.write(
        `${JSON.stringify({ ...resultJson(result), covered_to: coveredTo?.toISOString() ?? null })}\n`,
      );
      continue;
    }
    const far = coveredTo === null ? 'nothing covered yet' : `covered until ${timeText(+coveredTo)}`;
    context.stdout.write(`${stream.id}: ${STATE[outcome]}: ${deeds(result)}; ${far}\n`);
    if (outcome === 'stopped') {
      const share = shares.get(stream.id) ?? null;
      const part =
        share === null || share === 1 ? '' : `${Math.floor(share * 100)} % of the window in hand is read; `;
      context.stderr.write(`${stream.id}: ${part}run sync again to go on from there\n`);
    }
    if (error !== null) {
      const remedy = CONSEQUENCE[error.kind].remedy;
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
    error:
      error === null
        ? null
        : { kind: error.kind, message: error.message, remedy: CONSEQUENCE[error.kind].remedy },
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

/** Where each stream's newest coverage ends. A database that went away meanwhile is told of by the results. */
async function coveredUntil(app: App): Promise<ReadonlyMap<string, Date | null>> {
  try {
    const rows = await app.store.db
      .selectFrom('stream')
      .select((s) => ['stream', s.fn<Date | null>('upper', ['covered']).as('covered_to')])
      .where('active', '=', true)
      .execute();
    return new Map(rows.map((row) => [row.stream, row.covered_to]));
  } catch (error) {
    app.log.warn({ error: asDatabaseError('read the coverage', error).message }, 'coverage not shown');
    return new Map();
  }
}
