import { describe, expect, it } from 'vitest';
import { ALERT_KINDS, firingAlerts, type WatchedStream } from '../../src/serve/alert-rules.ts';
import { slackMessage } from '../../src/serve/webhook.ts';
import type { StreamStatus } from '../../src/store/status.ts';
import { DAY, HOUR, MINUTE, modelOf, NOW, runningOf, statusOf } from './statuses.ts';

const SETTINGS = {
  lagMs: 15 * MINUTE,
  expiryMs: 12 * HOUR,
  silenceMs: 'auto' as number | 'auto' | null,
  repeatMs: HOUR,
};
const WATCHED: readonly WatchedStream[] = [{ stream: 'datadog.web', fingerprint: 'f', settleMs: 30_000 }];

function kinds(
  changes: Partial<StreamStatus> & { behindMs?: number },
  settings = SETTINGS,
): readonly string[] {
  return firingAlerts(modelOf(statusOf(changes)), WATCHED, settings).map(({ kind }) => kind);
}

const failing = { sinceMs: NOW - HOUR, runs: 60, kind: 'auth', error: 'api: 403 Forbidden' };
const quiet = { lengthMs: 0, longestMs: 30 * MINUTE, historyMs: 2 * DAY, arrivals: 200 };

describe('what counts as trouble', () => {
  it('a stream that is caught up has none', () => expect(kinds({})).toEqual([]));

  it('lag beyond the setting, and not at it', () => {
    expect(kinds({ behindMs: 15 * MINUTE })).toEqual([]);
    expect(kinds({ behindMs: 15 * MINUTE + 1 })).toEqual(['lag']);
  });

  it('lag that every stream has between two ticks is none, however small the setting', () => {
    const small = { ...SETTINGS, lagMs: MINUTE };
    expect(kinds({ behindMs: 3 * MINUTE + 30_000 }, small)).toEqual([]);
    expect(kinds({ behindMs: 3 * MINUTE + 30_001 }, small)).toEqual(['lag']);
  });

  it('a first read gets as long as the lag setting before it is trouble', () => {
    const [trouble] = firingAlerts(modelOf(statusOf({ coveredToMs: null, lagMs: null })), WATCHED, SETTINGS);
    expect(trouble).toMatchObject({ kind: 'lag', holdMs: 15 * MINUTE });
  });

  it('a first read that gets on is none, however far behind; one that stands still is', () => {
    const first = {
      firstRead: true,
      behindMs: 39 * HOUR,
      storedAgoMs: 5 * MINUTE,
      running: [runningOf({ fetched: 5 })],
    };
    expect(kinds(first)).toEqual([]);
    expect(kinds({ ...first, storedAgoMs: 5 * MINUTE + 1 })).toEqual(['lag']);
    expect(kinds({ ...first, running: [] })).toEqual(['lag']);
    expect(kinds({ ...first, running: [runningOf({ fetched: 0 })] })).toEqual(['lag']);
    expect(kinds({ ...first, running: [runningOf({ fetched: 5, job: 'backfill' })] })).toEqual(['lag']);
    expect(kinds({ ...first, firstRead: false })).toEqual(['lag']);
  });

  it('what a first read begins with expires soon: that is told only if it lasts', () => {
    const first = { firstRead: true, expiresInMs: MINUTE, running: [runningOf({ fetched: 5 })] };
    const [held] = firingAlerts(modelOf(statusOf(first)), WATCHED, SETTINGS);
    expect(held).toMatchObject({ kind: 'expiry', holdMs: 15 * MINUTE });
    const [told] = firingAlerts(modelOf(statusOf({ ...first, running: [] })), WATCHED, SETTINGS);
    expect(told).toMatchObject({ kind: 'expiry', holdMs: 0 });
    expect(kinds({ expiresInMs: MINUTE, untouched: true })).toEqual([]);
  });

  it('what expires sooner than the setting, but never more than half of the retention', () => {
    expect(kinds({ behindMs: MINUTE, expiresInMs: 12 * HOUR })).toEqual(['expiry']);
    expect(kinds({ behindMs: MINUTE, expiresInMs: 12 * HOUR + 1 })).toEqual([]);
    expect(kinds({ behindMs: MINUTE, retentionMs: 2 * HOUR, expiresInMs: HOUR + 1 })).toEqual([]);
    expect(kinds({ behindMs: MINUTE, retentionMs: 2 * HOUR, expiresInMs: HOUR })).toEqual(['expiry']);
  });

  it('entries lost lately; what was lost long ago is told no more', () => {
    const gaps = [{ kind: 'expired', count: 1, lengthMs: HOUR }];
    expect(kinds({ gaps })).toEqual([]);
    expect(kinds({ gaps, lostLatelyMs: HOUR })).toEqual(['gap']);
  });

  it('credentials that are refused, until a run gets something', () => {
    expect(kinds({ failing })).toEqual(['auth']);
    expect(kinds({ failing, running: [runningOf({ fetched: 5 })] })).toEqual([]);
    expect(kinds({ failing: { ...failing, kind: 'unavailable' } })).toEqual([]);
  });

  it('entries that went to quarantine within the hour', () => {
    expect(kinds({ quarantined: 40 })).toEqual([]);
    const found = firingAlerts(
      modelOf(statusOf({ quarantined: 40, quarantinedLately: 3 })),
      WATCHED,
      SETTINGS,
    );
    expect(found).toMatchObject([
      {
        kind: 'quarantine',
        sentence: '3 entries of datadog.web went to quarantine within the last hour, where 40 wait now',
      },
    ]);
  });

  it('silence: three times as long as ever, an hour at least, and only by a history that says something', () => {
    expect(kinds({ quiet: { ...quiet, lengthMs: 90 * MINUTE } })).toEqual([]);
    expect(kinds({ quiet: { ...quiet, lengthMs: 90 * MINUTE + 1 } })).toEqual(['silence']);
    expect(kinds({ quiet: { ...quiet, longestMs: MINUTE, lengthMs: HOUR } })).toEqual([]);
    expect(kinds({ quiet: { ...quiet, longestMs: MINUTE, lengthMs: HOUR + 1 } })).toEqual(['silence']);
    expect(kinds({ quiet: { ...quiet, lengthMs: 5 * HOUR, historyMs: 23 * HOUR } })).toEqual([]);
    expect(kinds({ quiet: { ...quiet, lengthMs: 5 * HOUR, arrivals: 9 } })).toEqual([]);
  });

  it('silence by a fixed length needs no history, and can be off', () => {
    const long = { quiet: { lengthMs: 3 * HOUR, longestMs: 0, historyMs: 3 * HOUR, arrivals: 0 } };
    expect(kinds(long, { ...SETTINGS, silenceMs: 2 * HOUR })).toEqual(['silence']);
    expect(kinds(long, { ...SETTINGS, silenceMs: 3 * HOUR })).toEqual([]);
    expect(kinds({ quiet: { ...quiet, lengthMs: 9 * DAY } }, { ...SETTINGS, silenceMs: null })).toEqual([]);
  });

  it('credentials that are refused, with the name of the stream once', () => {
    const named = { ...failing, error: 'datadog.web: 403 Forbidden' };
    expect(firingAlerts(modelOf(statusOf({ failing: named })), WATCHED, SETTINGS)).toMatchObject([
      { kind: 'auth', sentence: 'the API refuses the credentials of datadog.web: 403 Forbidden' },
    ]);
  });

  it('the remedy for refused credentials is a restart, as a signal does not change the environment', () => {
    expect(ALERT_KINDS.auth.remedy).toMatch(/restart logkeep/);
    expect(ALERT_KINDS.auth.remedy).not.toContain('SIGHUP');
  });

  it('several at once are all told', () => {
    expect(kinds({ behindMs: 2 * DAY, expiresInMs: HOUR, failing, lostLatelyMs: 5 })).toEqual([
      'lag',
      'gap',
      'expiry',
      'auth',
    ]);
  });

  it('what a backfill gets nowhere with and will expire; its holes are no gap of the live log', () => {
    const gaps = [{ kind: 'hole', count: 1, lengthMs: HOUR }];
    const owedHoles = { count: 0, lengthMs: 0 };
    const backfill = { count: 2, missingMs: HOUR, expiresInMs: 12 * HOUR };
    const open = statusOf({ gaps, owedHoles, backfill });
    expect(firingAlerts(modelOf(open), WATCHED, SETTINGS)).toEqual([
      {
        stream: 'datadog.web',
        kind: 'expiry',
        sentence: 'datadog.web: 2 backfills have 1 h left to read, the oldest of which expires in 12 h',
        holdMs: 15 * MINUTE,
      },
    ]);
    expect(kinds({ gaps, owedHoles, backfill: { ...backfill, expiresInMs: 12 * HOUR + 1 } })).toEqual([]);
  });

  it('a stream that is not of this process, or has other settings now, is not its trouble', () => {
    expect(kinds({ stream: 'datadog.old', behindMs: DAY })).toEqual([]);
    expect(kinds({ fingerprint: 'other', behindMs: DAY })).toEqual([]);
  });
});

describe('the message for Slack', () => {
  const due = {
    stream: 'datadog.web',
    kind: 'lag',
    receiver: 'slack',
    sentence: 'because <!channel> & co',
    sinceMs: NOW - HOUR,
    endedMs: null,
    sends: 0,
  };

  it('shows what an API said to the letter: no channel is called, no link is set', () => {
    expect(slackMessage([due]).text).toContain('because &lt;!channel&gt; &amp; co');
  });

  it('says how long trouble lasted when it is over, and how often it was told', () => {
    expect(slackMessage([{ ...due, endedMs: NOW }]).text).toBe(
      ':white_check_mark: *lag* of datadog.web is over after 1 h',
    );
    expect(slackMessage([{ ...due, sends: 2 }]).text).toContain('*lag* (told 3 times)');
  });

  it('twenty at most, and how many more there are', () => {
    const lines = slackMessage(Array.from({ length: 25 }, () => due)).text.split('\n');
    expect(lines).toHaveLength(21);
    expect(lines[20]).toBe('and 5 more');
  });
});
