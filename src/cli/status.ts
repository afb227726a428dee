import { withQuotas } from '../operations/pacing.ts';
import { readStatus } from '../store/status.ts';
import type { Run } from './command.ts';
import { chooseNames, withReadyApp } from './open.ts';
import { type Listed, statusJson, statusText } from './status-view.ts';

/** `logkeep status`: how far each stream is, how its last sync went, and what needs attention. */
export const run: Run<'status'> = (options, context) =>
  withReadyApp(options, context, async (app) => {
    const { store, streams } = app;
    const found = await withQuotas(app, await readStatus(store.db));
    const configured = new Map(streams.map(({ stream }) => [stream.id as string, stream.fingerprint]));
    const known = new Map(found.map((status) => [status.stream, status]));
    const names = [...new Set([...configured.keys(), ...known.keys()])];
    const listed = chooseNames(names, options.stream).map((name): Listed => {
      const status = known.get(name) ?? null;
      const wanted = configured.get(name);
      return {
        stream: name,
        status,
        setting:
          wanted === undefined
            ? 'not configured'
            : status !== null && status.fingerprint !== wanted
              ? 'changed'
              : 'in force',
      };
    });
    if (options.json) context.stdout.write(`${JSON.stringify(statusJson(listed), null, 2)}\n`);
    else context.stdout.write(statusText(listed, context.clock.now(), context.stdout.columns ?? null));
    if (listed.length === 0) {
      context.stderr.write(
        'no stream is set, and the database knows none: `logkeep --help` says which environment variables define one\n',
      );
    }
    return 0;
  });
