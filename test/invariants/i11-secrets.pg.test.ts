import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { bareEnvironment } from '../environment.ts';
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
  'h1dden-by-its-ending',
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
    ...bareEnvironment(),
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
    'X-Gitlab-Token': [VALUES[6]],
    'Content-Type': ['text/plain'],
  };
  const base = {
    messageId: 'msg_1',
    url: 'https://a.example/',
    header,
    callbackHeaders: header,
    failureCallbackHeaders: header,
    responseHeaders: {
      'Set-Cookie': [VALUES[1]],
      'Upstash-Callback-Forward-X-Hub-Signature-256': [VALUES[6]],
    },
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

test('I11: equal hidden values stay equal, and other ones stay apart', async () => {
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
  const rows = await world.query<{ hidden: string }>(
    `select header -> 'Authorization' ->> 0 as hidden from logkeep.qstash_request order by message_id`,
  );
  const [a, b, c] = rows;
  expect(a?.hidden).toMatch(/^REDACTED:hmac:[0-9a-f]{32}$/);
  expect(b?.hidden).toBe(a?.hidden);
  expect(c?.hidden).not.toBe(a?.hidden);
});

test('I11: a request that redaction hides in part keeps its hash, whatever list of headers is hidden', async () => {
  const entry = (time: number, secret: string, mine: string) => ({
    entry: {
      messageId: 'msg_1',
      time,
      state: 'ACTIVE',
      url: 'https://a.example/',
      header: { Authorization: [secret], 'X-Mine': [mine] },
    },
  });
  world.sandbox.qstash.add([
    entry(AT, 'one', 'a'),
    entry(AT + 1, 'two', 'a'),
    entry(AT + 2, 'one', 'b'),
    entry(AT + 3, 'one', 'a'),
  ]);
  expect(await logkeep(['sync', '--since', '6h'])).toMatchObject({ code: 0 });
  const shown = () =>
    world.query(
      `select l.time, l.request_hash, r.header -> 'X-Mine' ->> 0 as mine from logkeep.qstash_log l
      join logkeep.qstash_request r on r.message_id = l.message_id and r.hash = l.request_hash order by l.time`,
    );
  const before = await shown();
  const of = before.map((row) => row.request_hash);
  expect(new Set(of).size).toBe(3);
  expect(of[3]).toBe(of[0]);
  expect(before.map((row) => row.mine)).toEqual(['a', 'a', 'b', 'a']);
  // The same entries once more, and the message goes on, under another list.
  world.sandbox.qstash.add([entry(AT + 4, 'one', 'a')]);
  await writeFile(
    join(folder, 'logkeep.yaml'),
    `redact: [x-mine]\nstreams:\n  qstash.main: { source: qstash, url: '\${QSTASH_URL}', token: '\${QSTASH_TOKEN}' }\n`,
  );
  const again = await logkeep(['sync', '--again', '6h', '--json']);
  expect(again).toMatchObject({ code: 0, said: expect.stringContaining('"new":1,"known":4') });
  expect(await world.query('select hash from logkeep.qstash_request')).toHaveLength(3);
  const after = await shown();
  expect(after.slice(0, 4)).toEqual(before);
  expect(after[4]).toMatchObject({ request_hash: of[0], mine: 'a' });
});

test('I11: a password that the database refuses is not in the error', async () => {
  const heard: string[] = [];
  // Whether a Postgres asks for a password is its administrator's choice: this one does, and refuses it.
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', (data: Buffer) => {
      if (data[0] === 0) socket.write(Buffer.from('R\0\0\0\x08\0\0\0\x03', 'latin1'));
      else if (data[0] === 0x70) {
        heard.push(data.toString('utf8', 5, data.length - 1));
        const fields = 'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "logs"\0\0';
        const head = Buffer.from('E\0\0\0\0', 'latin1');
        head.writeInt32BE(fields.length + 4, 1);
        socket.end(Buffer.concat([head, Buffer.from(fields)]));
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const DATABASE_URL = `postgres://logs:wr0ng-secret@127.0.0.1:${port}/logs`;
  try {
    for (const command of ['sync', 'status', 'check']) {
      const { code, said } = await logkeep([command], { DATABASE_URL });
      expect({ command, code, refused: said.includes('password authentication failed') }).toEqual({
        command,
        code: 1,
        refused: true,
      });
      expect(said).not.toContain('wr0ng-secret');
    }
  } finally {
    server.close();
  }
  expect(new Set(heard)).toEqual(new Set(['wr0ng-secret']));
});
