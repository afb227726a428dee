import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it, test } from 'vitest';
import { settingsSchema, VALUES } from '../src/config/schema.ts';
import { SOURCES } from '../src/sources/list.ts';

const at = (path: string) => new URL(`../${path}`, import.meta.url);
const read = (path: string) => readFileSync(at(path), 'utf8');

/** Settings of one place of the file, as the schema has them. */
type Properties = Readonly<Record<string, { readonly description?: string; readonly default?: unknown }>>;
/** A row of a table: the setting, what its value may be, its default, its meaning; without backticks. */
type Line = readonly [name: string, values: string, fallback: string, meaning: string];

describe('docs/settings.md shows every setting with its values, default and meaning as declared, and none besides:', () => {
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
    expect(tableOf('Top level').find(([name]) => name === 'alerts')?.[3]).toMatch(
      new RegExp(
        `^${meaningOf(alerts as Properties[string]).slice(0, -1)}: see \\[Alerts\\]\\(#alerts\\)\\.$`,
      ),
    );
  });

  it('in alerts', () => {
    expect(tableOf('Alerts')).toEqual(linesOf(alerts.properties));
  });

  it('of every stream, one default and one range for each source where they differ', () => {
    expect(tableOf('Every stream')).toEqual(
      common.map((name): Line => {
        const declared = sources.map(({ properties }) => properties[name] ?? {});
        const each = (read: typeof fallbackOf, between: string) =>
          [...new Set(declared.map(read))].join(between);
        return [name, each(valuesOf, '; '), each(fallbackOf, ', '), meaningOf(declared[0])];
      }),
    );
  });

  it.each(SOURCES)('that a first read looks back as far as $name declares', ({ name, reachMs = 0 }) => {
    const section = sectionOf('Every stream').replace(/\s+/g, ' ').toLowerCase();
    expect(section).toContain(`${reachMs / 86_400_000} days (${name})`);
  });

  it.each(sources)('of streams of $name', ({ name, properties }) => {
    const own = Object.entries(properties).filter(([setting]) => !common.includes(setting));
    expect(tableOf(`Stream of ${name}`)).toEqual(linesOf(Object.fromEntries(own)));
  });
});

test('README and docs link only to files and headings that exist', () => {
  const docs = readdirSync(at('docs'), { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.md'),
  );
  const links = ['README.md', ...docs.map((name) => `docs/${name}`)].flatMap((page) =>
    [...read(page).matchAll(/\]\(([^)#:]*)(?:#([^)]*))?\)/g)].map(([link, target, heading]) => ({
      link: `${page}: ${link}`,
      file: target ? join(dirname(page), target) : page,
      heading,
    })),
  );
  expect(links.length).toBeGreaterThan(10);
  expect(links.filter(({ file }) => !existsSync(at(file)))).toEqual([]);
  expect(
    links.filter(({ file, heading }) => heading !== undefined && !anchorsOf(read(file)).includes(heading)),
  ).toEqual([]);
});

/** The anchors that GitHub gives the headings of a page. */
function anchorsOf(text: string): readonly string[] {
  return [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}_ -]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** What stands under a heading of docs/settings.md. */
function sectionOf(heading: string): string {
  const [, section = ''] = read('docs/settings.md').split(`\n## ${heading}\n`);
  return section.split('\n## ')[0] ?? '';
}

/** The table under a heading of docs/settings.md. */
function tableOf(heading: string): readonly Line[] {
  return [...sectionOf(heading).matchAll(/^\| (`\w+`) \|(.*?)\|(.*?)\|(.*)\|$/gm)].map(
    ([, ...cells]) => cells.map(plain) as unknown as Line,
  );
}

function linesOf(properties: Properties): readonly Line[] {
  return Object.entries(properties).map(([name, property]) => [
    name,
    valuesOf(property),
    fallbackOf(property),
    meaningOf(property),
  ]);
}

function fallbackOf(property: Properties[string]): string {
  return String(property.default ?? '');
}

function meaningOf({ description = '' }: Properties[string] = {}): string {
  return plain(description.split(VALUES)[0]);
}

function valuesOf({ description = '' }: Properties[string]): string {
  return plain(description.split(VALUES)[1]);
}

function plain(text = ''): string {
  return text.replaceAll('`', '').trim();
}
