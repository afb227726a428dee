import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { chooseStreams } from '../src/cli/open.ts';
import type { Config } from '../src/config.ts';
import { REDACTED_HEADERS } from '../src/redact.ts';
import { DAY, EXAMPLE, KEYS, MINUTE, settingsFolder } from './config/harness.ts';

const { load, complaint, path } = settingsFolder();

describe('the environment alone', () => {
  it('makes qstash.main of QSTASH_TOKEN, with every default', () => {
    const { streams, database, file } = load(null, { QSTASH_TOKEN: ' tok ' });
    expect(file).toBeNull();
    expect(database).toEqual({
      url: null,
      directUrl: null,
      from: null,
      directFrom: null,
      dir: path('.logkeep'),
    });
    expect(streams).toMatchObject([
      {
        id: 'qstash.main',
        source: 'qstash',
        since: { agoMs: 3 * DAY },
        retentionMs: 3 * DAY,
        settleMs: 30_000,
        overlapMs: 15 * MINUTE,
        pageSize: 100,
        reserve: 0.1,
        maxBodyBytes: 64 * 2 ** 20,
        own: { url: 'https://qstash.upstash.io', token: 'tok', label: null, state: null },
      },
    ]);
  });

  it('makes datadog.main of both keys, site, address, query and index', () => {
    const { streams } = load(null, {
      DD_API_KEY: 'a',
      DD_APP_KEY: 'b',
      DD_SITE: 'app.datadoghq.eu',
      DD_API_URL: 'http://127.0.0.1:4010/',
      DD_LOGS_QUERY: 'service:web*',
      DD_LOGS_INDEX: 'main, retention-3',
    });
    expect(streams).toMatchObject([
      {
        id: 'datadog.main',
        settleMs: 120_000,
        pageSize: 1000,
        retentionMs: 3 * DAY,
        own: {
          site: 'datadoghq.eu',
          api_url: 'http://127.0.0.1:4010',
          api_key: 'a',
          app_key: 'b',
          query: 'service:web*',
          index: ['main', 'retention-3'],
          api: 'v1',
          storage_tier: null,
        },
      },
    ]);
  });

  it('names the Datadog key that is missing', () => {
    expect(complaint(null, { DD_APP_KEY: 'b', QSTASH_TOKEN: 't' })).toMatch(
      /^DD_API_KEY: missing, while DD_APP_KEY is set: expected both or neither/,
    );
    expect(complaint(null, { DD_API_KEY: 'a', DD_APP_KEY: ' ' })).toMatch(/^DD_APP_KEY: missing/);
    expect(complaint(null, { DD_API_KEY: 'a', DD_SITE: 'nowhere' }).split('\n')).toEqual([
      '2 settings are wrong:',
      expect.stringMatching(/^ {2}DD_APP_KEY: missing, while DD_API_KEY is set/),
      expect.stringMatching(/^ {2}DD_SITE: "nowhere": expected a Datadog site/),
    ]);
  });

  it('says what to set when nothing makes a stream', () => {
    const said = complaint(null, { DD_SITE: 'datadoghq.eu', QSTASH_TOKEN: '' });
    expect(said).toContain('QSTASH_TOKEN for qstash');
    expect(said).toContain('DD_API_KEY and DD_APP_KEY for datadog');
    expect(load(null, {}, { streams: 'optional' }).streams).toEqual([]);
  });

  it('refuses a key with quotes, a blank or "Bearer" in it, without repeating it', () => {
    for (const token of ['"quoted"', 'Bearer abcdef', 'two words', 'naïve']) {
      const said = complaint(null, { QSTASH_TOKEN: token });
      expect(said).toMatch(/^QSTASH_TOKEN: \*{4}: expected a QStash token/);
      expect(said).not.toContain(token);
    }
  });

  it('refuses a site that Datadog does not have, and lists the ones it has', () => {
    const said = complaint(null, { DD_API_KEY: 'a', DD_APP_KEY: 'b', DD_SITE: 'datadog.eu' });
    expect(said).toMatch(
      /^DD_SITE: "datadog\.eu": expected a Datadog site: datadoghq\.com, .*uk1\.datadoghq\.com/,
    );
  });
});

describe('general settings', () => {
  const yaml = 'database_url: postgres://u:p@file/db\ndatabase_url_direct: postgres://u:p@direct/db\n';

  it('come from the environment before the file, and the two addresses of a database together', () => {
    const { database } = load(yaml, { DATABASE_URL: 'postgres://env/db', QSTASH_TOKEN: 't' });
    expect(database).toMatchObject({ url: 'postgres://env/db', from: 'DATABASE_URL', directUrl: null });
    expect(load(yaml, { QSTASH_TOKEN: 't' }).database).toMatchObject({
      url: 'postgres://u:p@file/db',
      directUrl: 'postgres://u:p@direct/db',
    });
  });

  it('take DATABASE_URL, but no streams of the environment, when the file declares streams', () => {
    const config = load('streams: { t: { source: toy, key: k } }', {
      DATABASE_URL: 'postgresql:///logs?host=/tmp',
      QSTASH_TOKEN: 't',
      DD_API_KEY: 'only one of two',
    });
    expect(config.streams.map(({ id }) => id)).toEqual(['t']);
    expect(config.database.url).toBe('postgresql:///logs?host=/tmp');
  });

  it('come with a note on each source whose variables are unused since the file declares the streams', () => {
    const toy = 'streams: { t: { source: toy, key: k } }';
    const unused = (names: string) => `${names} set but unused: logkeep.yaml declares the streams`;
    expect(load(toy, { ...KEYS, QSTASH_URL: 'https://qstash-us-east-1.upstash.io' }).notes).toEqual([
      unused('QSTASH_TOKEN and QSTASH_URL are'),
      unused('DD_API_KEY and DD_APP_KEY are'),
    ]);
    expect(load(toy, { QSTASH_TOKEN: 't', DD_API_KEY: 'one of two', DD_SITE: 'datadoghq.eu' }).notes).toEqual(
      [unused('QSTASH_TOKEN is')],
    );
  });

  it('come with no note on a variable that the file names or has another value for', () => {
    const stream = (url: string) => `streams: { q: { source: qstash, token: '\${QSTASH_TOKEN}'${url} } }`;
    const env = { QSTASH_TOKEN: 't', QSTASH_URL: 'https://qstash-us-east-1.upstash.io' };
    expect(load(stream(''), env).notes).toEqual([
      'QSTASH_URL is set but unused: logkeep.yaml declares the streams',
    ]);
    expect(load(stream(`, url: '\${QSTASH_URL}'`), env).notes).toEqual([]);
    expect(load(stream(', url: https://qstash.upstash.io'), env).notes).toEqual([]);
    expect(load('streams: { q: { source: qstash, token: t } }', { QSTASH_TOKEN: 't' }).notes).toEqual([]);
    expect(load(EXAMPLE, KEYS).notes).toEqual([]);
    expect(load(null, KEYS).notes).toEqual([]);
  });

  it("keep the environment's streams where the file declares none, and apply its defaults to them", () => {
    const { streams, notes } = load('defaults: { retention: 14d }', KEYS);
    expect(streams).toMatchObject([
      { id: 'qstash.main', retentionMs: 14 * DAY, since: { agoMs: 14 * DAY } },
      { id: 'datadog.main', retentionMs: 14 * DAY },
    ]);
    expect(notes).toEqual([]);
  });

  it('take a flag before the environment before the file', () => {
    const env = { LOGKEEP_LOG_LEVEL: 'info', QSTASH_TOKEN: 't' };
    expect(load('log_level: error', env, { logLevel: 'debug' }).logLevel).toBe('debug');
    expect(load('log_level: error', env).logLevel).toBe('info');
    expect(load('log_level: error', { QSTASH_TOKEN: 't' }).logLevel).toBe('error');
  });

  it('refuse a database address that is none, and hide what may be a password', () => {
    expect(complaint(null, { DATABASE_URL: 'mysql://u:s3cr3t@h/db', QSTASH_TOKEN: 't' })).toMatch(
      /^DATABASE_URL: "mysql:\/\/u:\*\*\*\*@h\/db": expected an address such as postgres:/,
    );
    expect(
      complaint(null, { DATABASE_URL: 'postgres://u:s3cr#t@h:port/db', QSTASH_TOKEN: 't' }),
    ).not.toContain('s3cr');
    for (const unreadable of ['u:s3cr3t@h/db', 'host=h user=u password=s3cr3t', 'host=h Password = s3cr3t']) {
      expect(complaint(null, { DATABASE_URL: unreadable, QSTASH_TOKEN: 't' })).toMatch(
        /^DATABASE_URL: "\*\*\*\*": expected an address/,
      );
    }
    expect(complaint(null, { DATABASE_URL_DIRECT: 'postgres://h/db', QSTASH_TOKEN: 't' })).toContain(
      'DATABASE_URL_DIRECT: "postgres://h/db": expected DATABASE_URL',
    );
  });

  it('add headers to redact, or replace the list, but not both', () => {
    const env = { QSTASH_TOKEN: 't' };
    expect(load('redact: [X-Session, cookie]', env).redact).toEqual([...REDACTED_HEADERS, 'x-session']);
    expect(load('redact_only: X-Session', env).redact).toEqual(['x-session']);
    expect(complaint('{ redact: a, redact_only: b }', env)).toContain('either redact or redact_only');
    expect(complaint('redact: "x session"', env)).toContain('expected the name of a header');
  });

  it('put the data folder beside the file, or where LOGKEEP_DIR says', () => {
    const env = { QSTASH_TOKEN: 't' };
    mkdirSync(path('sub'));
    writeFileSync(path('sub', 'other.yaml'), 'data_dir: data');
    expect(load(null, env, { file: 'sub/other.yaml' }).database.dir).toBe(path('sub', 'data'));
    expect(load('log_level: debug', env).database.dir).toBe(path('.logkeep'));
    expect(load('data_dir: data', { ...env, LOGKEEP_DIR: 'env' }).database.dir).toBe(path('env'));
  });

  it('can be read without a look at the streams, for what needs the database alone', () => {
    const yaml = `streams: { q: { source: qstash, token: "\${NOT_SET}" } }`;
    expect(load(yaml, {}, { streams: 'ignored' }).streams).toEqual([]);
  });
});

function from(config: Config, setting: string) {
  const found = config.effective.find((one) => one.setting === setting);
  return found === undefined ? null : [found.value, found.from];
}

describe('effective settings', () => {
  it('say of each where it came from', () => {
    const config = load(`defaults: { overlap: 20m }\n${EXAMPLE}`, {
      ...KEYS,
      DATABASE_URL: 'postgres://h/db',
    });
    expect(from(config, 'database_url')).toEqual(['postgres://h/db', 'environment DATABASE_URL']);
    expect(from(config, 'log_level')).toEqual(['warn', 'default']);
    expect(from(config, 'redact')).toEqual([REDACTED_HEADERS, 'default']);
    expect(from(config, 'streams.qstash.main.token')).toEqual([
      '****',
      'logkeep.yaml, environment QSTASH_TOKEN',
    ]);
    expect(from(config, 'streams.qstash.main.overlap')).toEqual(['15m', 'logkeep.yaml']);
    expect(from(config, 'streams.datadog.web.overlap')).toEqual(['20m', 'logkeep.yaml (defaults)']);
    expect(from(config, 'streams.datadog.web.settle')).toEqual(['120s', 'default of datadog']);
    expect(from(config, 'streams.datadog.web.timeout')).toEqual(['60s', 'default']);
    expect(from(config, 'streams.datadog.web.query')).toEqual(['service:web*', 'logkeep.yaml']);
    expect(from(config, 'streams.datadog.web.since')).toEqual([
      '3d',
      'default (the retention; what the API shows of up to 15d is stored too)',
    ]);
    const kept = load(`defaults: { retention: 30d }\n${EXAMPLE}`, KEYS);
    expect(from(kept, 'streams.datadog.web.since')).toEqual(['30d', 'default (the retention)']);
    expect(from(config, 'streams.datadog.web.api_url')).toBeNull();
    expect(
      from(
        load('database_url: postgres://f/db', { DATABASE_URL: 'postgres://e/db', ...KEYS }),
        'database_url',
      ),
    ).toEqual(['postgres://e/db', 'environment DATABASE_URL (over logkeep.yaml)']);
  });

  it('I11: hold no secret, neither a key nor a password in an address', () => {
    const config = load(EXAMPLE, {
      ...KEYS,
      DATABASE_URL: 'postgres://u:pg-secret@h/db?sslpassword=tls-secret',
    });
    // Built-in redaction has names that end in -secret.
    expect(JSON.stringify(config.effective)).not.toMatch(/(q|a|b|pg|tls)-secret/);
    expect(JSON.stringify(config.effective)).toContain('postgres://u:****@h/db');
  });
});

describe('the examples of the documentation', () => {
  it.each(['README.md', 'docs/settings.md'])('of %s read as far back as the environment alone', (page) => {
    const text = readFileSync(new URL(`../${page}`, import.meta.url), 'utf8');
    const yaml = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, block = '']) => block);
    const beginnings = ({ streams }: Config) =>
      streams.map(({ source, since, reachMs, retentionMs }) => ({ source, since, reachMs, retentionMs }));
    const example = yaml.find((block) => block.includes('streams:')) ?? null;
    const documented = beginnings(load(example, KEYS));
    rmSync(path('logkeep.yaml'));
    expect(documented).toEqual(beginnings(load(null, KEYS)));
  });
});

describe('chooseStreams', () => {
  it('gives the streams asked for, or all, and refuses a name that none has', () => {
    const { streams } = load(EXAMPLE, KEYS);
    expect(chooseStreams(streams, []).length).toBe(2);
    expect(chooseStreams(streams, ['datadog.web']).map(({ id }) => id)).toEqual(['datadog.web']);
    expect(() => chooseStreams(streams, ['datadog.wbe'])).toThrow(
      '--stream: "datadog.wbe": expected one of qstash.main, datadog.web; did you mean datadog.web?',
    );
  });
});
