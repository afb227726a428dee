import type { z } from 'zod';
import { formatDuration } from '../durations.ts';
import type { StreamId } from '../model.ts';
import { nearest } from '../nearest.ts';
import type { Source, StreamSettings } from '../sources/source.ts';
import { listed } from '../sources/values.ts';
import { SHARED_FIELDS, STREAM_NAME, STREAM_NAME_LIMIT, shared, sharedFor } from './declaration.ts';
import { isMapping, type SettingsFile } from './file.ts';
import { type Problems, showValue } from './problems.ts';
import { check, type EffectiveSetting, effective, type Given, takeMapping, takeVariable } from './resolve.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Streams that are in order, and their settings for `logkeep config`; what is wrong is in `problems`. */
export interface ResolvedStreams {
  readonly streams: readonly StreamSettings[];
  readonly settings: readonly EffectiveSetting[];
}

interface Declared {
  readonly id: string;
  readonly source: Source;
  readonly given: ReadonlyMap<string, Given>;
  /** What stands before a setting's name where it is missing. */
  readonly where: string;
}

/** The streams that the file declares; if it declares none, those of the environment variables. */
export function resolveStreams(
  file: SettingsFile | null,
  env: Environment,
  sources: readonly Source[],
  problems: Problems,
): ResolvedStreams {
  const inFile = file !== null && Object.hasOwn(file.content, 'streams');
  const common = file === null ? new Map<string, Given>() : fileDefaults(file, env, problems);
  const declared = inFile
    ? fileStreams(file, env, sources, problems)
    : environmentStreams(env, sources, problems);
  const streams: StreamSettings[] = [];
  const settings: EffectiveSetting[] = [];
  for (const stream of declared) {
    const resolved = resolveStream(stream, common, problems);
    if (resolved !== null) streams.push(resolved.stream);
    settings.push(...(resolved?.settings ?? []));
  }
  return { streams, settings };
}

function fileDefaults(file: SettingsFile, env: Environment, problems: Problems): Map<string, Given> {
  const defaults = file.content.defaults ?? {};
  if (!isMapping(defaults)) {
    const shown = showValue(defaults, false);
    problems.add(`${file.name}: defaults`, `${shown}: expected a mapping such as { settle: 30s }`);
    return new Map();
  }
  const known = Object.keys(shared.shape);
  const given = takeMapping(defaults, {
    file: file.name,
    path: 'defaults.',
    known,
    secrets: [],
    env,
    problems,
  });
  check(shared, given, '', problems);
  return given;
}

/** One by one, so that all problems of a stream stand together. */
function* fileStreams(
  file: SettingsFile,
  env: Environment,
  sources: readonly Source[],
  problems: Problems,
): Generator<Declared> {
  const streams = file.content.streams;
  if (!isMapping(streams) || Object.keys(streams).length === 0) {
    const shown = isMapping(streams) ? 'empty' : showValue(streams, false);
    problems.add(`${file.name}: streams`, `${shown}: expected a mapping from stream names to their settings`);
    return;
  }
  for (const [id, settings] of Object.entries(streams)) {
    const place = `${file.name}: streams.${id}`;
    if (!STREAM_NAME.test(id) || id.length > STREAM_NAME_LIMIT) {
      problems.add(
        place,
        `expected a name of at most ${STREAM_NAME_LIMIT} lower-case letters, digits, - and _, with dots between, such as qstash.main`,
      );
    } else if (!isMapping(settings)) {
      const example = `{ source: ${sources[0]?.name ?? 'name'}, ... }`;
      problems.add(place, `${showValue(settings, true)}: expected a mapping such as ${example}`);
    } else {
      const source = sourceNamed(settings.source, sources, place, problems);
      if (source === null) continue;
      const path = `streams.${id}.`;
      const known = ['source', ...Object.keys(source.settings.shape), ...Object.keys(shared.shape)];
      const { secrets } = source;
      const given = takeMapping(settings, { file: file.name, path, known, secrets, env, problems });
      yield { id, source, given, where: `${file.name}: ${path}` };
    }
  }
}

function sourceNamed(
  said: unknown,
  sources: readonly Source[],
  place: string,
  problems: Problems,
): Source | null {
  const found = sources.find(({ name }) => name === said);
  if (found !== undefined) return found;
  const names = sources.map(({ name }) => name);
  const meant = typeof said === 'string' ? nearest(said, names) : null;
  const hint = meant === null ? '' : `; did you mean ${meant}?`;
  const shown = said === undefined ? 'missing' : showValue(said, false);
  problems.add(`${place}.source`, `${shown}: expected ${listed(names)}${hint}`);
  return null;
}

function environmentStreams(
  env: Environment,
  sources: readonly Source[],
  problems: Problems,
): readonly Declared[] {
  return sources.flatMap((source): Declared[] => {
    const { stream: id, variables } = source.environment;
    const found = new Map<string, Given>();
    for (const { name, setting } of variables) {
      const given = takeVariable(name, env, source.secrets.includes(setting));
      if (given !== null) found.set(setting, given);
    }
    const required = variables.filter((variable) => variable.required);
    const missing = required.filter(({ setting }) => !found.has(setting));
    if (missing.length === required.length) return [];
    for (const { name, help } of missing) {
      const others = required.filter((one) => !missing.includes(one)).map((one) => one.name);
      problems.add(name, `missing, while ${others.join(' and ')} is set: expected both or neither (${help})`);
    }
    return missing.length > 0 ? [] : [{ id, source, given: found, where: `environment: ${id}: ` }];
  });
}

function resolveStream(
  { id, source, given, where }: Declared,
  common: ReadonlyMap<string, Given>,
  problems: Problems,
): { readonly stream: StreamSettings; readonly settings: readonly EffectiveSetting[] } | null {
  const path = `streams.${id}.`;
  const all = new Map([...sourceDefaults(source), ...common, ...given]);
  const own = check(source.settings, given, where, problems);
  const schema = sharedFor(source.defaults);
  const isCommon = (key: string) => common.has(key) && !given.has(key);
  const general = check(schema, all, where, problems, (key) => (isCommon(key) ? ` for ${id}` : ''));
  if (general === null) return null;
  checkTogether(general, all, id, problems);
  if (own === null) return null;
  const since = general.since ?? { agoMs: general.retention };
  const renamed = Object.fromEntries(
    Object.entries(SHARED_FIELDS).map(([key, field]) => [field, general[key as keyof typeof general]]),
  ) as Omit<StreamSettings, 'id' | 'source' | 'own' | 'since' | 'overlapAuto'>;
  const overlapAuto = general.overlap === 'auto';
  const reach = general.since === null && source.reachMs !== undefined ? { reachMs: source.reachMs } : {};
  const stream: StreamSettings = {
    ...renamed,
    ...reach,
    ...(overlapAuto ? { overlapMs: defaultOverlapMs(source) } : {}),
    overlapAuto,
    since,
    id: id as StreamId,
    source: source.name,
    own,
  };
  const retention = all.get('retention');
  if (!all.has('since') && retention !== undefined) {
    all.set('since', {
      ...retention,
      from: 'default (the retention, and what is older if the API shows it)',
    });
  }
  const from = given.get('source')?.from ?? `environment ${source.environment.variables[0]?.name ?? ''}`;
  return {
    stream,
    settings: [
      { setting: `${path}source`, value: source.name, from },
      ...effective(source.settings, given, path, source.secrets),
      ...effective(schema, all, path, []),
    ],
  };
}

function sourceDefaults(source: Source): Map<string, Given> {
  return new Map(
    Object.entries(source.defaults).map(([key, value]) => [
      key,
      {
        value,
        place: `default of ${source.name}: ${key}`,
        from: `default of ${source.name}`,
        shown: String(value),
      },
    ]),
  );
}

function defaultOverlapMs(source: Source): number {
  const { overlap } = sharedFor(source.defaults).parse(source.defaults);
  return typeof overlap === 'number' ? overlap : 0;
}

/** What the shared settings must be to each other. */
function checkTogether(
  general: z.output<typeof shared>,
  all: ReadonlyMap<string, Given>,
  id: string,
  problems: Problems,
): void {
  const { retention, settle, overlap, sweep_after } = general;
  const refuse = (key: string, expected: string) => {
    const given = all.get(key);
    problems.add(
      given?.place ?? `${id}: ${key}`,
      `${given?.shown ?? 'default'}: expected ${expected} of ${id}`,
    );
  };
  if (settle >= retention) refuse('settle', `less than the retention of ${formatDuration(retention)}`);
  if (overlap !== 'auto' && overlap > retention)
    refuse('overlap', `at most the retention of ${formatDuration(retention)}`);
  // A horizon that nobody chose means only that nothing is swept of a log as short-lived as that.
  const chosen = all.get('sweep_after')?.from.startsWith('default') === false;
  if (chosen && sweep_after >= retention)
    refuse('sweep_after', `less than the retention of ${formatDuration(retention)}`);
}
