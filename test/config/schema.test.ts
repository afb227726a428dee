import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { settingsSchema } from '../../src/config/schema.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { toy } from './toy.ts';

// A validator that nobody here wrote.
const { Ajv } = createRequire(import.meta.url)('ajv') as typeof import('ajv');

const published: object = JSON.parse(
  readFileSync(new URL('../../logkeep.schema.json', import.meta.url), 'utf8'),
);
const example = readFileSync(new URL('../fixtures/config/logkeep.yaml', import.meta.url), 'utf8');

function accepts(schema: object, yaml: string): boolean {
  return new Ajv({ allErrors: true, strict: true, allowUnionTypes: true }).compile(schema)(
    parse(yaml),
  ) as boolean;
}

describe('logkeep.schema.json', () => {
  it('is what the declarations say today (else run `node src/main.ts schema > logkeep.schema.json`)', () => {
    expect(published).toEqual(JSON.parse(JSON.stringify(settingsSchema(SOURCES))));
  });

  it('accepts the example of the documentation', () => {
    expect(accepts(published, example)).toBe(true);
  });

  it.each([
    'database_url: postgres://u:p@h/db',
    `database_url: '\${PG}'`,
    'redact: x-session',
    'redact: [x-session, x-other]',
    'defaults: { settle: 30s, overlap: PT15M, quota_reserve: 10%, max_body: 1.5MiB }',
    `streams: { a: { source: qstash, token: t, page_size: '\${N}', settle: '\${S}', state: '\${ST}' } }`,
    'streams: { a: { source: datadog, api_key: a, app_key: b, api: v2, storage_tier: flex, index: [a, b] } }',
  ])('accepts %j', (yaml) => {
    expect(accepts(published, yaml)).toBe(true);
  });

  it.each([
    'stream: {}',
    'streams: {}',
    'streams: { a: { source: qstsh, token: t } }',
    'streams: { a: { source: qstash } }',
    'streams: { a: { token: t } }',
    'streams: { A B: { source: qstash, token: t } }',
    'streams: { a: { source: qstash, token: t, settle: 12 parsecs } }',
    'streams: { a: { source: qstash, token: t, settle: 30 } }',
    'streams: { a: { source: qstash, token: t, page_size: 101 } }',
    'streams: { a: { source: qstash, token: t, state: DELIVRED } }',
    'streams: { a: { source: qstash, token: t, query: x } }',
    'streams: { a: { source: datadog, api_key: a, app_key: b, api: v3 } }',
    'defaults: { token: t }',
    'log_level: loud',
    'max_body: 64MiB',
  ])('refuses %j', (yaml) => {
    expect(accepts(published, yaml)).toBe(false);
  });

  it('describes every setting', () => {
    const silent: string[] = [];
    const walk = (name: string, schema: Record<string, unknown>) => {
      for (const [key, value] of Object.entries(schema)) {
        const at = `${name}.${key}`;
        if (typeof value !== 'object' || value === null) continue;
        if (name.endsWith('.properties') && key !== 'source' && !('description' in value)) silent.push(at);
        walk(at, value as Record<string, unknown>);
      }
    };
    walk('', published as Record<string, unknown>);
    expect(silent).toEqual([]);
  });

  it("shows a source's own defaults, and takes a third source with nothing but its declaration", () => {
    const schema = settingsSchema([toy]);
    expect(accepts(schema, 'streams: { t: { source: toy, key: k, size: 9 } }')).toBe(true);
    expect(accepts(schema, 'streams: { t: { source: toy, key: k, size: 10 } }')).toBe(false);
    expect(JSON.stringify(schema)).toContain('"default":"7d"');
  });
});
