import { resolveMoment } from '../durations.ts';
import { LogkeepError } from '../errors.ts';
import { type Audit, auditStream, isSound } from '../operations/audit.ts';
import { auditJson, auditText } from './audit-view.ts';
import type { Run } from './command.ts';
import { chooseNames, withReadyApp } from './open.ts';
import { createProgress } from './progress.ts';

/**
 * `logkeep audit`: proves a span of each stream by what is on record, what is stored and what the API shows of it
 * now. Loads nothing. Exit 1 on a difference, a hole, an expired span, or where the proof was not got to its end.
 */
export const run: Run<'audit'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const names = chooseNames(
      app.streams.map(({ stream }) => stream.id),
      options.stream,
    );
    const asked = app.streams.filter(({ stream }) => names.includes(stream.id));
    const chosen = asked.filter(({ stream }) => options.by === 'keys' || stream.count !== undefined);
    const uncounted = asked.filter((open) => !chosen.includes(open)).map(({ stream }) => stream.id);
    if (chosen.length === 0 && uncounted.length > 0) {
      const apis = uncounted.map((id) => `the API of ${id} has no counts`).join(', ');
      throw new LogkeepError('config', `--by: "count": ${apis}: expected keys, or --stream with others`);
    }
    for (const id of uncounted) context.stderr.write(`${id}: its API has no counts; use --by keys\n`);
    const now = context.clock.now();
    const from = options.from ?? options.since;
    const found: { stream: string; audit: Audit | null }[] = [];
    for (const open of chosen) {
      const { stream } = open;
      const { id } = stream;
      // With --json stdout is one document: nothing stands there but what was found.
      const view = options.json ? null : createProgress(context, { json: false, live: false });
      const audit = await auditStream(app, open, {
        fromMs: from === null ? null : resolveMoment(from, now),
        toMs: options.to,
        by: options.by,
        signal: context.signal,
        onWait: (waitMs) => {
          if (view === null) app.log.info({ stream: id, wait_ms: Math.round(waitMs) }, 'waiting for quota');
          view?.update(stream, { kind: 'waiting', waitMs });
        },
        onWindow: (window) => {
          app.log.debug({ stream: id, ...window }, 'window compared');
          view?.update(stream, { kind: 'window', window, whole: null });
        },
      }).finally(() => view?.close());
      found.push({ stream: id, audit });
      if (!options.json) {
        const { data, talk } = auditText(id, audit);
        context.stdout.write(data);
        context.stderr.write(talk);
      }
      if (context.signal.aborted) break;
    }
    if (options.json) context.stdout.write(`${JSON.stringify(auditJson(found, uncounted), null, 2)}\n`);
    if (chosen.length === 0) context.stderr.write('no stream is set: `logkeep --help` says how\n');
    return found.every(({ audit }) => audit !== null && isSound(audit)) && !context.signal.aborted ? 0 : 1;
  });
