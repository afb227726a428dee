import { amountText } from '../amounts.ts';
import type { App, OpenStream } from '../app.ts';
import { resolveMoment } from '../durations.ts';
import { makeRoomForNew } from '../memory.ts';
import type { Ms, Span } from '../model.ts';
import { backfillStream, cancelBackfills, requestBackfill } from '../operations/backfill.ts';
import { previewBackfill } from '../operations/backfill-status.ts';
import { floorSecond } from '../sync/spans.ts';
import { backfillJson, isShort, planJson, planText, resultText } from './backfill-view.ts';
import type { CliContext, CommandOptions, ExitCode, Run } from './command.ts';
import { chooseStreams, openThere, readConfig } from './open.ts';
import { createProgress, type ProgressView } from './progress.ts';

/** `logkeep backfill`: a chosen span of the past, a plan first; exit 1 where some of it is left to do. */
export const run: Run<'backfill'> = async (options, context) => {
  makeRoomForNew();
  const { dryRun } = options;
  const config = readConfig(options, context, 'required');
  const chosen = chooseStreams(config.streams, options.stream);
  // Without a database there is no open backfill to go on with or to give up, so it is not made for that.
  const how = { migrate: !dryRun, make: options.from !== null && !dryRun };
  const view = createProgress(context, { json: options.json, live: false });
  const app = await openThere(config, chosen, how, options, { ...context, stderr: view });
  try {
    if (options.cancel) return await cancel(app, options, context);
    const nowMs = context.clock.now();
    const spans = new Map(app.streams.map((open) => [open, spanOf(open, options, nowMs)]));
    if (dryRun) {
      await tellPlans(app, spans, options, context, 'stdout');
      return 0;
    }
    for (const [open, span] of spans) if (span !== null) await requestBackfill(app, open, span);
    const idle = await tellPlans(app, spans, options, context, 'stderr');
    return await work(app, options, context, { view, idle });
  } finally {
    await app.close();
  }
};

/** What is asked for, in whole seconds, as far as it is old enough to be claimed; null: what is open. */
function spanOf({ settings }: OpenStream, { from, to }: CommandOptions['backfill'], nowMs: Ms): Span | null {
  if (from === null) return null;
  const begin = floorSecond(resolveMoment(from, nowMs));
  // The API's Date knows whole seconds: so near to now a second could not be claimed, and would count as missing.
  const newest = nowMs - settings.settleMs - 1_000;
  const end = floorSecond(Math.min(to === null ? newest : resolveMoment(to, nowMs), newest));
  return { from: Math.min(begin, end - 1_000), to: end };
}

/** Returns the streams of which no backfill is open. */
async function tellPlans(
  app: App,
  spans: ReadonlyMap<OpenStream, Span | null>,
  { json }: CommandOptions['backfill'],
  context: CliContext,
  where: 'stdout' | 'stderr',
): Promise<ReadonlySet<string>> {
  const idle = new Set<string>();
  for (const [open, span] of spans) {
    const preview = await previewBackfill(app, open, span);
    if (preview.wanted.length === 0) idle.add(open.stream.id);
    if (json) context.stdout.write(`${JSON.stringify(planJson(open, preview))}\n`);
    else context[where].write(planText(open, preview));
  }
  return idle;
}

interface Working {
  readonly view: ProgressView;
  /** Streams of which it was already said that no backfill is open. */
  readonly idle: ReadonlySet<string>;
}

async function work(
  app: App,
  { json }: CommandOptions['backfill'],
  context: CliContext,
  { view, idle }: Working,
): Promise<ExitCode> {
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
      else if (!idle.has(result.stream.id) || result.outcome === 'failed') {
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
    const cancelled = await cancelBackfills(app, open);
    const { id } = open.stream;
    context.stdout.write(
      json
        ? `${JSON.stringify({ stream: id, event: 'cancelled', backfills: cancelled })}\n`
        : `${id}: ${amountText(cancelled, 'backfill')} cancelled; what was read stays\n`,
    );
  }
  return 0;
}
