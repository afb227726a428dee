import { expect, test } from 'vitest';
import { statusJson, statusText } from '../../src/cli/status-view.ts';
import type { StreamStatus } from '../../src/store/status.ts';
import type { Lateness } from '../../src/sync/ledger.ts';
import { NOW, runningOf, runOf, statusOf } from '../serve/statuses.ts';

const listed = (lateness: Lateness) =>
  [
    {
      stream: 'qstash.main',
      status: statusOf({ stream: 'qstash.main', settledToMs: null, lateness }),
      setting: 'in force',
    },
  ] as const;
/** What the notes say of lateness, without the stream's name. */
const said = (lateness: Lateness) =>
  /^qstash\.main: (.*(?:came|late).*)$/m.exec(statusText(listed(lateness), NOW))?.[1] ?? null;
const json = (lateness: Lateness) =>
  (statusJson(listed(lateness)) as { streams: readonly { lateness: object }[] }).streams[0]?.lateness;

/** 0 stands for entries of an API that does not tell, read in time. */
const UNTOLD = [{ upToMs: 0, count: 25_070 }];

test('how late entries came is not known while the API tells of none', () => {
  expect(said(UNTOLD)).toBe(
    'lateness unknown: the API does not report it, and no entry has arrived late so far',
  );
  expect(json(UNTOLD)).toMatchObject({
    counted: 25_070,
    half_within_ms: null,
    p99_within_ms: null,
    p999_within_ms: null,
  });
});

test('of entries that came late, some of an API that does not tell, what is known is told', () => {
  const some = [...UNTOLD, { upToMs: 11_000, count: 2_000 }, { upToMs: 90_000, count: 20 }];
  expect(said(some)).toBe(
    'of 27,090 entries half came in time as far as known, all but one in a thousand within 11 s',
  );
  expect(json(some)).toMatchObject({ half_within_ms: null, p99_within_ms: 11_000, p999_within_ms: 11_000 });
  expect(
    said([
      { upToMs: 1_000, count: 990 },
      { upToMs: 64_000, count: 10 },
    ]),
  ).toBe('of 1,000 entries half came within 1 s, all but one in a thousand within 1 min 4 s');
  expect(said([{ upToMs: 1_000, count: 999 }])).toBeNull();
});

test('entries of which nearly all came equally late, as far as is known, are told of once', () => {
  expect(said([...UNTOLD, { upToMs: 11_000, count: 2 }])).toBe(
    'of 25,072 entries all but one in a thousand came in time as far as known',
  );
});

/** What is shown of one stream, with these changes to one that is caught up. */
const shown = (changes: Partial<StreamStatus>, width: number | null = null) =>
  statusText(
    [{ stream: 'datadog.web', status: statusOf({ lateness: [], ...changes }), setting: 'in force' }],
    NOW,
    width,
  );

test('where the terminal is narrower than the table each stream is a block of lines that fit', () => {
  const gaps = [{ kind: 'expired', count: 12, lengthMs: 3_600_000 }] as const;
  const quota = { limit: 300, remaining: 12, resetMs: NOW + 1_800_000 };
  const wide = shown({ gaps, quota });
  const [head = ''] = wide.split('\n');
  expect(head).toMatch(/^stream +covered until +lag +gaps +stored +last sync +quota left +expires in$/);
  const widest = Math.max(
    ...(wide
      .split('\n\n')[0]
      ?.split('\n')
      .map(({ length }) => length) ?? []),
  );
  expect(widest).toBeGreaterThan(80);
  expect(shown({ gaps, quota }, widest)).toBe(wide);
  const narrow = shown({ gaps, quota }, 80);
  expect(narrow).toContain(
    [
      'datadog.web',
      '  covered until: 2026-05-20 08:56:40Z',
      '  lag: 40 s',
      '  gaps: 12 expired (1 h)',
      '  stored: 1000',
      '  last sync: done 30 s ago',
      '  quota left: 12 of 300, resets in 30 min',
      '  expires in: 2 d 23 h',
      '',
      '',
    ].join('\n'),
  );
  expect(narrow).not.toContain('stream ');
});

test('windows in hand are told one by one, those that somebody reads first, and many of them as one', () => {
  const window = (hour: number, holder: string | null) => ({
    job: 'sweep' as const,
    fromMs: NOW - hour * 3_600_000,
    toMs: NOW - (hour - 1) * 3_600_000,
    doneToMs: null,
    pages: 2,
    holder,
  });
  const idle = Array.from({ length: 12 }, (_, i) => window(20 - i, null));
  const lines = (windows: StreamStatus['windows']) =>
    shown({ windows })
      .split('\n')
      .filter((line) => line.includes('in hand'));
  expect(lines([...idle, window(1, 'host:1:abc')])).toEqual([
    'datadog.web: window in hand 2026-05-20 07:57:20Z to 2026-05-20 08:57:20Z, 2 pages stored, held by host:1:abc',
    'datadog.web: window in hand 2026-05-19 12:57:20Z to 2026-05-19 13:57:20Z, 2 pages stored, waits for the next run',
    'datadog.web: 11 more windows in hand, 2026-05-19 13:57:20Z to 2026-05-20 00:57:20Z, 22 pages stored: 11 for the next run',
  ]);
  expect(lines(idle.slice(0, 3))).toHaveLength(3);
});

const error = 'datadog.web: the API answered 401';
const failing = { sinceMs: NOW - 120_000, runs: 2, kind: 'auth', error };

test('the name of the stream stands once before the error of its last sync', () => {
  const text = shown({ lastSync: runOf({ outcome: 'failed', error }), failing });
  expect(text).toContain('datadog.web: the last sync failed: the API answered 401\n');
  expect(text.match(/401/g)).toHaveLength(1);
});

test('a sync that failed is shown, whatever job ended after it', () => {
  const status = {
    lastSync: runOf({ outcome: 'failed', finishedMs: NOW - 60_000, error }),
    lastRun: runOf({ job: 'sweep' }),
    failing,
  };
  expect(shown(status)).toMatch(/^datadog\.web .* failed 1 min ago /m);
  const json = statusJson([
    {
      stream: 'datadog.web',
      status: statusOf({ lateness: [], settledToMs: null, ...status }),
      setting: 'in force',
    },
  ]);
  expect(json).toMatchObject({
    streams: [
      { last_run: { job: 'sweep', outcome: 'done' }, last_sync: { job: 'sync', outcome: 'failed', error } },
    ],
  });
});

test('a failure stays told while the next sync has not got to its end', () => {
  const running = [runningOf()];
  expect(shown({ running, lastSync: running[0], lastRun: running[0], failing })).toContain(
    'datadog.web: no sync has succeeded for 2 min: the API answered 401\n',
  );
  expect(shown({ lastSync: runOf({ outcome: 'stopped' }), failing })).toContain(
    'no sync has succeeded for 2 min',
  );
});

test('the last failure of another job is told, also where the syncs are well', () => {
  const failed = [runOf({ job: 'sweep', outcome: 'failed', finishedMs: NOW - 7_200_000, error })];
  expect(shown({ failedJobs: failed })).toContain(
    'datadog.web: the last sweep failed 2 h ago: the API answered 401\n',
  );
  const json = statusJson([
    {
      stream: 'datadog.web',
      status: statusOf({ lateness: [], settledToMs: null, failedJobs: failed }),
      setting: 'in force',
    },
  ]);
  expect(json).toMatchObject({ streams: [{ failed_jobs: [{ job: 'sweep', outcome: 'failed', error }] }] });
});

test('of a quota whose window is over nothing is known', () => {
  for (const quota of [
    { limit: 100, remaining: 3, resetMs: NOW - 1 },
    { limit: 100, remaining: null, resetMs: null },
  ])
    expect(shown({ quota })).toMatch(/ - +2 d 23 h/);
  expect(shown({ quota: { limit: null, remaining: 3, resetMs: null } })).toMatch(/ 3 +2 d 23 h/);
});
