import { execFile } from 'node:child_process';
import { chmod, cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';

const checkout = fileURLToPath(new URL('..', import.meta.url));

/** Versions that npm brings as packages, for this platform. */
const NODES =
  process.platform === 'darwin' && process.arch === 'arm64' ? ['22.23.2', '24.0.0'] : ['22.23.3', '24.21.0'];

let temp: string;
let tree: string;
let tarball: string;
let files: readonly string[];
let version: string;

beforeAll(async () => {
  temp = await realpath(await mkdtemp(join(tmpdir(), 'logkeep-package-')));
  // Root's Postgres runs as another user, who must get through.
  await chmod(temp, 0o755);
  tree = await copyTree(join(temp, 'tree'));
  version = JSON.parse(await readFile(join(tree, 'package.json'), 'utf8')).version;
  const packed = await run('npm', ['pack', '--json', '--silent', '--pack-destination', temp], tree);
  // What the build script says stands before the JSON.
  const [pack] = JSON.parse(packed.slice(packed.indexOf('[\n')));
  tarball = join(temp, pack.filename);
  files = pack.files.map((file: { path: string }) => file.path);
});

afterAll(async () => {
  await rm(temp, { recursive: true, force: true });
});

/** The checkout without what a build or a run made, so that nothing here disturbs it. */
async function copyTree(to: string): Promise<string> {
  const left = new Set(['node_modules', 'dist', '.git', '.logkeep', 'test']);
  await cp(checkout, to, { recursive: true, filter: (path) => !left.has(basename(path)) });
  await symlink(join(checkout, 'node_modules'), join(to, 'node_modules'));
  return to;
}

async function install(name: string, args: readonly string[]): Promise<string> {
  const folder = join(temp, name);
  await mkdir(folder);
  await writeFile(join(folder, 'package.json'), '{"private": true}\n');
  await run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', ...args], folder);
  return folder;
}

/** What a program says on stdout; rejects with all it said if it fails. */
async function run(file: string, args: readonly string[], cwd: string): Promise<string> {
  return (await said(file, args, cwd)).stdout;
}

function said(
  file: string,
  args: readonly string[],
  cwd: string,
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = { cwd, env: environment(), maxBuffer: 1e8, shell: process.platform === 'win32' };
    execFile(file, args, options, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`${file} ${args.join(' ')}: ${error.message}\n${stdout}\n${stderr}`));
    });
  });
}

/** Ours without what would point npm at this checkout, and without a database or keys. */
function environment(): NodeJS.ProcessEnv {
  const ours =
    /^(npm_(package|lifecycle|command|config_(local_prefix|ignore_scripts|global|prefix))|INIT_CWD|DATABASE_URL|QSTASH_|DD_|VITEST|NODE_ENV)/i;
  return {
    ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !ours.test(name))),
    npm_config_update_notifier: 'false',
  };
}

/** Starts the embedded Postgres of an empty folder, makes the tables and stops it again. */
async function migrates(node: string, folder: string): Promise<void> {
  const main = join(folder, 'node_modules', 'logkeep', 'dist', 'src', 'main.js');
  // V8 complains on stderr of flags (`src/memory.ts`) that it does not know.
  expect(await said(node, [main, '--version'], folder)).toEqual({ stdout: `${version}\n`, stderr: '' });
  expect(await run(node, [main, 'migrate'], folder)).toBe('the database is up to date\n');
  await rm(join(folder, '.logkeep'), { recursive: true });
}

test('the package holds the compiled command, licence, readme and schema, and no sources or tests', () => {
  expect(files).toEqual(
    expect.arrayContaining(['dist/src/main.js', 'LICENSE', 'README.md', 'logkeep.schema.json']),
  );
  expect(files.filter((file) => /(^|\/)test\/|(?<!\.d)\.ts$|^\.logkeep/.test(file))).toEqual([]);
});

test('npx runs the command in a checkout, before and after another build', async () => {
  const cache = join(temp, 'npx');
  const asked = ['--offline', '--cache', cache, 'logkeep', '--version'];
  expect(await run('npx', asked, tree)).toBe(`${version}\n`);
  await run('npm', ['run', 'build'], tree);
  expect(await run('npx', asked, tree)).toBe(`${version}\n`);
});

test('the example of the readme compiles in a strict project that has no types of Node or of pg', async () => {
  const folder = join(temp, 'typed');
  const modules = join(folder, 'node_modules');
  await cp(join(tree, 'dist'), join(modules, 'logkeep', 'dist'), { recursive: true });
  await cp(join(tree, 'package.json'), join(modules, 'logkeep', 'package.json'));
  await cp(join(checkout, 'node_modules', 'kysely'), join(modules, 'kysely'), { recursive: true });
  const [, example = ''] = /```ts\n([\s\S]*?)```/.exec(await readFile(join(tree, 'README.md'), 'utf8')) ?? [];
  expect(example).toContain("from 'logkeep'");
  await writeFile(join(folder, 'package.json'), '{"private": true, "type": "module"}\n');
  await writeFile(join(folder, 'example.ts'), example);
  const settings = { module: 'nodenext', target: 'es2023', strict: true, noEmit: true, types: [] };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: settings }));
  const compiler = join(checkout, 'node_modules', 'typescript', 'bin', 'tsc');
  expect(await run(process.execPath, [compiler, '--pretty', 'false'], folder)).toBe('');
});

test('installed elsewhere, the command runs through npx and its Postgres starts', async () => {
  const folder = await install('installed', [tarball]);
  expect(await run('npx', ['--offline', 'logkeep', '--version'], folder)).toBe(`${version}\n`);
  expect(await run('npx', ['--offline', 'logkeep', '--help'], folder)).toContain('sync');
  await migrates(process.execPath, folder);
});

test('without install scripts it does the same, on this Node and on Node 22 and 24', async () => {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node';
  const nodes = NODES.map((wanted) => ({
    wanted,
    alias: `node-${wanted}`,
    source: `npm:${prefix}-${platform}-${process.arch}@${wanted}`,
  }));
  const sources = nodes.map(({ alias, source }) => `${alias}@${source}`);
  const folder = await install('unscripted', ['--ignore-scripts', tarball, ...sources]);
  expect(await run('npx', ['--offline', 'logkeep', '--version'], folder)).toBe(`${version}\n`);
  await migrates(process.execPath, folder);
  for (const { wanted, alias } of nodes) {
    const program = process.platform === 'win32' ? 'node.exe' : 'node';
    const node = join(folder, 'node_modules', alias, 'bin', program);
    expect(await run(node, ['--version'], folder)).toBe(`v${wanted}\n`);
    await migrates(node, folder);
  }
}, 180_000);
