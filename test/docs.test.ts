import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { settingsSchema } from '../src/config/schema.ts';
import { SOURCES } from '../src/sources/list.ts';

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const read = (path: string) => readFileSync(at(path), 'utf8');

test('docs/settings.md names every setting that the settings file may have', () => {
  const names = new Set(namesIn(settingsSchema(SOURCES)));
  expect(names.size).toBeGreaterThan(30);
  const text = read('docs/settings.md');
  expect([...names].filter((name) => name !== 'source' && !text.includes(`\`${name}\``))).toEqual([]);
});

test('README and docs link only to files that exist', () => {
  const docs = ['architecture', 'settings', 'performance', 'operations', 'deploy/README'];
  for (const page of ['README.md', ...docs.map((name) => `docs/${name}.md`)]) {
    for (const [, target = ''] of read(page).matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)) {
      const folder = page.slice(0, page.lastIndexOf('/') + 1);
      expect(existsSync(at(folder + target)), `${page} links to ${target}`).toBe(true);
    }
  }
});

function namesIn(schema: unknown): string[] {
  if (typeof schema !== 'object' || schema === null) return [];
  if (Array.isArray(schema)) return schema.flatMap(namesIn);
  const properties = (schema as { properties?: object }).properties ?? {};
  return [...Object.keys(properties), ...Object.values(schema).flatMap(namesIn)];
}
