import { isoTime } from '../amounts.ts';
import { readQuotasOf, spreadOnRecord, withQuotas } from '../operations/pacing.ts';
import { readModel } from '../serve/read-model.ts';
import { explain, type Why } from '../serve/why.ts';
import type { Run } from './command.ts';
import { chooseNames, withReadyApp } from './open.ts';
import { printable } from './table.ts';

/** `logkeep why`: one sentence a stream. */
export const run: Run<'why'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const { store, streams } = app;
    const { streams: statuses, processes } = await readModel(store.db);
    const found = await withQuotas(app, statuses);
    const quotas = await readQuotasOf(app);
    const configured = new Map(
      streams.map((open) => [
        open.stream.id as string,
        { ...open, spread: spreadOnRecord(open, streams, quotas, context.clock.now()) },
      ]),
    );
    const known = new Map(found.map((status) => [status.stream, status]));
    const names = [...new Set([...configured.keys(), ...known.keys()])];
    const told = chooseNames(names, options.stream).map((name) => {
      const own = configured.get(name);
      const status = known.get(name) ?? null;
      // Progress under other filters says nothing of what is asked for now.
      const same = own === undefined || status?.fingerprint === own.stream.fingerprint;
      return explain({
        stream: name,
        status: same ? status : null,
        settleMs: own?.settings.settleMs ?? null,
        processes: processes.length,
        changed: !same && status !== null,
        spread: own?.spread ?? null,
      });
    });
    if (options.json) context.stdout.write(`${JSON.stringify({ streams: told.map(asJson) }, null, 2)}\n`);
    else for (const { sentence } of told) context.stdout.write(`${printable(sentence)}\n`);
    if (told.length === 0) {
      context.stderr.write(
        'no stream is set, and the database knows none: `logkeep --help` says which environment variables define one\n',
      );
    }
    return 0;
  });

function asJson({ stream, cause, sentence, behindMs, next, lostMs, sinceMs, untilMs }: Why): unknown {
  return {
    stream,
    cause,
    sentence,
    behind_ms: behindMs,
    next_window: next && { from: isoTime(next.from), to: isoTime(next.to) },
    lost_ms: lostMs,
    since: isoTime(sinceMs),
    until: isoTime(untilMs),
  };
}
