import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
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
/** The Node that the checkout is developed with. */
let ours: string;

beforeAll(async () => {
  temp = await realpath(await mkdtemp(join(tmpdir(), 'logkeep-package-')));
  // Root's Postgres runs as another user, who must get through.
  await chmod(temp, 0o755);
  tree = await copyTree(join(temp, 'tree'));
  const about = JSON.parse(await readFile(join(tree, 'package.json'), 'utf8'));
  version = about.version;
  ours = about.devDependencies.node;
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
  more: NodeJS.ProcessEnv = {},
): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve, reject) => {
    const options = {
      cwd,
      env: { ...environment(), ...more },
      maxBuffer: 1e8,
      shell: process.platform === 'win32',
    };
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

/** The command as it is installed in `folder`. */
function mainOf(folder: string): string {
  return join(folder, 'node_modules', 'logkeep', 'dist', 'src', 'main.js');
}

/** Starts the embedded Postgres of an empty folder, makes the tables and stops it again. */
async function migrates(folder: string): Promise<void> {
  expect(await run(process.execPath, [mainOf(folder), 'migrate'], folder)).toBe(
    'the database is up to date\n',
  );
  await rm(join(folder, '.logkeep'), { recursive: true });
}

/** Both logs of the stand-ins, all of it by this Node, into the embedded Postgres of an empty folder, to the entry and without a word of complaint. */
async function copies(node: string, main: string, folder: string): Promise<void> {
  await mkdir(folder);
  // V8 complains on stderr of flags (`src/memory.ts`) that it does not know.
  expect(await said(node, [main, '--version'], folder)).toEqual({ stdout: `${version}\n`, stderr: '' });
  const sandbox = await startSandbox(node, main, folder);
  try {
    const now = Date.now();
    // What the APIs still take their time to show is not owed yet.
    const [visibleAt, to] = [now, now - 180_000].map((ms) => new Date(ms).toISOString());
    const owed = await truthOf(sandbox.url, `?visible_at=${visibleAt}&to=${to}`);
    expect(Object.values(owed).map((names) => names.length > 100)).toEqual([true, true]);
    const synced = await said(node, [main, 'sync'], folder, sandbox.env);
    expect(synced).toEqual({
      stdout: expect.stringMatching(/^qstash\.main: caught up: .*\ndatadog\.main: caught up: .*\n$/),
      stderr: '',
    });
    const asked = await said(node, [main, 'query', '--json', STORED], folder);
    expect(asked.stderr).toBe('');
    const rows = asked.stdout.trimEnd().split('\n');
    const stored = rows.map((row) => nameOf(JSON.parse(row)));
    expect(new Set(stored).size).toBe(stored.length);
    const all = Object.values(await truthOf(sandbox.url, '')).flat();
    expect(stored.filter((name) => !all.includes(name))).toEqual([]);
    expect(
      Object.values(owed)
        .flat()
        .filter((name) => !stored.includes(name)),
    ).toEqual([]);
  } finally {
    expect(await sandbox.stop()).toEqual({ code: 0, complaints: '' });
  }
  await rm(folder, { recursive: true });
}

interface Named {
  readonly id?: string;
  readonly event_id?: string;
  readonly state?: string | null;
  readonly time: string;
}

/** Tells entries of both logs apart, in the tables as in the sandbox's truth. */
function nameOf({ id, event_id, state, time }: Named): string {
  return `${event_id ?? id} ${state ?? 'log'} ${Date.parse(time)}`;
}

const STORED = `select message_id as id, state, time from logkeep.qstash_log
  union all select event_id, null, timestamp from logkeep.datadog_log`;

async function truthOf(url: string, query: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const truth = (await (await fetch(`${url}/sandbox/truth${query}`)).json()) as Record<string, Named[]>;
  return Object.fromEntries(Object.entries(truth).map(([api, entries]) => [api, entries.map(nameOf)]));
}

/** The stand-ins with an hour of history; `stop` gives the exit code and what was said beside where they are. */
async function startSandbox(node: string, main: string, cwd: string) {
  const args = [main, 'sandbox', '--json', '--entries', '300', '--history', '1h'];
  const child = spawn(node, args, { cwd, env: environment() });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints += text.replace(/^stand-ins for both APIs at .*\n/, '');
  });
  const gone = once(child, 'close');
  const [line] = await Promise.race([
    once(child.stdout.setEncoding('utf8'), 'data'),
    gone.then(([code]) => Promise.reject(new Error(`sandbox: exit ${code}: ${complaints}`))),
  ]);
  const { url, env } = JSON.parse(line) as { url: string; env: Record<string, string> };
  const stop = async () => {
    child.kill('SIGINT');
    const [code] = await gone;
    return { code, complaints };
  };
  return { url, env, stop };
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
  await migrates(folder);
});

test('without install scripts it does the same, and copies both logs on Node 22, 24 and 26', async () => {
  const platform = process.platform === 'win32' ? 'win' : process.platform;
  const prefix = process.platform === 'darwin' && process.arch === 'arm64' ? 'node-bin' : 'node';
  const sources = NODES.map((wanted) => `node-${wanted}@npm:${prefix}-${platform}-${process.arch}@${wanted}`);
  const folder = await install('unscripted', ['--ignore-scripts', tarball, ...sources]);
  expect(await run('npx', ['--offline', 'logkeep', '--version'], folder)).toBe(`${version}\n`);
  const program = process.platform === 'win32' ? 'node.exe' : 'node';
  const nodes = [
    process.execPath,
    ...NODES.map((wanted) => join(folder, 'node_modules', `node-${wanted}`, 'bin', program)),
  ];
  const versions = await Promise.all(nodes.map((node) => run(node, ['--version'], folder)));
  expect(versions).toEqual([ours, ...NODES].map((wanted) => `v${wanted}\n`));
  expect(versions.map((said) => said.slice(0, 3)).sort()).toEqual(['v22', 'v24', 'v26']);
  const main = mainOf(folder);
  // Side by side: much of it is waiting for the disk and for Postgres.
  await Promise.all(
    nodes.map((node, index) => copies(node, main, join(folder, `on ${versions[index]?.trim()}`))),
  );
}, 180_000);
