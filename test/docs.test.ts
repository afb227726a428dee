import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it, test } from 'vitest';
import { settingsSchema } from '../src/config/schema.ts';
import { SOURCES } from '../src/sources/list.ts';

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const read = (path: string) => readFileSync(at(path), 'utf8');

/** Settings of one place of the file, as the schema has them. */
type Properties = Readonly<Record<string, { readonly description?: string; readonly default?: unknown }>>;
/** A row of a table: the setting, its default, its meaning; without backticks. */
type Line = readonly [name: string, fallback: string, meaning: string];

describe('docs/settings.md shows every setting with its default and its meaning as declared, and none besides:', () => {
  const schema = settingsSchema(SOURCES) as unknown as {
    readonly properties: Properties & {
      readonly alerts: { readonly properties: Properties };
      readonly defaults: { readonly properties: Properties };
      readonly streams: {
        readonly additionalProperties: { readonly oneOf: readonly { readonly properties: Properties }[] };
      };
    };
  };
  const { alerts, defaults, streams } = schema.properties;
  const common = Object.keys(defaults.properties);
  const sources = SOURCES.map(({ name }, index) => {
    const { source: _source, ...properties } = streams.additionalProperties.oneOf[index]?.properties ?? {};
    return { name, properties: properties as Properties };
  });

  it('at the top level', () => {
    const { alerts: _alerts, ...others } = schema.properties;
    expect(tableOf('Top level').filter(([name]) => name !== 'alerts')).toEqual(linesOf(others as Properties));
    // Its settings have a table of their own, to which this row leads.
    expect(tableOf('Top level').find(([name]) => name === 'alerts')?.[2]).toMatch(
      new RegExp(
        `^${meaningOf(alerts as Properties[string]).slice(0, -1)}: see \\[Alerts\\]\\(#alerts\\)\\.$`,
      ),
    );
  });

  it('in alerts', () => {
    expect(tableOf('Alerts')).toEqual(linesOf(alerts.properties));
  });

  it('of every stream, one default for each source where they differ', () => {
    expect(tableOf('Every stream')).toEqual(
      common.map((name): Line => {
        const declared = sources.map(({ properties }) => properties[name] ?? {});
        return [name, [...new Set(declared.map(fallbackOf))].join(', '), meaningOf(declared[0])];
      }),
    );
  });

  it.each(sources)('of streams of $name', ({ name, properties }) => {
    const own = Object.entries(properties).filter(([setting]) => !common.includes(setting));
    expect(tableOf(`Stream of ${name}`)).toEqual(linesOf(Object.fromEntries(own)));
  });
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

/** The table under a heading of docs/settings.md. */
function tableOf(heading: string): readonly Line[] {
  const [, section = ''] = read('docs/settings.md').split(`\n## ${heading}\n`);
  const [own = ''] = section.split('\n## ');
  return [...own.matchAll(/^\| (`\w+`) \|(.*?)\|(.*)\|$/gm)].map(
    ([, name, fallback, meaning]) => [name, fallback, meaning].map(plain) as unknown as Line,
  );
}

function linesOf(properties: Properties): readonly Line[] {
  return Object.entries(properties).map(([name, property]) => [
    name,
    fallbackOf(property),
    meaningOf(property),
  ]);
}

function fallbackOf(property: Properties[string]): string {
  return String(property.default ?? '');
}

function meaningOf(property: Properties[string] = {}): string {
  return plain(property.description);
}

function plain(text = ''): string {
  return text.replaceAll('`', '').trim();
}
