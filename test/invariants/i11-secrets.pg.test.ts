import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createWorld, type World } from '../world.ts';

const MAIN = join(import.meta.dirname, '../../src/main.ts');
const TOKENS = {
  qstash: 'qt0ken+/secret=',
  apiKey: 'ap1key-secret-0123456789',
  appKey: 'appkey-secret-0123456789',
};
const VALUES = [
  'Bearer h1dden-bearer',
  'session=h1dden-cookie',
  'h1dden-api-key',
  'h1dden-forwarded',
  'h1dden-mine',
  'h1dden-in-extra',
];
const AT = Date.now() - 3_600_000;

let world: World;
let folder: string;

beforeEach(async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  const clock = { now: () => Date.now(), sleep: async () => {} };
  world = await createWorld({ sandbox: { tokens: TOKENS, clock, qstash: prompt, datadog: prompt } });
  folder = await mkdtemp(join(tmpdir(), 'logkeep-secrets-'));
});
afterEach(async () => {
  await world.close();
  await rm(folder, { recursive: true, force: true });
});

/** Runs the real command; gives all that it printed. */
async function logkeep(
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<{ code: number; said: string }> {
  const all = {
    ...world.sandbox.env,
    DATABASE_URL: world.url,
    PATH: process.env.PATH,
    LOGKEEP_LOG_LEVEL: 'debug',
    ...env,
  };
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, ...args], {
      cwd: folder,
      env: all,
      timeout: 50_000,
    });
    return { code: 0, said: stdout + stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, said: stdout + stderr };
  }
}

/** Every row of every table as text, and the names of files that the command left. */
async function everything(): Promise<string> {
  const tables = await world.query<{ name: string }>(
    `select oid::regclass::text as name from pg_class where relnamespace = 'logkeep'::regnamespace and relkind in ('r', 'p')`,
  );
  const rows: string[] = [];
  for (const { name } of tables) {
    rows.push(
      ...(await world.query<{ row: string }>(`select row_to_json(t)::text as row from ${name} t`)).map(
        ({ row }) => row,
      ),
    );
  }
  const files = await readdir(folder, { recursive: true, withFileTypes: true });
  const contents = await Promise.all(
    files.filter((file) => file.isFile()).map((file) => readFile(join(file.parentPath, file.name), 'latin1')),
  );
  return [...rows, ...contents].join('\n');
}

const hex = (text: string) => Buffer.from(text).toString('hex');

function expectNoSecrets(text: string): void {
  const secrets = [...Object.values(TOKENS), ...VALUES.map((value) => value.replace(/^.*(?=h1dden)/, ''))];
  for (const secret of secrets) {
    for (const form of [
      secret,
      hex(secret),
      encodeURIComponent(secret),
      Buffer.from(secret).toString('base64'),
    ]) {
      expect({ secret, found: text.includes(form) }).toEqual({ secret, found: false });
    }
  }
}

test('I11: neither our credentials nor hidden header values reach a table, a log line, an error or a file', async () => {
  const header = {
    Authorization: [VALUES[0]],
    cookie: [VALUES[1], 'theme=dark'],
    'X-Api-Key': [VALUES[2]],
    'Upstash-Forward-Authorization': [VALUES[3]],
    'X-Mine': [VALUES[4]],
    'Content-Type': ['text/plain'],
  };
  const base = {
    messageId: 'msg_1',
    url: 'https://a.example/',
    header,
    callbackHeaders: header,
    failureCallbackHeaders: header,
    responseHeaders: { 'Set-Cookie': [VALUES[1]] },
  };
  world.sandbox.qstash.add([
    { entry: { ...base, time: AT, state: 'CREATED' } },
    { entry: { ...base, time: AT + 1, state: 'ACTIVE', authorization: VALUES[5] } },
    { entry: { ...base, state: 'ACTIVE' }, atMs: AT + 2 },
    { entry: { ...base, time: AT, state: 'CREATED', method: 'PUT' } },
    {
      entry: `{"time":${AT + 3},"messageId":"msg_2","header":{"Authorization":["${VALUES[0]}"],"Authorization":["${VALUES[0]}"]}}`,
    },
  ]);
  world.sandbox.datadog.history({ from: AT, to: AT + 60_000, logs: 10 });
  const redact = `redact: [x-mine]\nstreams:\n  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}' }\n  datadog.main: { source: datadog, api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}' }\n`;
  await writeFile(join(folder, 'logkeep.yaml'), redact);
  const synced = await logkeep(['sync', '--since', '6h']);
  expect(synced).toMatchObject({ code: 0 });
  world.sandbox.faults.next('qstash', { kind: 'refuse' });
  world.sandbox.faults.next('datadog', { kind: 'refuse' });
  const refused = await logkeep(['sync']);
  expect(refused.code).toBe(1);
  const shown = await logkeep(['config']);
  const dump = await everything();
  expect(dump).toContain('REDACTED:hmac:');
  expect(await world.query('select reason from logkeep.quarantine order by 1')).toEqual([
    { reason: 'identity_clash' },
    { reason: 'no_time' },
  ]);
  expectNoSecrets([dump, synced.said, refused.said, shown.said].join('\n'));
});

test('I11: equal hidden values stay equal, and the request is told apart by what it really held', async () => {
  const entry = (id: string, secret: string) => ({
    entry: {
      messageId: id,
      time: AT,
      state: 'CREATED',
      url: 'https://a.example/',
      header: { Authorization: [secret] },
    },
  });
  world.sandbox.qstash.add([entry('msg_a', 'one'), entry('msg_b', 'one'), entry('msg_c', 'two')]);
  expect(await logkeep(['sync', '--since', '6h'])).toMatchObject({ code: 0 });
  const rows = await world.query<{ hidden: string; hash: string }>(
    `select header -> 'Authorization' ->> 0 as hidden, hash from logkeep.qstash_request order by message_id`,
  );
  const [a, b, c] = rows;
  expect(a?.hidden).toMatch(/^REDACTED:hmac:[0-9a-f]{32}$/);
  expect(b?.hidden).toBe(a?.hidden);
  expect(c?.hidden).not.toBe(a?.hidden);
});

test('I11: a wrong password of the database is not in the error', async () => {
  const url = new URL(world.url);
  url.password = 'wr0ng-secret';
  url.port = '1';
  const { code, said } = await logkeep(['sync'], { DATABASE_URL: url.href });
  expect(code).toBe(1);
  expect(said).not.toContain('wr0ng-secret');
});
