import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf } from './child.ts';

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(), createMigratedDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

interface Finding {
  readonly subject: string;
  readonly found: string;
  readonly remedy: string | null;
}

async function check(env: Readonly<Record<string, string>> = {}) {
  const { code, out, err } = await desk.run('check --json', env);
  const { ok, findings } = JSON.parse(out) as { ok: boolean; findings: readonly Finding[] };
  return { code, ok, err, findings, troubles: findings.filter(({ remedy }) => remedy !== null) };
}

describe('check', () => {
  it('finds all well, one request a stream, and writes nothing', async () => {
    const { code, ok, troubles, findings } = await check();
    expect([code, ok, troubles]).toEqual([0, true, []]);
    expect(findings.filter(({ found }) => found.includes('takes the key'))).toHaveLength(2);
    expect(sandbox.requests()).toHaveLength(2);
    expect(await rowsOf(database, 'select from logkeep.stream')).toEqual([]);
    const text = await desk.run('check');
    expect(text.out).toMatch(
      /^ok +qstash\.main +the API takes the key; answered in .*, quota left \d+ of 100$/m,
    );
  });

  it('tells every trouble with its remedy and goes on after the first: database, keys, clock', async () => {
    sandbox.faults.every(1, { kind: 'wrong_date', byMs: -3_600_000 }, 'datadog');
    const { code, troubles, err } = await check({
      DATABASE_URL: 'postgres://nobody:hidden-word@127.0.0.1:1/none',
      QSTASH_TOKEN: 'of-another-region',
    });
    expect(code).toBe(1);
    expect(troubles).toEqual([
      {
        subject: 'database',
        found: expect.stringContaining('ECONNREFUSED'),
        remedy: expect.stringContaining('check host, port'),
      },
      {
        subject: 'qstash.main',
        found: expect.stringMatching(/401.*check the token/),
        remedy: expect.any(String),
      },
      {
        subject: 'datadog.main',
        found: expect.stringMatching(
          /the clock of this machine is (1 h|59 min 5\d s)( \d+ s)? ahead of the API's/,
        ),
        remedy: expect.stringContaining('NTP'),
      },
    ]);
    expect(JSON.stringify(troubles) + err).not.toMatch(/hidden-word|of-another-region/);
  });

  it('says of a refused Datadog key which site and which permission it needs', async () => {
    const { code, troubles } = await check({ DD_APP_KEY: 'of-another-site' });
    expect(code).toBe(1);
    expect(troubles).toMatchObject([
      {
        subject: 'datadog.main',
        found: expect.stringMatching(/403.*of the site datadoghq\.com.*logs_read_data/),
      },
    ]);
  });

  it('names what a database lacks, and does not migrate it', async () => {
    await rowsOf(database, 'drop schema logkeep cascade');
    const { code, troubles } = await check();
    expect(code).toBe(1);
    expect(troubles).toMatchObject([
      {
        subject: 'database',
        found: expect.stringContaining('lacks the migrations'),
        remedy: expect.stringContaining('logkeep sync'),
      },
    ]);
    expect(await rowsOf(database, "select to_regnamespace('logkeep') as schema")).toEqual([{ schema: null }]);
  });

  it('warns of time that expires unread soon', async () => {
    await desk.run('sync --stream qstash.main');
    await rowsOf(
      database,
      "update logkeep.stream set asked_from = now() - interval '2 h', retention = '130 min', covered = '{}'",
    );
    const { troubles } = await check();
    expect(troubles).toMatchObject([
      {
        subject: 'qstash.main',
        found: expect.stringMatching(/expires in only 9 min/),
        remedy: expect.stringContaining('logkeep sync --stream qstash.main'),
      },
    ]);
  });

  it('names streams whose entries are stored twice, and no others', async () => {
    const qstash = `{ source: qstash, url: '${sandbox.url}', token: '\${QSTASH_TOKEN}'`;
    const datadog = `{ source: datadog, api_url: '${sandbox.url}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}'`;
    writeFileSync(
      join(desk.cwd, 'logkeep.yaml'),
      `streams:
  qstash.failed: ${qstash}, state: FAILED }
  qstash.done: ${qstash}, state: DELIVERED }
  qstash.failed-emails: ${qstash}, state: FAILED, queue_name: emails }
  datadog.web: ${datadog}, query: 'service:web*' }
  datadog.web-errors: ${datadog}, query: 'service:web* status:error' }
  datadog.billing: ${datadog}, query: 'service:billing' }
  datadog.either: ${datadog}, query: 'service:web* OR service:billing' }
`,
    );
    const { troubles } = await check();
    expect(troubles.map(({ subject, found }) => [subject, found])).toEqual([
      [
        'qstash.failed-emails',
        'its entries are among those of qstash.failed: they are stored twice, once under each name',
      ],
      [
        'datadog.web-errors',
        'its entries are among those of datadog.web: they are stored twice, once under each name',
      ],
    ]);
  });
});
