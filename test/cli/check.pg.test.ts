import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Finding } from '../../src/cli/finding.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk, rowsOf } from './child.ts';

/** So long a window that the quota is still known when it is told. */
const QUOTA = { qstash: { quota: { limit: 100, windowMs: 600_000 } } };

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(QUOTA), createMigratedDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

async function check(env: Readonly<Record<string, string>> = {}) {
  const { code, out, err } = await desk.runHere('check --json', env);
  const { ok, findings } = JSON.parse(out) as { ok: boolean; findings: readonly Finding[] };
  const at = (wanted: Finding['level']) => findings.filter(({ level }) => level === wanted);
  return { code, ok, err, findings, troubles: at('trouble'), notes: at('note') };
}

describe('check', () => {
  it('finds all well, one request a stream, and writes nothing', async () => {
    const { code, ok, troubles, findings } = await check();
    expect([code, ok, troubles]).toEqual([0, true, []]);
    expect(findings.filter(({ found }) => found.includes('accepts the key'))).toHaveLength(2);
    expect(sandbox.requests()).toHaveLength(2);
    expect(await rowsOf(database, 'select from logkeep.stream')).toEqual([]);
    const text = await desk.runHere('check');
    expect(text.out).toMatch(
      /^ok +qstash\.main +the API accepts the key; answered in .*, quota left \d+ of 100$/m,
    );
  });

  it('says that an index is not known where v2 warns of one, as sync does', async () => {
    writeFileSync(
      join(desk.cwd, 'logkeep.yaml'),
      `streams:
  datadog.web: { source: datadog, api: v2, index: [main, mian], api_url: '\${DD_API_URL}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}', retry_for: 1s }
`,
    );
    sandbox.faults.every(1, { kind: 'partial', how: 'warning' }, 'datadog');
    const toDo = 'correct `index` of the stream: the API does not know an index that it names';
    const { code, troubles } = await check();
    expect([code, troubles]).toMatchObject([
      1,
      [{ found: expect.stringContaining('unknown_index'), remedy: expect.stringContaining(toDo) }],
    ]);
    const synced = await desk.runHere('sync');
    expect([synced.code, synced.err]).toEqual([1, expect.stringContaining(`unknown_index`)]);
    expect(synced.err).toContain(`(${toDo}`);
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
        level: 'trouble',
        subject: 'database',
        found: 'connect: DATABASE_URL (127.0.0.1:1/none): connect ECONNREFUSED 127.0.0.1:1',
        remedy: expect.stringContaining('correct host and port in DATABASE_URL'),
      },
      {
        level: 'trouble',
        subject: 'qstash.main',
        found: expect.stringMatching(/401.*check the token/),
        remedy: expect.any(String),
      },
      {
        level: 'trouble',
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

  it('says how far back the first sync looks: beyond the retention, unless a beginning is set', async () => {
    const begins = async () => {
      const { findings } = await check();
      const days = (text: string) => Math.round((Date.now() - Date.parse(text)) / 86_400_000);
      return findings.flatMap(({ found }) => {
        const [, time] = /the first sync begins at (.*)$/.exec(found) ?? [];
        return time === undefined ? [] : [days(time)];
      });
    };
    expect(await begins()).toEqual([14, 15]);
    writeStreams('\n  qstash.main: QSTASH, since: 2d }\n  datadog.web: DATADOG, retention: 30d }\n');
    expect(await begins()).toEqual([2, 30]);
  });

  it('is content with an empty database: it notes that the first sync migrates, and does not migrate it', async () => {
    await rowsOf(database, 'drop schema logkeep cascade');
    const { code, ok, troubles, notes, err } = await check();
    expect([code, ok, troubles]).toEqual([0, true, []]);
    expect(notes).toMatchObject([
      {
        subject: 'database',
        found: expect.stringMatching(/^not migrated yet: the first sync does it \(/),
        remedy: expect.stringContaining('logkeep sync'),
      },
    ]);
    expect(err).toBe('');
    expect((await desk.runHere('check')).out).toMatch(/^note +database +not migrated yet/m);
    expect(await rowsOf(database, "select to_regnamespace('logkeep') as schema")).toEqual([{ schema: null }]);
  });

  it('calls a database that a newer logkeep has migrated trouble', async () => {
    await rowsOf(database, "insert into logkeep.migration (name, timestamp) values ('9999_later', '')");
    const { code, troubles } = await check();
    expect(code).toBe(1);
    expect(troubles).toMatchObject([
      {
        subject: 'database',
        found: expect.stringContaining('newer than this logkeep (it has 9999_later)'),
        remedy: expect.stringContaining('upgrade logkeep'),
      },
    ]);
  });

  it('warns of time that expires unread soon', async () => {
    await desk.runHere('sync --stream qstash.main');
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

  it('names streams whose entries are stored twice, notes those where that may be, and no others', async () => {
    writeStreams(
      `
  qstash.failed: QSTASH, state: FAILED }
  qstash.done: QSTASH, state: DELIVERED }
  qstash.failed-emails: QSTASH, state: FAILED, queue_name: emails }
  qstash.emails: QSTASH, queue_name: emails }
  qstash.reports: QSTASH, queue_name: reports }
  qstash.gold: QSTASH, queue_name: reports, label: gold }
  datadog.web: DATADOG, query: 'service:web*', index: main }
  datadog.web-errors: DATADOG, query: 'service:web* status:error', index: main }
  datadog.billing: DATADOG, query: 'service:billing', index: main }
  datadog.mail: DATADOG, query: 'service:mail status:error', index: main }
  datadog.audit: DATADOG, query: 'service:web*', index: audit }
`,
    );
    const { code, troubles, notes } = await check();
    expect(code).toBe(1);
    expect(troubles.map(({ subject, found }) => `${subject} ${found}`)).toEqual([
      amongThose('qstash.failed-emails', 'qstash.failed'),
      amongThose('qstash.failed-emails', 'qstash.emails'),
      amongThose('qstash.gold', 'qstash.reports'),
      amongThose('datadog.web-errors', 'datadog.web'),
    ]);
    const overlapping = notes.filter(({ found }) => found.startsWith('may overlap'));
    expect(overlapping.map(({ subject, found }) => `${subject} ${found}`)).toEqual([
      mayOverlap('qstash.emails', 'qstash.failed'),
      mayOverlap('qstash.reports', 'qstash.failed'),
      mayOverlap('qstash.gold', 'qstash.failed'),
      mayOverlap('qstash.emails', 'qstash.done'),
      mayOverlap('qstash.reports', 'qstash.done'),
      mayOverlap('qstash.gold', 'qstash.done'),
      mayOverlap('datadog.billing', 'datadog.web'),
      mayOverlap('datadog.mail', 'datadog.web'),
      mayOverlap('datadog.billing', 'datadog.web-errors'),
      mayOverlap('datadog.mail', 'datadog.web-errors'),
    ]);
    expect(overlapping[0]?.remedy).toMatch(
      /^narrow the filters of qstash\.failed or qstash\.emails, or ignore this/,
    );
  });

  it('does not fail for streams that only may overlap, such as a query inside one with OR', async () => {
    writeStreams(
      `
  datadog.web: DATADOG, query: 'service:web*' }
  datadog.either: DATADOG, query: 'service:web* OR service:billing' }
`,
    );
    const { code, ok, troubles, notes } = await check();
    expect([code, ok, troubles]).toEqual([0, true, []]);
    expect(notes.map(({ subject, found }) => `${subject} ${found}`)).toEqual([
      'settings QSTASH_TOKEN and QSTASH_URL are set but unused: logkeep.yaml declares the streams',
      mayOverlap('datadog.either', 'datadog.web'),
    ]);
    expect((await desk.runHere('check')).err).toMatch(/^datadog\.either: to do: narrow the filters of/m);
  });
});

describe('a schedule that asks for more than the quota carries', () => {
  const asks = (quick: string, slow: string) =>
    writeStreams(
      `
  datadog.web: DATADOG, query: 'service:web', schedule: '${quick}' }
  datadog.mail: DATADOG, query: 'service:mail', schedule: '${slow}' }
  qstash.main: QSTASH, schedule: '* * * * * *' }
`,
    );
  const told = async () => {
    const { code, notes } = await check();
    expect(code).toBe(0);
    return notes.map(({ subject, found, remedy }) => `${subject} ${found}: ${remedy}`);
  };

  it('is named with what it takes, what is allowed and what to set', async () => {
    asks('*/5 * * * * *', '* * * * *');
    expect(await told()).toEqual([
      'datadog.web its schedule "*/5 * * * * *", with the others of its credential, asks for 780 requests an hour, and the quota allows 270 beyond the reserve: it is read every 18 s instead of every 5 s: set schedule to "*/20 * * * * *" or slower, or ask for a larger quota; sweeps and backfills get what is left',
    ]);
    expect((await desk.runHere('check --stream datadog.mail --json')).out).not.toContain('asks for');
  });

  it('is none where the quota carries them all, or tells of none', async () => {
    asks('*/20 * * * * *', '* * * * *');
    expect(await told()).toEqual([]);
    asks('*/5 * * * * *', '* * * * *');
    sandbox.faults.every(1, { kind: 'unavailable' }, 'datadog');
    const { notes } = await check();
    expect(notes).toEqual([]);
  });
});

const amongThose = (inner: string, outer: string) =>
  `${inner} its entries are among those of ${outer}: they are stored twice, once under each name`;
const mayOverlap = (one: string, other: string) =>
  `${one} may overlap ${other}: an entry that matches both filters is stored twice, once under each name`;

/** Writes logkeep.yaml; `QSTASH` and `DATADOG` stand for the sandbox and its keys. */
function writeStreams(text: string): void {
  const qstash = `{ source: qstash, url: '${sandbox.url}', token: '\${QSTASH_TOKEN}'`;
  const datadog = `{ source: datadog, api_url: '${sandbox.url}', api_key: '\${DD_API_KEY}', app_key: '\${DD_APP_KEY}'`;
  const streams = text.replaceAll('QSTASH,', () => `${qstash},`).replaceAll('DATADOG,', () => `${datadog},`);
  writeFileSync(join(desk.cwd, 'logkeep.yaml'), `streams:${streams}`);
}
