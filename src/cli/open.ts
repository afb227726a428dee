import {
  type App,
  type DatabaseOptions,
  NoDatabase,
  type OpenDatabase,
  openApp,
  openDatabase,
} from '../app.ts';
import { type Config, type LoadOptions, loadConfig } from '../config.ts';
import { LogkeepError } from '../errors.ts';
import { nearest } from '../nearest.ts';
import { SOURCES } from '../sources/list.ts';
import type { StreamSettings } from '../sources/source.ts';
import type { CliContext, ExitCode, GlobalOptions } from './command.ts';
import { openCommandLog } from './text-log.ts';

/** The settings for a command that needs streams as `streams` says. */
export function readConfig(
  { config: file, logLevel }: GlobalOptions,
  { env, cwd }: CliContext,
  streams: LoadOptions['streams'],
): Config {
  return loadConfig({ env, cwd, file, logLevel, sources: SOURCES, streams });
}

/** Runs `work` with the configured streams open on a database that must be migrated already; closes it all after. */
export async function withReadyApp(
  options: GlobalOptions & { readonly json: boolean },
  context: CliContext,
  work: (app: App) => Promise<ExitCode>,
): Promise<ExitCode> {
  const config = readConfig(options, context, 'optional');
  const app = await openThere(config, config.streams, { migrate: false }, options, context);
  try {
    return await work(app);
  } finally {
    await app.close();
  }
}

/** Runs `work` with the database open, migrated already, and no stream; closes it after. */
export async function withReadyDatabase(
  options: GlobalOptions & { readonly json: boolean },
  context: CliContext,
  work: (database: OpenDatabase) => Promise<ExitCode>,
): Promise<ExitCode> {
  const config = readConfig(options, context, 'optional');
  const log = openCommandLog(config.logLevel, options.json, context.stderr);
  const database = await tellingAbsence(options, context, () =>
    openDatabase(config, log, { migrate: false }),
  );
  try {
    return await work(database);
  } finally {
    await database.close();
  }
}

/** Opens `chosen` on a database as `how` says; with `json` the absence of one is told on stdout too. */
export async function openThere(
  config: Config,
  chosen: readonly StreamSettings[],
  how: DatabaseOptions,
  options: { readonly json: boolean },
  context: Pick<CliContext, 'clock' | 'stdout' | 'stderr'>,
): Promise<App> {
  const log = openCommandLog(config.logLevel, options.json, context.stderr);
  return tellingAbsence(options, context, () => openApp(config, chosen, context.clock, log, how));
}

/** What `open` opens; with `json` the absence of a database is told on stdout too. */
export async function tellingAbsence<T>(
  { json }: { readonly json: boolean },
  { stdout }: Pick<CliContext, 'stdout'>,
  open: () => Promise<T>,
): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (json && error instanceof NoDatabase) {
      const { folder, message } = error;
      stdout.write(`${JSON.stringify({ error: 'no_database', folder, message })}\n`);
    }
    throw error;
  }
}

/** The streams that `--stream` names, or all where it names none; throws as `chooseNames`. */
export function chooseStreams(
  streams: readonly StreamSettings[],
  asked: readonly string[],
): readonly StreamSettings[] {
  const chosen = chooseNames(
    streams.map(({ id }) => id),
    asked,
  );
  return streams.filter(({ id }) => chosen.includes(id));
}

/**
 * Those of `known` that `--stream` names, or all where it names none; throws LogkeepError `config` for a name in
 * `asked` that is not known.
 */
export function chooseNames(known: readonly string[], asked: readonly string[]): readonly string[] {
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
  return asked.length === 0 ? known : known.filter((name) => asked.includes(name));
}
