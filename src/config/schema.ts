import { z } from 'zod';
import type { Source } from '../sources/source.ts';
import { alerts } from './alerts.ts';
import { general, STREAM_NAME, STREAM_NAME_LIMIT, shared, sharedFor } from './declaration.ts';

type Schema = Readonly<Record<string, unknown>>;

/** Stands in a description between what a setting means and what its value may be. */
export const VALUES = ' Values: ';

/** The JSON Schema (draft 7, as editors know it) of logkeep.yaml, made of the same declarations that check it. */
export function settingsSchema(sources: readonly Pick<Source, 'name' | 'settings' | 'defaults'>[]): Schema {
  return {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'logkeep.yaml',
    description: `Settings of logkeep. \${NAME} in any text stands for an environment variable, $\${ for a plain \${.`,
    type: 'object',
    properties: {
      ...propertiesOf(general),
      alerts: {
        description: 'Who is alerted, and when.',
        type: 'object',
        properties: propertiesOf(alerts),
        additionalProperties: false,
      },
      defaults: {
        description: 'Settings of all streams, where a stream does not say otherwise.',
        type: 'object',
        properties: Object.fromEntries(
          Object.entries(propertiesOf(shared)).map(([key, { default: _default, ...property }]) => [
            key,
            property,
          ]),
        ),
        additionalProperties: false,
      },
      streams: {
        description: `Streams by name, such as qstash.main. Without this the environment's variables declare them.`,
        type: 'object',
        propertyNames: { pattern: STREAM_NAME.source, maxLength: STREAM_NAME_LIMIT },
        minProperties: 1,
        additionalProperties: { oneOf: sources.map(streamSchema) },
      },
    },
    additionalProperties: false,
  };
}

function streamSchema({ name, settings, defaults }: Pick<Source, 'name' | 'settings' | 'defaults'>): Schema {
  const common = Object.entries(propertiesOf(sharedFor(defaults))).map(([key, property]) => [
    key,
    Object.hasOwn(defaults, key) ? { ...property, default: defaults[key] } : property,
  ]);
  const { required = [] } = z.toJSONSchema(settings, { io: 'input', target: 'draft-7' });
  return {
    title: `stream of ${name}`,
    type: 'object',
    properties: { source: { const: name }, ...propertiesOf(settings), ...Object.fromEntries(common) },
    required: ['source', ...required],
    additionalProperties: false,
  };
}

function propertiesOf(schema: z.ZodObject): Readonly<Record<string, Schema>> {
  const { properties = {} } = z.toJSONSchema(schema, { io: 'input', target: 'draft-7' });
  return Object.fromEntries(
    Object.entries(properties).map(([key, property]) => [
      key,
      allowVariable(describeValues(property as Schema)),
    ]),
  );
}

/** What a value may be stands in the declaration; editors show the description alone. */
function describeValues({ values, ...property }: Schema): Schema {
  if (values === undefined) return property;
  return { ...property, description: `${property.description}${VALUES}${values}` };
}

/** Text of a fixed form may also be, or hold, a variable. */
function allowVariable(property: Schema): Schema {
  if (property.type !== 'string' || (property.pattern === undefined && property.enum === undefined))
    return property;
  const { description, default: fallback, ...form } = property;
  return {
    description,
    ...(fallback === undefined ? {} : { default: fallback }),
    anyOf: [form, { type: 'string', pattern: '\\$\\{[A-Za-z_][A-Za-z0-9_]*\\}' }],
  };
}
