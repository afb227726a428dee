import { nearest } from '../nearest.ts';
import type { Source } from '../sources/source.ts';
import { listed } from '../sources/values.ts';
import { STREAM_NAME, STREAM_NAME_LIMIT, shared } from './declaration.ts';
import { isMapping, type SettingsFile } from './file.ts';
import { type Problems, showValue } from './problems.ts';
import { check, type Given, takeMapping, takeVariable } from './resolve.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** A stream as it was declared, its values not checked yet. */
export interface Declared {
  readonly id: string;
  readonly source: Source;
  readonly given: ReadonlyMap<string, Given>;
  /** What stands before a setting's name where it is missing. */
  readonly where: string;
}

/** The streams of the file, also those with a wrong name; one by one, so that all problems of a stream stand together. */
export function* fileStreams(
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
    }
    if (!isMapping(settings)) {
      const example = `{ source: ${sources[0]?.name ?? 'name'}, ... }`;
      problems.add(place, `${showValue(settings, true)}: expected a mapping such as ${example}`);
      continue;
    }
    const source = sourceNamed(settings.source, sources, place, problems);
    const where = `${place}.`;
    const take = (mapping: typeof settings, known: readonly string[], secrets: readonly string[]) =>
      takeMapping(mapping, { file: file.name, path: `streams.${id}.`, known, secrets, env, problems });
    if (source === null) {
      const common = Object.keys(shared.shape);
      const some = Object.entries(settings).filter(([key]) => common.includes(key));
      check(shared, take(Object.fromEntries(some), common, []), where, problems);
      continue;
    }
    const known = ['source', ...Object.keys(source.settings.shape), ...Object.keys(shared.shape)];
    yield { id, source, given: take(settings, known, source.secrets), where };
  }
}

/** The source of this name, or the one that was probably meant, so that the rest can be checked; null: nobody knows. */
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
  return sources.find(({ name }) => name === meant) ?? null;
}

/** The streams that environment variables alone declare: one of each source whose required variables are set. */
export function environmentStreams(
  env: Environment,
  sources: readonly Source[],
  problems: Problems,
): readonly Declared[] {
  return sources.flatMap((source): Declared[] => {
    const { stream: id, variables } = source.environment;
    const given = new Map<string, Given>();
    for (const { name, setting } of variables) {
      const found = takeVariable(name, env, source.secrets.includes(setting));
      if (found !== null) given.set(setting, found);
    }
    const required = variables.filter((variable) => variable.required);
    const missing = required.filter(({ setting }) => !given.has(setting));
    if (missing.length === required.length) return [];
    const others = required.filter((one) => !missing.includes(one)).map((one) => one.name);
    for (const { name, setting, help } of missing) {
      problems.add(name, `missing, while ${others.join(' and ')} is set: expected both or neither (${help})`);
      // In the place where its absence is told already, so that the check of the others tells it no second time.
      given.set(setting, { value: undefined, place: name, from: '', shown: '' });
    }
    return [{ id, source, given, where: `environment: ${id}: ` }];
  });
}

/**
 * Where the file declares the streams: the variables of each source that could make one, but that no stream of the
 * file names, nor has another value for.
 */
export function unusedVariables(
  env: Environment,
  sources: readonly Source[],
  declared: readonly Declared[],
): readonly (readonly string[])[] {
  const named = new Set(
    declared.flatMap(({ given }) => [...given.values()].flatMap(({ from }) => from.split(', '))),
  );
  return sources.flatMap((source) => {
    const { variables } = source.environment;
    const isSet = ({ name }: (typeof variables)[number]) => takeVariable(name, env, true) !== null;
    if (!variables.filter(({ required }) => required).every(isSet)) return [];
    const streams = declared.filter((stream) => stream.source === source);
    const unused = variables.filter(
      (one) =>
        isSet(one) &&
        !named.has(`environment ${one.name}`) &&
        (streams.length === 0 || streams.some(({ given }) => !given.has(one.setting))),
    );
    return unused.length === 0 ? [] : [unused.map(({ name }) => name)];
  });
}
