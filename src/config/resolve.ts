import { z } from 'zod';
import { nearest } from '../nearest.ts';
import { MASK, maskAddresses } from './mask.ts';
import { explain, type Problems, showValue } from './problems.ts';
import { expandVariables } from './variables.ts';

/** A value that somebody gave for a setting, and where. */
export interface Given {
  readonly value: unknown;
  /** As errors name it: `logkeep.yaml: streams.datadog.web.settle` or `DD_SITE`. */
  readonly place: string;
  /** Where it came from: `default`, `environment DD_SITE`, `logkeep.yaml`, `--log-level`. */
  readonly from: string;
  /** What an error may show of it. */
  readonly shown: string;
  /** The same of each element of a list. */
  readonly elements?: readonly string[];
}

/** One setting as it is in effect; secrets masked. */
export interface EffectiveSetting {
  /** Such as `streams.qstash.main.settle`. */
  readonly setting: string;
  readonly value: string | number | boolean | readonly string[];
  readonly from: string;
}

/** The values of one mapping of the file: variables replaced, names that are not `known` reported. */
export function takeMapping(
  mapping: Readonly<Record<string, unknown>>,
  options: {
    readonly file: string;
    readonly path: string;
    readonly known: readonly string[];
    readonly secrets: readonly string[];
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly problems: Problems;
  },
): Map<string, Given> {
  const { file, path, known, secrets, env, problems } = options;
  const taken = new Map<string, Given>();
  for (const [key, raw] of Object.entries(mapping)) {
    const place = `${file}: ${path}${key}`;
    if (!known.includes(key)) {
      const meant = nearest(key, known);
      const hint = meant === null ? `expected one of ${known.join(', ')}` : `did you mean ${meant}?`;
      problems.add(place, `unknown setting; ${hint}`);
      continue;
    }
    const { value, variables } = expandVariables(raw, env, place, problems);
    const secret = secrets.includes(key);
    taken.set(key, {
      value,
      place,
      from: [file, ...variables.map((name) => `environment ${name}`)].join(', '),
      shown: showValue(raw, secret),
      ...(Array.isArray(raw) && !secret ? { elements: raw.map((one) => showValue(one, false)) } : {}),
    });
  }
  return taken;
}

/** A value from the environment variable `name`; null if it is unset or blank. */
export function takeVariable(
  name: string,
  env: Readonly<Record<string, string | undefined>>,
  secret: boolean,
): Given | null {
  const value = env[name];
  if (value === undefined || value.trim() === '') return null;
  return { value, place: name, from: `environment ${name}`, shown: showValue(value, secret) };
}

/**
 * Checks the `given` values that `schema` declares; null if any is wrong, which `problems` then says: at the
 * value's place, or at `where` and its name if it is missing, with `note` of its name at the end.
 */
export function check<Schema extends z.ZodObject>(
  schema: Schema,
  given: ReadonlyMap<string, Given>,
  where: string,
  problems: Problems,
  note: (key: string) => string = () => '',
): z.output<Schema> | null {
  const input: Record<string, unknown> = {};
  for (const key of Object.keys(schema.shape)) {
    const value = given.get(key);
    if (value !== undefined) input[key] = value.value;
  }
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const [key = '', ...within] = issue.path.map(String);
    const value = given.get(key);
    const wrong = within.length === 0 && value !== undefined ? wrongElements(schema.shape[key], value) : [];
    for (const { index, shown, found } of wrong) {
      problems.add(`${value?.place}[${index}]`, explain(found, shown) + note(key));
    }
    if (wrong.length > 0) continue;
    const place = (value?.place ?? `${where}${key}`) + within.map((step) => `[${step}]`).join('');
    problems.add(place, explain(issue, value?.shown ?? null) + note(key));
  }
  return null;
}

/** Elements of a list that alone would be wrong too: settings that take a list take one of it as well. */
function wrongElements(
  schema: z.core.$ZodType | undefined,
  { value, elements }: Given,
): readonly { readonly index: number; readonly shown: string; readonly found: z.core.$ZodIssue }[] {
  if (schema === undefined || elements === undefined || !Array.isArray(value)) return [];
  return value.flatMap((one: unknown, index) => {
    const found = z.safeParse(schema, one).error?.issues[0];
    return found === undefined ? [] : [{ index, shown: elements[index] ?? '', found }];
  });
}

/** Every declared setting that has a value, as it was given or else its default, secrets masked. */
export function effective(
  schema: z.ZodObject,
  given: ReadonlyMap<string, Given>,
  path: string,
  secrets: readonly string[],
): readonly EffectiveSetting[] {
  const defaults = defaultsOf(schema);
  return Object.keys(schema.shape).flatMap((key) => {
    const one = given.get(key);
    const value = one === undefined ? defaults[key] : one.value;
    if (value === undefined) return [];
    return [
      {
        setting: `${path}${key}`,
        value: secrets.includes(key) ? MASK : plain(value),
        from: one?.from ?? 'default',
      },
    ];
  });
}

/** Schemas are constants; the streams of a source share one. */
const knownDefaults = new WeakMap<z.ZodObject, Readonly<Record<string, unknown>>>();

/** The declared default of each setting that has one, as it would stand in the file. */
function defaultsOf(schema: z.ZodObject): Readonly<Record<string, unknown>> {
  const known = knownDefaults.get(schema);
  if (known !== undefined) return known;
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' });
  const defaults = Object.fromEntries(
    Object.entries(properties).flatMap(([key, property]) =>
      typeof property === 'object' && property.default !== undefined ? [[key, property.default]] : [],
    ),
  );
  knownDefaults.set(schema, defaults);
  return defaults;
}

function plain(value: unknown): EffectiveSetting['value'] {
  if (typeof value === 'string') return maskAddresses(value.trim());
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  return Array.isArray(value) ? value.map((one) => maskAddresses(String(one))) : String(value);
}
