import { chmod, chown, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startSandbox } from '../../src/sandbox/sandbox.ts';
import { accountFor } from '../../src/store/cluster.ts';
import { openStore } from '../../src/store/database.ts';
import { migrateToLatest } from '../../src/store/migrate.ts';
import { selfSigned } from '../certificate.ts';
import { createDesk, writeSmallHistory } from '../cli/child.ts';
import { type PrivateServer, startPrivateServer, withClient } from '../postgres.ts';

let server: PrivateServer;
let folder: string;

/** The server's address with these TLS parameters; `ours` is its certificate, `other` one of somebody else. */
const address = (parameters: string) =>
  `${server.url}?${parameters.replace(/sslrootcert=(\w+)/, (_, name) => `sslrootcert=${folder}/${name}.crt`)}`;

/** Puts a server with TLS, whose certificate is its own, in place of one without. */
beforeAll(async () => {
  server = await startPrivateServer();
  folder = await mkdtemp(join(await realpath(tmpdir()), 'logkeep-tls-'));
  await chmod(folder, 0o711);
  const ours = selfSigned('127.0.0.1');
  const [certificate, key] = [join(folder, 'ours.crt'), join(folder, 'ours.key')];
  await writeFile(certificate, ours.certificate);
  await writeFile(key, ours.key, { mode: 0o600 });
  await writeFile(join(folder, 'other.crt'), selfSigned('127.0.0.1').certificate);
  const account = await accountFor(folder);
  if (account !== null) await chown(key, account.uid, account.gid);
  await withClient(server.url, async (client) => {
    await client.query(`alter system set ssl_cert_file = '${certificate}'`);
    await client.query(`alter system set ssl_key_file = '${key}'`);
    await client.query('alter system set ssl = on');
  });
  await server.restart('fast');
  await migrateToLatest(address('sslmode=verify-full&sslrootcert=ours'));
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

test.each([
  ['sslmode=verify-full&sslrootcert=ours', true],
  ['sslmode=require&sslrootcert=ours', true],
  ['sslmode=no-verify', true],
  ['uselibpqcompat=true&sslmode=require', true],
  ['sslmode=disable', false],
])('an address with %s opens the database; with TLS: %s', async (parameters, encrypted) => {
  const store = openStore(address(parameters), { max: 1 });
  try {
    const { rows } = await store.pool.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()');
    expect(rows).toEqual([{ ssl: encrypted }]);
  } finally {
    await store.close();
  }
});

test.each([
  'verify-full',
  'verify-full&sslrootcert=other',
  'require',
  'prefer',
  'allow',
  'verify-ca&sslrootcert=other',
])('an address with sslmode=%s does not take a certificate that it has no reason to trust', async (mode) => {
  await expect(migrateToLatest(address(`sslmode=${mode}`))).rejects.toMatchObject({
    kind: 'database',
    remedy: expect.stringMatching(/^add sslmode=verify-full&sslrootcert=FILE/),
  });
});

test('sync works over TLS; where it cannot, sync and check say what to do, in one line and without a warning', async () => {
  const sandbox = await startSandbox();
  const trusting = address('sslmode=require&sslrootcert=ours');
  const desk = createDesk({ ...sandbox.env, DATABASE_URL: trusting });
  try {
    writeSmallHistory(sandbox, 10, 50);
    const done = await desk.run('sync');
    expect(done).toMatchObject({ code: 0, out: expect.stringContaining('datadog.main: caught up') });
    expect(done.err).not.toMatch(/warning/i);
    expect(await desk.run('check')).toMatchObject({ code: 0, err: '' });

    const untrusting = { DATABASE_URL: address('sslmode=require') };
    const refused = await desk.run('sync', untrusting);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/^logkeep: .*sslmode=no-verify to encrypt without verifying the server/);
    expect(refused.err).not.toMatch(/warning/i);
    const checked = await desk.run('check --json', untrusting);
    expect(checked.code).toBe(1);
    expect(JSON.parse(checked.out).findings).toContainEqual({
      level: 'trouble',
      subject: 'database',
      found: expect.stringMatching(/^connect: DATABASE_URL \(.*\): self.signed certificate/),
      remedy: expect.stringMatching(
        /^add sslmode=verify-full&sslrootcert=FILE .* to DATABASE_URL, or sslmode=no-verify/,
      ),
    });

    const missing = { DATABASE_URL: address('sslmode=verify-full&sslrootcert=nowhere') };
    const absent = await desk.run('check --json', missing);
    expect(absent.code).toBe(1);
    expect(absent.out).toMatch(/DATABASE_URL: ENOENT: no such file or directory, open '.*nowhere\.crt'/);
  } finally {
    desk.clear();
    await sandbox.close();
  }
});
