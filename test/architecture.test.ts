import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..');

interface SourceFile {
  /** Relative to the root, with slashes. */
  readonly path: string;
  readonly text: string;
  /** Without comments, which may speak of anything. */
  readonly code: string;
  /** Files of this project that it imports, and packages. */
  readonly files: readonly string[];
  readonly packages: readonly string[];
}

const SOURCES = folders('src');
const FILES = SOURCES.concat(folders('migrations'));

function folders(folder: string): readonly SourceFile[] {
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => read(join(entry.parentPath, entry.name)));
}

function read(full: string): SourceFile {
  const path = relative(ROOT, full).split(sep).join('/');
  const text = readFileSync(full, 'utf8');
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  const specifiers = [...code.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*'([^']+)'/g)].map(
    (match) => match[1] as string,
  );
  return {
    path,
    text,
    code,
    files: specifiers
      .filter((name) => name.startsWith('.'))
      .map((name) =>
        normalize(join(dirname(path), name))
          .split(sep)
          .join('/'),
      ),
    packages: specifiers.filter((name) => !name.startsWith('.')),
  };
}

/** `src/sync/run.ts: src/store/copy.ts` for each import out of `rooms` that `allowed` does not hold. */
function strays(room: string, allowed: readonly string[]): readonly string[] {
  return FILES.filter(({ path }) => within(path, room)).flatMap(({ path, files }) =>
    files.filter((file) => !allowed.some((place) => within(file, place))).map((file) => `${path}: ${file}`),
  );
}

function within(path: string, place: string): boolean {
  return path === place || path.startsWith(`${place}/`);
}

/** What every room may know: words, kinds of failure, the clock, logs, traces. */
const WORDS = ['src/model.ts', 'src/errors.ts', 'src/clock.ts', 'src/log.ts', 'src/trace.ts'];
const INTERFACES = ['src/sources/source.ts', 'src/sources/tables.ts'];
const QUOTA = ['src/sources/shared-quota.ts'];
/** How amounts, lengths and times are written for people. */
const TEXT = ['src/amounts.ts', 'src/durations.ts'];
/** Files of the root that join rooms. */
const JOINTS = ['app', 'config', 'index', 'library', 'main'].map((name) => `src/${name}.ts`);
/** The others, which know each other alone, so that every room may have them. */
const TOOLS = SOURCES.map(({ path }) => path).filter(
  (path) => /^src\/[^/]+$/.test(path) && !JOINTS.includes(path),
);

test('the reader of imports sees them all', () => {
  const app = SOURCES.find(({ path }) => path === 'src/app.ts');
  expect(app?.files).toContain('src/store/migrate.ts');
  expect(app?.files).toContain('src/store/embedded.ts');
  expect(app?.packages).toContain('node:crypto');
  expect(SOURCES.length).toBeGreaterThan(60);
});

test('the pump knows the words and two interfaces: no source, no store', () => {
  expect(strays('src/sync', ['src/sync', ...WORDS, ...INTERFACES])).toEqual([]);
});

test('the store knows the words, bytes and escapes, and the interfaces: no API and no pump but its ledger and stock', () => {
  const allowed = [
    ...[
      'src/store',
      'migrations',
      'src/escape.ts',
      'src/bytes.ts',
      'src/base64.ts',
      'src/sync/ledger.ts',
      'src/sync/stock.ts',
    ],
    ...WORDS,
    ...INTERFACES,
    ...QUOTA,
  ];
  expect(strays('src/store', allowed)).toEqual([]);
});

test('a source knows neither the store nor the pump nor another source', () => {
  const names = readdirSync(join(ROOT, 'src/sources'), { withFileTypes: true }).filter((entry) =>
    entry.isDirectory(),
  );
  expect(names.length).toBeGreaterThan(1);
  const shared = SOURCES.map(({ path }) => path).filter(
    (path) => /^src\/sources\/[^/]+\.ts$/.test(path) && path !== 'src/sources/list.ts',
  );
  const tools = [
    'src/json.ts',
    'src/json-scan.ts',
    'src/tape',
    'src/escape.ts',
    'src/bytes.ts',
    'src/base64.ts',
    'src/utf8.ts',
    'src/redact.ts',
    'src/redact-json.ts',
    'src/durations.ts',
  ];
  for (const { name } of names) {
    expect(strays(`src/sources/${name}`, [`src/sources/${name}`, ...shared, ...tools, ...WORDS])).toEqual([]);
  }
  for (const file of shared) expect(strays(file, [...shared, ...tools, ...WORDS])).toEqual([]);
});

test('only the list names the sources', () => {
  const outside = FILES.filter(({ path }) => !within(path, 'src/sources')).flatMap(({ path, files }) =>
    files.filter((file) => /^src\/sources\/[^/]+\//.test(file)).map((file) => `${path}: ${file}`),
  );
  expect(outside).toEqual([]);
});

test('a tool of the root knows no room', () => {
  expect(TOOLS.length).toBeGreaterThan(10);
  for (const tool of TOOLS) expect(strays(tool, TOOLS)).toEqual([]);
});

test('the scanner knows bytes, and nothing of what they mean', () => {
  expect(strays('src/tape', ['src/tape', ...TOOLS])).toEqual([]);
});

test('the settings know what a source declares, and none by name', () => {
  const allowed = ['src/config', 'src/sources/source.ts', 'src/sources/values.ts'];
  expect(strays('src/config', [...allowed, ...TOOLS])).toEqual([]);
  expect(strays('src/config.ts', [...allowed, ...TOOLS])).toEqual([]);
  const named = SOURCES.filter(({ path }) => within(path, 'src/config') || path === 'src/config.ts');
  for (const { path, code } of named)
    expect({ path, found: code.match(/(['"`])(qstash|datadog)\1/gi) }).toEqual({ path, found: null });
});

test('the sandbox imports nothing of the sources: a shared codec would hide a shared mistake', () => {
  expect(strays('src/sandbox', ['src/sandbox', 'src/clock.ts', 'src/model.ts'])).toEqual([]);
});

test('an operation joins app, store and pump, and knows neither who asks for it nor an API', () => {
  const allowed = ['src/operations', 'src/app.ts', 'src/store', 'src/sync', 'src/sources/stream.ts'];
  allowed.push('src/config/schedule.ts');
  expect(strays('src/operations', [...allowed, ...TEXT, ...WORDS, ...INTERFACES])).toEqual([]);
});

test('the scheduler knows the app, the settings, the store and what runs tell: no command, no API', () => {
  const allowed = ['src/serve', 'jobs/job.ts', 'src/app.ts', 'src/config.ts', 'src/config', 'src/store'];
  const told = ['src/sync/run.ts', 'src/sync/spread.ts', 'src/operations/pacing.ts'];
  expect(strays('src/serve', [...allowed, ...told, ...TEXT, ...WORDS, ...INTERFACES])).toEqual([]);
});

test('nobody imports a command but the commands themselves and main', () => {
  const users = FILES.concat(folders('jobs')).filter(({ files }) =>
    files.some((file) => within(file, 'src/cli')),
  );
  expect(
    users.map(({ path }) => path).filter((path) => path !== 'src/main.ts' && !within(path, 'src/cli')),
  ).toEqual([]);
});

test('only the scheduler and the two commands that start it import jobs, and a job calls src alone', () => {
  const users = FILES.filter(({ files }) => files.some((file) => within(file, 'jobs'))).map(
    ({ path }) => path,
  );
  expect(users.filter((path) => !within(path, 'src/serve')).sort()).toEqual([
    'src/cli/run.ts',
    'src/cli/serve.ts',
  ]);
  const jobs = folders('jobs');
  expect(jobs.length).toBeGreaterThan(3);
  for (const { path, files, packages } of jobs) {
    expect({
      path,
      packages,
      stray: files.filter((file) => !within(file, 'src') && !within(file, 'jobs')),
    }).toEqual({
      path,
      packages: [],
      stray: [],
    });
  }
});

test('migrations import kysely alone', () => {
  const migrations = FILES.filter(({ path }) => within(path, 'migrations') && path !== 'migrations/list.ts');
  expect(migrations.length).toBeGreaterThan(3);
  for (const { path, files, packages } of migrations)
    expect({ path, files, packages }).toEqual({ path, files: [], packages: ['kysely'] });
  expect(strays('migrations/list.ts', ['migrations'])).toEqual([]);
});

test('the environment, the arguments and the exit code belong to main', () => {
  const found = SOURCES.filter(({ code }) => /process\.(env|argv|exit|exitCode)\b/.test(code)).map(
    ({ path }) => path,
  );
  expect(found).toEqual(['src/main.ts']);
});

test('nobody in the pump, the store or a source asks the machine for the time', () => {
  const found = SOURCES.filter(
    ({ path, code }) =>
      /^src\/(sync|store|sources|operations|app)/.test(path) && /Date\.now\(|new Date\(\)/.test(code),
  );
  expect(
    found.map(({ path }) => path).filter((path) => !/^src\/store\/(embedded|cluster|binaries)/.test(path)),
  ).toEqual([]);
});

test('the pump holds no SQL and names no source', () => {
  for (const { path, code } of SOURCES.filter(({ path }) => within(path, 'src/sync'))) {
    expect({
      path,
      found: code.match(/qstash|datadog|\bselect\b|\binsert into\b|\bupdate \w+ set\b|kysely|from 'pg'/gi),
    }).toEqual({ path, found: null });
  }
});

test('the store names no table of a source', () => {
  for (const { path, code } of SOURCES.filter(
    ({ path }) => within(path, 'src/store') && path !== 'src/store/schema.ts',
  )) {
    expect({ path, found: code.match(/qstash|datadog/gi) }).toEqual({ path, found: null });
  }
});

test('no file of src is longer than 300 lines', () => {
  const long = SOURCES.map(({ path, text }) => ({ path, lines: text.split('\n').length - 1 })).filter(
    ({ lines }) => lines > 300,
  );
  expect(long).toEqual([]);
});

test('no file imports, through others, itself', () => {
  const graph = new Map(FILES.map(({ path, code }) => [path, runtimeImports(path, code)]));
  const loops: string[] = [];
  for (const start of graph.keys()) {
    const seen = new Set<string>();
    const next = [...(graph.get(start) ?? [])];
    while (next.length > 0) {
      const path = next.pop() as string;
      if (path === start) loops.push(start);
      if (seen.has(path)) continue;
      seen.add(path);
      next.push(...(graph.get(path) ?? []));
    }
  }
  expect(loops).toEqual([]);
});

/** Imports that exist when the code runs: types vanish. */
function runtimeImports(path: string, code: string): readonly string[] {
  const values = code.replace(/^(import|export) type [\s\S]*?from '[^']+';$/gm, '');
  return [...values.matchAll(/\bfrom '(\.[^']+)'/g)].map((match) =>
    normalize(join(dirname(path), match[1] as string))
      .split(sep)
      .join('/'),
  );
}
