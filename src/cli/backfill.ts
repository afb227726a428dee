import { amountText } from '../amounts.ts';
import type { App, OpenStream } from '../app.ts';
import { chooseStreams, loadConfig } from '../config.ts';
import { resolveMoment } from '../durations.ts';
import { makeRoomForNew } from '../memory.ts';
import type { Span } from '../model.ts';
import { askForBackfill, backfillStream, dropBackfills } from '../operations/backfill.ts';
import { previewBackfill } from '../operations/backfill-status.ts';
import { SOURCES } from '../sources/list.ts';
import { backfillJson, isShort, planJson, planText, resultText } from './backfill-view.ts';
import type { CliContext, CommandOptions, ExitCode, Run } from './command.ts';
import { openThere } from './open.ts';
import { createProgress } from './progress.ts';

/** `logkeep backfill`: a chosen span of the past, a plan first; exit 1 where some of it is left to do. */
export const run: Run<'backfill'> = async (options, context) => {
  makeRoomForNew();
  const { env, cwd } = context;
  const { config: file, logLevel, dryRun } = options;
  const config = loadConfig({ env, cwd, file, logLevel, sources: SOURCES });
  const chosen = chooseStreams(config.streams, options.stream);
  // Where no database was made yet, nothing is open that could be gone on with or given up.
  const how = { migrate: !dryRun, make: options.from !== null && !dryRun };
  const app = await openThere(config, chosen, how, options, context);
  try {
    if (options.cancel) return await cancel(app, options, context);
    const spans = new Map(app.streams.map((open) => [open, spanOf(open, options, context)]));
    if (dryRun) return await tellPlans(app, spans, options, context, 'stdout');
    for (const [open, span] of spans) if (span !== null) await askForBackfill(app, open, span);
    await tellPlans(app, spans, options, context, 'stderr');
    return await work(app, options, context);
  } finally {
    await app.close();
  }
};

/** What is asked for, as far as it is old enough to be claimed; null: what is open. */
function spanOf(
  { settings }: OpenStream,
  { from, to }: CommandOptions['backfill'],
  { clock }: CliContext,
): Span | null {
  if (from === null) return null;
  const nowMs = clock.now();
  const begin = resolveMoment(from, nowMs);
  // The API's Date knows whole seconds: so near to now a second could not be claimed, and would count as missing.
  const newest = nowMs - settings.settleMs - 1_000;
  const end = Math.min(to ?? newest, newest);
  return { from: Math.min(begin, end - 1_000), to: end };
}

async function tellPlans(
  app: App,
  spans: ReadonlyMap<OpenStream, Span | null>,
  { json }: CommandOptions['backfill'],
  context: CliContext,
  where: 'stdout' | 'stderr',
): Promise<ExitCode> {
  for (const [open, span] of spans) {
    const preview = await previewBackfill(app, open, span);
    if (json) context.stdout.write(`${JSON.stringify(planJson(open, preview))}\n`);
    else context[where].write(planText(open, preview, context.clock.now()));
  }
  return 0;
}

async function work(app: App, { json }: CommandOptions['backfill'], context: CliContext): Promise<ExitCode> {
  const view = createProgress(context, json);
  try {
    const results = await Promise.all(
      app.streams.map((open) =>
        backfillStream(app, open, {
          signal: context.signal,
          mayRequest: () => true,
          watch: (stream, event) => view.update(stream, event),
        }),
      ),
    );
    view.close();
    for (const result of results) {
      if (json) context.stdout.write(`${JSON.stringify(backfillJson(result))}\n`);
      else {
        const { line, next } = resultText(result);
        context.stdout.write(line);
        context.stderr.write(next);
      }
    }
    return results.some(isShort) ? 1 : 0;
  } finally {
    view.close();
  }
}

async function cancel(
  app: App,
  { json }: CommandOptions['backfill'],
  context: CliContext,
): Promise<ExitCode> {
  for (const open of app.streams) {
    const cancelled = await dropBackfills(app, open);
    const { id } = open.stream;
    context.stdout.write(
      json
        ? `${JSON.stringify({ stream: id, event: 'cancelled', backfills: cancelled })}\n`
        : `${id}: ${amountText(cancelled, 'backfill')} cancelled; what was read stays\n`,
    );
  }
  return 0;
}
