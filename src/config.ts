import { resolve } from 'node:path';
import {
  ALERT_SECRETS,
  ALERT_VARIABLES,
  type AlertSettings,
  alertSettings,
  alerts,
} from './config/alerts.ts';
import { GENERAL_VARIABLES, general } from './config/declaration.ts';
import { isMapping, readSettingsFile, type SettingsFile } from './config/file.ts';
import type { LogLevel } from './config/log-level.ts';
import { createProblems, type Problems, showValue } from './config/problems.ts';
import {
  check,
  type EffectiveSetting,
  effective,
  type Given,
  takeMapping,
  takeVariable,
} from './config/resolve.ts';
import { resolveStreams } from './config/streams.ts';
import { LogkeepError } from './errors.ts';
import { REDACTED_HEADERS } from './redact.ts';
import type { Source, StreamSettings } from './sources/source.ts';

export type { EffectiveSetting } from './config/resolve.ts';

/** Every setting, checked. Holds secrets, but for `effective`. */
export interface Config {
  /** The settings file that was read, as errors name it; null: none. */
  readonly file: string | null;
  readonly database: {
    /** Null: the embedded Postgres in `dir`. */
    readonly url: string | null;
    /** The same database without a pooler between, for migrations; null: use `url`. */
    readonly directUrl: string | null;
    /** What gave each of them, as errors name it: `DATABASE_URL`, `logkeep.yaml: database_url`; null as they are. */
    readonly from: string | null;
    readonly directFrom: string | null;
    /** Absolute path. */
    readonly dir: string;
  };
  readonly streams: readonly StreamSettings[];
  /** Names of headers to hide, lower case. */
  readonly redact: readonly string[];
  readonly logLevel: LogLevel;
  /** Where `serve` exposes its health; port 0: any free one. */
  readonly host: string;
  readonly port: number;
  readonly alerts: AlertSettings;
  /** How long finished runs are kept. */
  readonly runHistoryMs: number;
  /** All settings in effect, secrets masked, each with where it came from. */
  readonly effective: readonly EffectiveSetting[];
  /** What is set and has no effect, a sentence each. */
  readonly notes: readonly string[];
}

/** Where settings come from. */
export interface LoadOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** `--config`; null: `logkeep.yaml` in `cwd`, if there is one. */
  readonly file: string | null;
  readonly sources: readonly Source[];
  /** `--log-level`; overrides all else. */
  readonly logLevel?: string | null;
  /** `--port`; overrides all else. */
  readonly port?: number | null;
  /** `required` (no stream is an error, the default), `optional`, or `ignored` (not even looked at, for `migrate`). */
  readonly streams?: 'required' | 'optional' | 'ignored';
}

/**
 * The settings of file and environment. Precedence: flag, environment variable, file, default. Throws LogkeepError
 * `config` that names everything wrong at once.
 */
export function loadConfig(options: LoadOptions): Config {
  const { env, cwd, sources, streams: wanted = 'required' } = options;
  const file = readSettingsFile(cwd, options.file);
  const problems = createProblems();
  const given = generalSettings(file, options, problems);
  const checked = check(general, given, '', problems);
  const givenAlerts = alertsGiven(file, env, problems);
  const checkedAlerts = check(alerts, givenAlerts, 'alerts.', problems);
  const { streams, settings, notes } =
    wanted === 'ignored'
      ? { streams: [], settings: [], notes: [] }
      : resolveStreams(file, env, sources, problems);
  problems.throwIfAny();
  if (checked === null || checkedAlerts === null)
    throw new Error('settings are wrong, but no problem was noted');
  if (streams.length === 0 && wanted === 'required') throw new LogkeepError('config', noStream(sources));
  const dirFromFile = given.has('data_dir') && takeVariable(GENERAL_VARIABLES.data_dir, env, false) === null;
  const dir = resolve(file !== null && dirFromFile ? file.dir : cwd, checked.data_dir);
  const redact = checked.redact_only ?? [...new Set([...REDACTED_HEADERS, ...(checked.redact ?? [])])];
  const redactFrom = [
    ...(checked.redact_only === null ? ['default'] : []),
    ...['redact', 'redact_only'].flatMap((key) => given.get(key)?.from ?? []),
  ];
  return {
    file: file?.name ?? null,
    database: {
      url: checked.database_url,
      directUrl: checked.database_url_direct,
      from: given.get('database_url')?.place ?? null,
      directFrom: given.get('database_url_direct')?.place ?? null,
      dir,
    },
    streams,
    redact,
    logLevel: checked.log_level,
    host: checked.host,
    port: checked.port,
    alerts: alertSettings(checkedAlerts),
    runHistoryMs: checked.run_history,
    effective: [
      ...effective(general, given, '', []).filter(({ setting }) => !setting.startsWith('redact')),
      { setting: 'redact', value: redact, from: redactFrom.join(', ') },
      ...effective(alerts, givenAlerts, 'alerts.', ALERT_SECRETS),
      ...settings,
    ],
    notes,
  };
}

function generalSettings(
  file: SettingsFile | null,
  options: LoadOptions,
  problems: Problems,
): Map<string, Given> {
  const { env } = options;
  const given = file === null ? new Map<string, Given>() : generalOfFile(file, env, problems);
  if (takeVariable('DATABASE_URL', env, false) !== null) {
    // A direct address of the file belongs to the database of the file.
    given.delete('database_url_direct');
  }
  for (const [key, name] of Object.entries(GENERAL_VARIABLES)) {
    const found = takeVariable(name, env, false);
    if (found === null) continue;
    const over = given.has(key) ? ` (over ${given.get(key)?.from})` : '';
    given.set(key, { ...found, from: `${found.from}${over}` });
  }
  const flags = { log_level: options.logLevel, port: options.port };
  for (const [key, value] of Object.entries(flags)) {
    if (value === undefined || value === null) continue;
    const place = `--${key.replace('_', '-')}`;
    given.set(key, { value, place, from: place, shown: showValue(value, false) });
  }
  const direct = given.get('database_url_direct');
  if (direct !== undefined && !given.has('database_url')) {
    problems.add(direct.place, `${direct.shown}: expected DATABASE_URL or database_url to be set too`);
  }
  if (given.has('redact') && given.has('redact_only')) {
    problems.add(given.get('redact_only')?.place ?? '', 'expected either redact or redact_only, not both');
  }
  return given;
}

function generalOfFile(file: SettingsFile, env: LoadOptions['env'], problems: Problems): Map<string, Given> {
  const { streams: _streams, defaults: _defaults, alerts: _alerts, ...rest } = file.content;
  const known = [...Object.keys(general.shape), 'alerts', 'defaults', 'streams'];
  return takeMapping(rest, { file: file.name, path: '', known, secrets: [], env, problems });
}

function alertsGiven(
  file: SettingsFile | null,
  env: LoadOptions['env'],
  problems: Problems,
): Map<string, Given> {
  const mapping = file?.content.alerts ?? {};
  const known = Object.keys(alerts.shape);
  const options = { file: file?.name ?? '', path: 'alerts.', known, secrets: ALERT_SECRETS, env, problems };
  const given = isMapping(mapping) ? takeMapping(mapping, options) : new Map<string, Given>();
  if (!isMapping(mapping)) {
    const shown = showValue(mapping, true);
    problems.add(
      `${file?.name}: alerts`,
      `${shown}: expected a mapping such as { slack: '\${SLACK_WEBHOOK}', lag: 15m }`,
    );
  }
  for (const [key, name] of Object.entries(ALERT_VARIABLES)) {
    const found = takeVariable(name, env, true);
    if (found !== null) given.set(key, found);
  }
  return given;
}

/** The variables that make a stream, as a sentence lists them: `A for one, or B and C for another`. */
export function streamVariables(sources: readonly Source[]): string {
  const ways = sources.map(({ name, environment }) => {
    const names = environment.variables.filter(({ required }) => required).map((variable) => variable.name);
    return `${names.join(' and ')} for ${name}`;
  });
  return ways.join(', or ');
}

function noStream(sources: readonly Source[]): string {
  return `no stream is set: expected ${streamVariables(sources)} in the environment, or streams in logkeep.yaml (try \`logkeep demo\` without any key)`;
}
