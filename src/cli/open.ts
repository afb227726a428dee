import { type App, type DatabaseOptions, NoDatabase, openApp } from '../app.ts';
import { type Config, loadConfig } from '../config.ts';
import { LogkeepError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { SOURCES } from '../sources/list.ts';
import type { StreamSettings } from '../sources/source.ts';
import type { CliContext, ExitCode, GlobalOptions } from './command.ts';
import { openCommandLog } from './text-log.ts';

/** The settings for a command that also works where no stream is set. */
export function readConfig(options: GlobalOptions, { env, cwd }: CliContext): Config {
  const { config: file, logLevel } = options;
  return loadConfig({ env, cwd, file, logLevel, sources: SOURCES, streams: 'optional' });
}

/** Runs `work` with the configured streams open on a database that must be migrated already; closes it all after. */
export async function withReadyApp(
  options: GlobalOptions & { readonly json: boolean },
  context: CliContext,
  work: (app: App) => Promise<ExitCode>,
): Promise<ExitCode> {
  const config = readConfig(options, context);
  const app = await openThere(config, config.streams, { migrate: false }, options, context);
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}

/** Opens `chosen` on a database as `how` says; with `json` the absence of one is told on stdout too. */
export async function openThere(
  config: Config,
  chosen: readonly StreamSettings[],
  how: DatabaseOptions,
  { json }: { readonly json: boolean },
  { clock, stdout, stderr }: Pick<CliContext, 'clock' | 'stdout' | 'stderr'>,
): Promise<App> {
  try {
    return await openApp(config, chosen, clock, openCommandLog(config.logLevel, json, stderr), how);
  } catch (error) {
    if (json && error instanceof NoDatabase) {
      const { folder, message } = error;
      stdout.write(`${JSON.stringify({ error: 'no_database', folder, message })}\n`);
    }
    throw error;
  }
}

/** Throws LogkeepError `config` for a name in `asked` (of `--stream`) that is not in `known`. */
export function refuseUnknownStreams(asked: readonly string[], known: readonly string[]): void {
  for (const name of asked) {
    if (known.includes(name)) continue;
    const meant = nearest(name, known);
    throw new LogkeepError(
      'config',
      `--stream: "${name}": expected one of ${known.join(', ') || 'none: no stream is set, and the database knows none'}${
        meant === null ? '' : `; did you mean ${meant}?`
      }`,
    );
  }
}
