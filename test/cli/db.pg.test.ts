import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { withClient } from '../postgres.ts';
import { createDesk, type Desk } from './child.ts';

let desk: Desk;
beforeEach(() => {
  desk = createDesk();
});
afterEach(() => desk.clear());

const isUp = () => existsSync(join(desk.cwd, '.logkeep', 'cluster', 'data', 'postmaster.pid'));

describe('db, without DATABASE_URL', () => {
  it('keeps the embedded Postgres up for psql and other commands until a signal; the last to leave stops it', async () => {
    expect((await desk.run('migrate')).code).toBe(0);
    expect(isUp()).toBe(false);
    const [first, second] = [desk.start('db'), desk.start('db --json')];
    const said = await first.says(/running until Ctrl-C/);
    const [, url = '', quoted] = /^(postgres:\/\/\S+)\npsql '(\S+)'$/m.exec(said) ?? [];
    expect([url, said]).toEqual([quoted, expect.stringContaining(join(desk.cwd, '.logkeep'))]);
    const counted = await withClient(url, (client) =>
      client.query('select count(*)::int as n from logkeep.qstash_log'),
    );
    expect(counted.rows).toEqual([{ n: 0 }]);
    const { port } = new URL(url);
    const told = JSON.parse((/^\{.*\}$/m.exec(await second.says(/^\{.*\}\n/m)) ?? [''])[0]);
    expect(told).toEqual({
      embedded: true,
      host: '127.0.0.1',
      port: Number(port),
      database: 'logkeep',
      user: 'logkeep',
      url,
      psql: `psql '${url}'`,
    });
    const asked = await desk.run(['query', 'select count(*) from qstash_log']);
    expect(asked).toEqual({ code: 0, out: 'count\n    0\n', err: '' });
    // It is another role that logs in, so there is no way back to the superuser's rights.
    for (const name of ['role', 'session_authorization'])
      expect(await desk.runHere(['query', `select set_config('${name}', 'logkeep', true)`])).toMatchObject({
        code: 1,
        err: expect.stringContaining('permission denied to set'),
      });
    first.signal('SIGTERM');
    expect((await first.finished).code).toBe(0);
    expect(isUp()).toBe(true);
    second.signal('SIGINT');
    expect((await second.finished).code).toBe(0);
    expect(isUp()).toBe(false);
  }, 120_000);
});

describe('db, with DATABASE_URL', () => {
  const DATABASE_URL =
    'postgres://me:secret-word@db.example.com:6543/logs?sslmode=require&sslpassword=secret-too';

  it('prints where it is, never its password, connects to nothing and ends', async () => {
    const text = await desk.runHere('db', { DATABASE_URL });
    expect(text).toEqual({
      code: 0,
      out: 'host             port   database   user\ndb.example.com   6543   logs       me\n',
      err: 'to connect: psql "$DATABASE_URL"; `logkeep check` tests it\n',
    });
    const json = await desk.runHere('db --json', { DATABASE_URL });
    expect([json.code, json.err, JSON.parse(json.out)]).toEqual([
      0,
      '',
      {
        embedded: false,
        host: 'db.example.com',
        port: 6543,
        database: 'logs',
        user: 'me',
        psql: 'psql "$DATABASE_URL"',
      },
    ]);
  });

  it('set in the settings file, gives a psql command that asks for the password', async () => {
    writeFileSync(
      join(desk.cwd, 'logkeep.yaml'),
      `database_url: 'postgres://it''s:secret-word@/logs?host=/run/pg'\n`,
    );
    expect(await desk.runHere('db')).toEqual({
      code: 0,
      out: "host      port   database   user\n/run/pg   5432   logs       it's\n",
      err: `to connect: psql --host=/run/pg --port=5432 '--username=it'\\''s' --dbname=logs, which asks for the password; \`logkeep check\` tests it\n`,
    });
  });

  it('says what of the address cannot be read', async () => {
    const { code, err } = await desk.runHere('db', { DATABASE_URL: `${DATABASE_URL}&sslrootcert=gone.pem` });
    expect([code, err]).toEqual([
      1,
      expect.stringMatching(/^logkeep: read the address of the database: .*gone\.pem/),
    ]);
    expect(err).not.toContain('secret');
  });
});
