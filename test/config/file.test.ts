import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { DAY, EXAMPLE, KEYS, MINUTE, settingsFolder } from './harness.ts';

const { load, complaint, path } = settingsFolder();

describe('logkeep.yaml', () => {
  it('declares streams of both sources with credentials by variable', () => {
    const { streams, file } = load(EXAMPLE, KEYS);
    expect(file).toBe('logkeep.yaml');
    expect(streams).toMatchObject([
      { id: 'qstash.main', since: { agoMs: 3 * DAY }, own: { token: 'q-secret' } },
      { id: 'datadog.web', own: { site: 'datadoghq.eu', index: ['main'], app_key: 'b-secret' } },
    ]);
  });

  it('takes every filter of both APIs', () => {
    const { streams } = load(`
streams:
  qstash.hooks:
    { source: qstash, token: t, message_id: msg_1, state: FAILED, destination: 'https://x.test/h', url_group: g,
      schedule_id: scd_1, queue_name: q, label: [a, b], host: x.test, path: /h, caller_ip: 10.0.0.1, flow_control_key: f }
  datadog.flex: { source: datadog, api_key: a, app_key: b, api: v2, storage_tier: flex, index: [main, other] }
`);
    expect(streams.map(({ own }) => own)).toMatchObject([
      {
        message_id: 'msg_1',
        state: 'FAILED',
        destination: ['https://x.test/h'],
        url_group: ['g'],
        schedule_id: ['scd_1'],
        queue_name: ['q'],
        label: ['a', 'b'],
        host: ['x.test'],
        path: ['/h'],
        caller_ip: ['10.0.0.1'],
        flow_control_key: ['f'],
      },
      { api: 'v2', storage_tier: 'flex', index: ['main', 'other'] },
    ]);
  });

  it('reads each kind of shared setting into its unit', () => {
    const [stream] = load(`
streams:
  t: { source: toy, key: k, since: 2026-11-01T00:00:00+01:00, retention: P2W, settle: 250ms, overlap: PT1H, page_size: 10,
       concurrency: 3, spacing: 1s, quota_reserve: 25%, timeout: 20s, retry_for: 1m, max_body: 1.5MiB, size: 4 }
`).streams;
    expect(stream).toEqual({
      id: 't',
      source: 'toy',
      since: { atMs: Date.UTC(2026, 9, 31, 23) },
      retentionMs: 14 * DAY,
      settleMs: 250,
      overlapMs: 60 * MINUTE,
      overlapAuto: false,
      sweepAfterMs: 20 * 60 * MINUTE,
      sweepSchedule: '17 */6 * * *',
      schedule: '* * * * *',
      pageSize: 10,
      concurrency: 3,
      spacingMs: 1000,
      reserve: 0.25,
      timeoutMs: 20_000,
      retryMs: 60_000,
      maxBodyBytes: 1.5 * 2 ** 20,
      own: { colour: 'red', size: 4, key: 'k' },
    });
  });

  it('takes auto for an overlap that follows from how late entries come, with the default until that is known', () => {
    const [stream] = load('streams: { t: { source: toy, key: k, overlap: auto } }').streams;
    expect(stream).toMatchObject({ overlapAuto: true, overlapMs: 15 * MINUTE });
    expect(complaint('streams: { t: { source: toy, key: k, overlap: often } }')).toContain(
      'logkeep.yaml: streams.t.overlap: "often": expected a duration such as 90s, 15m, 12h, 3d or PT15M, or auto',
    );
  });

  it('refuses a lateness horizon that was chosen beyond the retention, and a schedule that is none', () => {
    const yaml =
      'streams: { t: { source: toy, key: k, retention: 3d, sweep_after: 4d, sweep_schedule: now } }';
    expect(complaint(yaml)).toContain('streams.t.sweep_schedule: "now": expected a cron expression');
    expect(complaint(yaml.replace('now', '"5 4 * * *"'))).toContain(
      'streams.t.sweep_after: "4d": expected less than the retention of 3d of t',
    );
    expect(load('streams: { t: { source: toy, key: k, retention: 1h } }').streams).toHaveLength(1);
  });

  it('goes from stream to defaults of the file to the source to the declaration', () => {
    const config = load(`
defaults: { settle: 10s, overlap: 1m }
streams:
  a: { source: toy, key: k, overlap: 2m }
  b: { source: toy, key: k }
`);
    expect(
      config.streams.map(({ settleMs, overlapMs, retentionMs, timeoutMs }) => [
        settleMs,
        overlapMs,
        retentionMs,
        timeoutMs,
      ]),
    ).toEqual([
      [10_000, 120_000, 7 * DAY, 60_000],
      [10_000, 60_000, 7 * DAY, 60_000],
    ]);
  });

  it('is the same wherever it lies', () => {
    const within = (folder: string, yaml: string) => {
      mkdirSync(path(folder));
      writeFileSync(path(folder, 'logkeep.yaml'), yaml);
      return { file: `${folder}/logkeep.yaml` };
    };
    const late = 'streams: { t: { source: toy, key: k, retention: 3d, sweep_after: 4d } }';
    expect(complaint(null, {}, within('defaults', late))).toContain('less than the retention of 3d of t');
    const kept = `data_dir: data\n${late.replace('4d', '1d')}`;
    expect(load(null, {}, within('environment', kept)).database.dir).toBe(path('environment', 'data'));
  });

  it('tells every mistake at once, each with place, value and what was expected', () => {
    const said = complaint(`
log_level: loud
databse_url: postgres://x/y
streams:
  datadog.web: { source: datadog, settle: 12 parsecs, api_key: a, app_key: b, api: v3, storage_tier: flex, querry: x }
  datadog.old: { source: datadog, api_key: a, storage_tier: flex }
  qstash.main: { source: qstsh }
  Bad Name: { source: qstash, token: t }
  qstash.two: { source: qstash, page_size: 101, label: [a, 3], state: DELIVRED, quota_reserve: 2, since: 2026-11-01 }
`);
    expect(said.split('\n').map((line) => line.trim())).toEqual([
      '16 settings are wrong:',
      'logkeep.yaml: databse_url: unknown setting; did you mean database_url?',
      'logkeep.yaml: log_level: "loud": expected silent, error, warn, info or debug',
      'logkeep.yaml: streams.datadog.web.querry: unknown setting; did you mean query?',
      'logkeep.yaml: streams.datadog.web.api: "v3": expected v1 or v2',
      'logkeep.yaml: streams.datadog.web.settle: "12 parsecs": expected a duration such as 90s, 15m, 12h, 3d or PT15M',
      expect.stringMatching(
        /^logkeep\.yaml: streams\.datadog\.old\.app_key: missing: expected a Datadog application/,
      ),
      'logkeep.yaml: streams.datadog.old.storage_tier: "flex": expected only together with api: v2',
      'logkeep.yaml: streams.qstash.main.source: "qstsh": expected qstash, datadog or toy; did you mean qstash?',
      expect.stringMatching(/^logkeep\.yaml: streams\.qstash\.main\.token: missing: expected a QStash token/),
      expect.stringMatching(
        /^logkeep\.yaml: streams\.Bad Name: expected a name of at most 63 lower-case letters/,
      ),
      expect.stringMatching(/^logkeep\.yaml: streams\.qstash\.two\.token: missing: expected a QStash token/),
      expect.stringMatching(
        /^logkeep\.yaml: streams\.qstash\.two\.state: "DELIVRED": expected CREATED, ACTIVE/,
      ),
      'logkeep.yaml: streams.qstash.two.label[1]: 3: expected a label, or a list of at least one',
      expect.stringMatching(
        /^logkeep\.yaml: streams\.qstash\.two\.since: "2026-11-01": expected a duration .* with its zone/,
      ),
      'logkeep.yaml: streams.qstash.two.page_size: 101: expected a whole number from 1 to 100',
      'logkeep.yaml: streams.qstash.two.quota_reserve: 2: expected a share from 0 to 0.9, or from 0% to 90%',
    ]);
  });

  it.each([
    [
      'the settings of a stream whose name is wrong',
      'A: { source: datadog, site: nowhere, settle: soon, api_key: a, app_key: b }',
      ['A', 'A.site', 'A.settle'],
    ],
    [
      'those of one whose source is misspelt, as of the source that is meant',
      't: { source: datadgo, site: nowhere, settle: soon, api_key: a, app_key: b }',
      ['t.source', 't.site', 't.settle'],
    ],
    [
      'what every stream has of one whose source nobody knows',
      't: { source: elastic, cluster: c, settle: soon, overlap: often }',
      ['t.source', 't.settle', 't.overlap'],
    ],
    [
      'what settings must be to each other, though others are wrong',
      't: { source: toy, key: k, settle: 12h, overlap: 7h, retention: 6h, timeout: x }',
      ['t.timeout', 't.settle', 't.overlap'],
    ],
  ])('%s are checked too', (_, stream, places) => {
    const found = [...complaint(`streams: { ${stream} }`).matchAll(/logkeep\.yaml: streams\.([\w.]+): /g)];
    expect(found.map(([, place]) => place)).toEqual(places);
  });

  it.each([
    ['page_size: 101', 'page_size: 101: expected a whole number from 1 to 100'],
    ['settle: 2h, retention: 2h', 'settle: "2h": expected less than the retention of 2h of qstash.x'],
    ['overlap: 4d', 'overlap: "4d": expected at most the retention of 3d of qstash.x'],
    [
      'url: "https://u:s3cr3t@qstash.upstash.io"',
      'url: "https://u:****@qstash.upstash.io/": expected an address such as https://qstash.upstash.io, without user, query or fragment, and without /v1 or /v2',
    ],
    [
      'url: "https://qstash.upstash.io/?qstash_token=s3cr3t"',
      'url: "https://qstash.upstash.io/?qstash_token=****": expected an address such as https://qstash.upstash.io, without user, query or fragment, and without /v1 or /v2',
    ],
    [
      'url: "https://qstash.upstash.io/v2"',
      'url: "https://qstash.upstash.io/v2": expected an address such as https://qstash.upstash.io, without user, query or fragment, and without /v1 or /v2',
    ],
    [
      'url: qstash.upstash.io',
      'url: "qstash.upstash.io": expected an address such as https://qstash.upstash.io, without user, query or fragment, and without /v1 or /v2',
    ],
    ['concurrency: 1.5', 'concurrency: 1.5: expected a whole number from 1 to 32'],
    ['max_body: 64', 'max_body: 64: expected a size such as 64MiB, from 1KiB to 511MiB'],
    [
      'retention: 1s',
      'retention: "1s": expected a duration such as 90s, 15m, 12h, 3d or PT15M, from 1m to 3660d',
    ],
    ['settle: 30', 'settle: 30: expected a duration such as 90s, 15m, 12h, 3d or PT15M'],
    ['label: []', 'label: an empty list: expected a label, or a list of at least one'],
    ['label: ', 'label: empty: expected a label, or a list of at least one'],
  ])('refuses { %s }', (settings, expected) => {
    expect(complaint(`streams: { qstash.x: { source: qstash, token: t, ${settings} } }`)).toBe(
      `logkeep.yaml: streams.qstash.x.${expected}`,
    );
  });

  it('says what zod expects where a source gives no words of its own', () => {
    expect(complaint('streams: { t: { source: toy, key: k, plain: 3 } }')).toBe(
      'logkeep.yaml: streams.t.plain: 3: expected string, received number',
    );
  });

  it('blames the defaults of the file when a stream cannot live with them', () => {
    expect(complaint('{ defaults: { page_size: 1000 }, streams: { q: { source: qstash, token: t } } }')).toBe(
      'logkeep.yaml: defaults.page_size: 1000: expected a whole number from 1 to 100 for q',
    );
  });

  it.each([
    [
      'streams: { a: { source: toy, key: k }, a: { source: toy, key: k } }',
      'line 1, column 40: map keys must be unique',
    ],
    ['streams:\n  a: [', 'line 2, column 7'],
    ['streams: !tag {}', 'line 1, column 10: unresolved tag'],
    ['- a', 'expected a mapping'],
    ['streams: []', 'streams: an empty list: expected a mapping'],
    ['streams: {}', 'streams: empty: expected a mapping'],
    ['streams: { a: }', 'streams.a: empty: expected a mapping such as { source: qstash, ... }'],
    ['streams: *nowhere', 'line 1, column 10: unresolved alias: expected'],
    ['defaults: 3s', 'defaults: "3s": expected a mapping'],
    ['a: 1\n---\nb: 2', 'line 2'],
  ])('refuses %j and says where', (yaml, expected) => {
    expect(complaint(yaml)).toContain(`logkeep.yaml: ${expected}`);
  });

  it.each(['token: *s3cr3t', 'token: !s3cr3t x', 'token: @s3cr3t', 'a: "s3cr3t" s3cr3t', 'a: b\ns3cr3t'])(
    'does not repeat what YAML stumbles over in %j',
    (yaml) => {
      expect(complaint(yaml)).toMatch(/^logkeep\.yaml: \w/);
      expect(complaint(yaml)).not.toContain('s3cr3t');
    },
  );

  it('gives a stream a name of up to 63 characters', () => {
    const named = (length: number) => `streams: { ${'n'.repeat(length)}: { source: toy, key: k } }`;
    expect(load(named(63)).streams).toHaveLength(1);
    expect(complaint(named(64))).toContain('expected a name of at most 63');
  });

  it('says a wrong default once, however many streams have it', () => {
    const streams = '{ a: { source: toy, key: k }, b: { source: toy, key: k } }';
    expect(complaint(`{ defaults: { settle: soon }, streams: ${streams} }`)).toBe(
      'logkeep.yaml: defaults.settle: "soon": expected a duration such as 90s, 15m, 12h, 3d or PT15M',
    );
  });

  it('names the elements of a list that are wrong, by place and value, and no variable by what it holds', () => {
    const redact = (list: string) =>
      complaint(`{ redact: ${list}, streams: { t: { source: toy, key: k } } }`);
    expect(redact('[a, "b c", x-d, ""]')).toBe(
      [
        '2 settings are wrong:',
        '  logkeep.yaml: redact[1]: "b c": expected the name of a header such as x-session, or a list of them',
        '  logkeep.yaml: redact[3]: "": expected the name of a header such as x-session, or a list of at least one',
      ].join('\n'),
    );
    expect(redact('[]')).toMatch(/^logkeep\.yaml: redact: an empty list: expected the name of a header/);
    expect(complaint(`{ redact: [a, "\${S}"] }`, { S: 'hunter 2' })).toContain(
      `redact[1]: "\${S}": expected`,
    );
    expect(complaint('streams: { t: { source: toy, key: [k, 3] } }')).toContain(
      'key: ****: expected a toy key',
    );
  });

  it('calls what is empty empty, also where a value would be hidden', () => {
    expect(complaint('streams: { d4: }')).toBe(
      'logkeep.yaml: streams.d4: empty: expected a mapping such as { source: qstash, ... }',
    );
    expect(complaint('streams: { t: { source: toy, key: } }')).toContain('key: empty: expected a toy key');
  });

  it('says what is wrong with YAML in words of its own', () => {
    expect(complaint('log_level: debug\n---\nlog_level: info\n')).toBe(
      'logkeep.yaml: line 2, column 1: expected one document: remove the line --- and what should not count',
    );
    expect(complaint('a: &x 1\nstreams: *y\n')).toBe(
      'logkeep.yaml: line 2, column 10: unresolved alias: expected an anchor before it, or quotes around text that begins with *',
    );
    const bomb = ['a: &a [x,x,x,x,x,x,x,x,x,x]'];
    for (const [name, of] of ['ba', 'cb', 'dc', 'ed'])
      bomb.push(`${name}: &${name} [${Array(10).fill(`*${of}`).join()}]`);
    expect(complaint(bomb.join('\n'))).toBe(
      'logkeep.yaml: its aliases expand to more than settings need: expected fewer, or the values themselves',
    );
  });

  it('refuses a beginning that no log can have', () => {
    const since = (text: string) => complaint(`streams: { t: { source: toy, key: k, since: ${text} } }`);
    for (const text of ['9999w', '1999-12-31T23:59:59Z', '0000-01-01T00:00:00Z'])
      expect(since(text)).toBe(
        `logkeep.yaml: streams.t.since: "${text}": expected a duration such as 3d or PT12H, 3660d at most, or a time with its zone such as 2026-11-01T00:00:00Z, of 2000 or later`,
      );
  });

  it('does not take names of Object for settings', () => {
    expect(complaint('constructor: 1')).toContain('constructor: unknown setting');
    expect(complaint('__proto__: { log_level: debug }')).toContain('__proto__: unknown setting');
  });

  it('is read from --config, and must then be there', () => {
    writeFileSync(path('other.yaml'), 'streams: { t: { source: toy, key: k } }');
    expect(load(null, {}, { file: 'other.yaml' }).file).toBe('other.yaml');
    expect(complaint(null, {}, { file: 'none.yaml' })).toMatch(
      /^none\.yaml: there is no such file: expected a settings/,
    );
    expect(complaint(null, {}, { file: '.' })).toContain('it is a folder');
    expect(complaint(null, {}, { file: 'other.yaml/x.yaml' })).toContain('there is no such file');
    writeFileSync(path('bad.yaml'), Buffer.from([0xff, 0xfe, 0x00]));
    expect(complaint(null, {}, { file: 'bad.yaml' })).toContain('it is not UTF-8 text');
  });

  it('is not overlooked when it is named logkeep.yml', () => {
    writeFileSync(path('logkeep.yml'), 'streams: {}');
    expect(complaint(null)).toMatch(/^logkeep\.yml: expected the name logkeep\.yaml/);
  });
});

describe('variables in the file', () => {
  it('are replaced within text, and written with $$ they are not', () => {
    const { streams } = load(
      `streams: { t: { source: toy, key: 'a\${X}b\${X}', colour: '$\${X} $X', size: '\${N}', settle: '\${S}' } }`.replaceAll(
        '\\',
        '',
      ),
      { X: '-x-', N: '7', S: '9s' },
    );
    expect(streams).toMatchObject([
      { settleMs: 9000, own: { key: 'a-x-b-x-', colour: `\${X} $X`, size: 7 } },
    ]);
  });

  it('come from the environment given, and an unset one is named with its place', () => {
    expect(complaint(`streams: { t: { source: toy, key: "\${PATH}" } }`)).toBe(
      `logkeep.yaml: streams.t.key: \${PATH}: expected the environment variable PATH, which is not set`,
    );
    expect(complaint(`streams: { t: { source: toy, key: "\${E}" } }`, { E: ' ' })).toContain(
      'which is empty',
    );
    expect(complaint(`streams: { t: { source: toy, key: "\${a-b}", colour: "\${" } }`)).toMatch(
      /t\.key: expected \$\{NAME\}[\s\S]*t\.colour: expected \$\{NAME\}/,
    );
  });

  it('are not shown in errors by what they hold', () => {
    const said = complaint(`streams: { t: { source: toy, key: k, settle: "\${S}" } }`, { S: 'hunter2' });
    expect(said).toMatch(/settle: "\$\{S\}": expected a duration/);
  });
});
