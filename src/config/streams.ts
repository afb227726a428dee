import type { z } from 'zod';
import { formatDuration } from '../durations.ts';
import type { StreamId } from '../model.ts';
import type { Source, StreamSettings } from '../sources/source.ts';
import { SHARED_FIELDS, shared, sharedFor } from './declaration.ts';
import { type Declared, environmentStreams, fileStreams, unusedVariables } from './declared.ts';
import { isMapping, type SettingsFile } from './file.ts';
import { type Problems, showValue } from './problems.ts';
import { check, type EffectiveSetting, effective, type Given, takeMapping } from './resolve.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Streams that are in order, and their settings for `logkeep config`; what is wrong is in `problems`. */
export interface ResolvedStreams {
  readonly streams: readonly StreamSettings[];
  readonly settings: readonly EffectiveSetting[];
  /** What of the environment has no effect, a sentence each. */
  readonly notes: readonly string[];
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
  const all: Declared[] = [];
  for (const stream of declared) {
    all.push(stream);
    const resolved = resolveStream(stream, common, problems);
    if (resolved !== null) streams.push(resolved.stream);
    settings.push(...(resolved?.settings ?? []));
  }
  const unused = inFile ? unusedVariables(env, sources, all) : [];
  const notes = unused.map(
    (names) =>
      `${names.join(' and ')} ${names.length === 1 ? 'is' : 'are'} set but unused: ${file?.name} declares the streams`,
  );
  return { streams, settings, notes };
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
  // The file says a stream's own settings too: which of the two is to be seen in `logkeep config`.
  return new Map(
    [...given].map(([key, one]) => [
      key,
      { ...one, from: one.from.replace(file.name, (name) => `${name} (defaults)`) },
    ]),
  );
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
  const isChosen = (key: string) => common.has(key) || given.has(key);
  checkTogether(general ?? thoseInOrder(schema, all), all, isChosen, id, problems);
  if (general === null || own === null) return null;
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
      from: sinceFrom(source, general.retention),
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

function sinceFrom({ reachMs = 0 }: Source, retentionMs: number): string {
  if (reachMs <= retentionMs) return 'default (the retention)';
  return `default (the retention; what the API shows of up to ${formatDuration(reachMs)} is stored too)`;
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

/** The values that are in order, where others are not. */
function thoseInOrder(
  schema: typeof shared,
  all: ReadonlyMap<string, Given>,
): Partial<z.output<typeof shared>> {
  return Object.fromEntries(
    Object.entries(schema.shape).flatMap(([key, setting]) => {
      const { success, data } = setting.safeParse(all.get(key)?.value);
      return success ? [[key, data]] : [];
    }),
  );
}

/** What the shared settings must be to each other, as far as they are in order. */
function checkTogether(
  general: Partial<z.output<typeof shared>>,
  all: ReadonlyMap<string, Given>,
  isChosen: (key: string) => boolean,
  id: string,
  problems: Problems,
): void {
  const { retention, settle, overlap, sweep_after } = general;
  if (retention === undefined) return;
  const refuse = (key: string, expected: string) => {
    const given = all.get(key);
    problems.add(
      given?.place ?? `${id}: ${key}`,
      `${given?.shown ?? 'default'}: expected ${expected} of ${id}`,
    );
  };
  const kept = `the retention of ${formatDuration(retention)}`;
  if (settle !== undefined && settle >= retention) refuse('settle', `less than ${kept}`);
  if (typeof overlap === 'number' && overlap > retention) refuse('overlap', `at most ${kept}`);
  // A horizon that nobody chose means only that nothing is swept of a log as short-lived as that.
  if (isChosen('sweep_after') && sweep_after !== undefined && sweep_after >= retention)
    refuse('sweep_after', `less than ${kept}`);
}
