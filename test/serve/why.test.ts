import { describe, expect, it } from 'vitest';
import { spanText } from '../../src/amounts.ts';
import { explain, type WhyInput } from '../../src/serve/why.ts';
import type { StreamStatus } from '../../src/store/status.ts';
import { DAY, HOUR, MINUTE, NOW, runningOf, runOf, statusOf } from './statuses.ts';

const LATE = 42 * MINUTE;
const WINDOW = {
  job: 'sync',
  fromMs: NOW - 57 * MINUTE - 20_000,
  toMs: NOW - 42 * MINUTE - 20_000,
  doneToMs: null,
  pages: 4,
  holder: null,
};

function why(status: StreamStatus | null, more: Partial<WhyInput> = {}) {
  return explain({ stream: 'datadog.web', status, settleMs: 30_000, processes: 1, ...more });
}

function late(changes: Partial<StreamStatus> = {}): StreamStatus {
  return statusOf({ behindMs: LATE, ...changes });
}

describe('one sentence says why a stream is where it is', () => {
  it('caught up: until when all is stored, and that nothing is lost', () => {
    expect(why(statusOf())).toMatchObject({
      cause: 'caught_up',
      sentence: 'datadog.web is caught up: all until 08:56:40Z is stored; nothing lost',
      behindMs: 40_000,
      next: null,
    });
  });

  it('caught up, but the last syncs failed: why, and nothing of it once one gets something', () => {
    const failing = { sinceMs: NOW - MINUTE, runs: 1, kind: 'auth', error: 'datadog.web: 401 Unauthorized' };
    expect(why(statusOf({ failing }))).toMatchObject({
      cause: 'caught_up',
      sentence:
        'datadog.web is caught up: all until 08:56:40Z is stored; nothing lost; but the last sync failed: the API refuses the credentials (401 Unauthorized)',
    });
    expect(
      why(statusOf({ failing: { ...failing, runs: 3, kind: 'unavailable', error: null } })).sentence,
    ).toMatch(/; but the last 3 syncs failed: the API is down$/);
    expect(
      why(statusOf({ failing: { ...failing, kind: 'protocol', error: 'no logs in it' } })).sentence,
    ).toMatch(/; but the last sync failed: no logs in it$/);
    expect(why(statusOf({ failing, running: [runningOf({ fetched: 5 })] })).sentence).toMatch(
      /; nothing lost$/,
    );
  });

  it('counts as caught up for three minutes beyond the settle delay, and no longer', () => {
    expect(why(statusOf({ behindMs: 3 * MINUTE + 30_000 })).cause).toBe('caught_up');
    expect(why(statusOf({ behindMs: 3 * MINUTE + 30_001 })).cause).toBe('due');
    expect(why(statusOf({ behindMs: 5 * MINUTE }), { settleMs: 120_000 }).cause).toBe('caught_up');
  });

  it('read less often than it was set to: how often, and that its quota allows no more', () => {
    const spread = { everyMs: 5_000, paceMs: 14_035 };
    expect(why(statusOf(), { spread })).toMatchObject({
      cause: 'caught_up',
      sentence:
        'datadog.web is caught up: all until 08:56:40Z is stored; it is read every 14 s instead of every 5 s: its quota allows no more; nothing lost',
    });
    expect(why(late(), { spread: { everyMs: 60_000, paceMs: 50 * MINUTE } })).toMatchObject({
      cause: 'paced',
      sentence: expect.stringMatching(
        /^datadog\.web is 42 min behind because it is read every 50 min instead of every 1 min: its quota allows no more; next window /,
      ),
    });
    expect(why(late(), { spread, processes: 0 }).cause).toBe('no_process');
  });

  it('quota spent: until when, what is read then, and that nothing is lost', () => {
    const untilMs = NOW + 80 * MINUTE;
    const running = [runningOf({ waitsUntilMs: untilMs, fetched: 5000 })];
    expect(why(late({ running, windows: [WINDOW] }))).toMatchObject({
      cause: 'quota',
      sentence:
        'datadog.web is 42 min behind because the quota is spent until 10:17Z; next window 08:00-08:15Z; nothing lost',
      untilMs,
      next: { from: WINDOW.fromMs, to: WINDOW.toMs },
    });
  });

  it('quota spent is also known from what the API last told, where no process waits for it', () => {
    const quota = { limit: 300, remaining: 0, resetMs: NOW + 10 * MINUTE };
    expect(why(late({ quota })).sentence).toContain('because the quota is spent until 09:07Z');
    expect(why(late({ quota: { ...quota, resetMs: NOW - 1 } })).cause).toBe('due');
    expect(why(late({ quota: { ...quota, remaining: 1 } })).cause).toBe('due');
  });

  it('a wait for quota that is over is no cause any more', () => {
    const running = [runningOf({ waitsUntilMs: NOW - 1, fetched: 10 })];
    expect(why(late({ running })).cause).toBe('backlog');
  });

  it('the API is down: since when, and the last error', () => {
    const failing = { sinceMs: NOW - 2 * HOUR, runs: 60, kind: 'unavailable', error: 'api.x: ECONNREFUSED' };
    expect(why(late({ failing }))).toMatchObject({
      cause: 'unavailable',
      sinceMs: failing.sinceMs,
      sentence: expect.stringContaining('because the API is down since 06:57Z (api.x: ECONNREFUSED);'),
    });
  });

  it('the API stays down while a run tries in vain, and no longer once one gets something', () => {
    const failing = { sinceMs: NOW - HOUR, runs: 9, kind: 'unavailable', error: 'no answer' };
    expect(why(late({ failing, running: [runningOf({ retries: 3 })] })).cause).toBe('unavailable');
    expect(why(late({ failing, running: [runningOf({ fetched: 100 })] })).cause).toBe('backlog');
  });

  it('credentials refused: said as such, with the error, and that no process runs if none does', () => {
    const failing = { sinceMs: NOW - HOUR, runs: 60, kind: 'auth', error: 'datadog.web: 403 Forbidden' };
    expect(why(late({ failing }), { processes: 0 })).toMatchObject({
      cause: 'auth',
      sentence: expect.stringContaining(
        'because the API refuses the credentials since 07:57Z (403 Forbidden), and no process runs',
      ),
    });
  });

  it.each(['protocol', 'database', 'bug', null])(
    'failing runs of kind %s: how many, since when, the last error',
    (kind) => {
      const failing = { sinceMs: NOW - HOUR, runs: 1200, kind, error: 'something else' };
      expect(why(late({ failing }))).toMatchObject({
        cause: 'failing',
        sentence: expect.stringContaining('because the last 1,200 runs failed since 07:57Z (something else)'),
      });
    },
  );

  it('a long error is cut', () => {
    const failing = { sinceMs: NOW - HOUR, runs: 1, kind: 'protocol', error: 'x'.repeat(5000) };
    expect(why(late({ failing })).sentence.length).toBeLessThan(400);
  });

  it('a backlog: how much was read, how quickly, and how long it takes', () => {
    const running = [runningOf({ fetched: 12_000, readyAtMs: NOW + 14 * MINUTE })];
    expect(why(late({ running }))).toMatchObject({
      cause: 'backlog',
      sentence: expect.stringContaining(
        'because host:1:abc reads a backlog: 12,000 entries so far, 200/s, about 14 min to go',
      ),
      untilMs: NOW + 14 * MINUTE,
    });
    expect(why(late({ running: [runningOf({ fetched: 30 })] })).sentence).toContain(
      '30 entries so far, 0.5/s;',
    );
  });

  it('a run that has got nothing yet says since when it tries, and how often it tried again', () => {
    expect(why(late({ running: [runningOf({ retries: 2 })] })).sentence).toContain(
      'because host:1:abc began to read 1 min ago and has retried 2 requests',
    );
  });

  it('a sweep or a backfill that runs is no reason of the live log', () => {
    expect(why(late({ running: [runningOf({ job: 'sweep', fetched: 10 })] })).cause).toBe('due');
  });

  it('held: another process has the window, and no run of it shows', () => {
    expect(why(late({ windows: [{ ...WINDOW, holder: 'host:9:dead' }] }))).toMatchObject({
      cause: 'held',
      sentence: expect.stringContaining('because host:9:dead holds its window; next window 08:00-08:15Z'),
    });
  });

  it.each([
    ['done', 'its last run ended 2 h ago'],
    ['crashed', 'its last run died without reporting 2 h ago'],
    ['stopped', 'its last run was stopped 2 h ago'],
  ])('no process runs, the last run being %s: %s', (outcome, text) => {
    const lastSync = runOf({ outcome, finishedMs: NOW - 2 * HOUR });
    expect(why(late({ lastSync }), { processes: 0 })).toMatchObject({
      cause: 'no_process',
      sentence: expect.stringContaining(`because no process runs: ${text}`),
      sinceMs: NOW - 2 * HOUR,
    });
  });

  it('processes serve, but the next run is still due: how many, and when the last one ended', () => {
    const lastSync = runOf({ finishedMs: NOW - 5 * MINUTE });
    expect(why(late({ lastSync }), { processes: 3 }).sentence).toContain(
      'because its next run is due: its last run ended 5 min ago, and 3 processes serve',
    );
  });

  it('not configured here, never read, and never read with these settings', () => {
    expect(why(late(), { settleMs: null, processes: 0 }).cause).toBe('not_configured');
    expect(why(null, { processes: 0 }).sentence).toBe(
      'datadog.web was never read: start `logkeep serve`, or run `logkeep sync`',
    );
    expect(why(null, { processes: 2, changed: true }).sentence).toBe(
      'datadog.web was never read with these settings: 2 processes serve, and its first run is due',
    );
  });
});

describe('what is lost, near to it, or still to be read is said with every cause', () => {
  it('expired spans: how much', () => {
    const gaps = [{ kind: 'expired', count: 2, lengthMs: 3 * HOUR }];
    expect(why(statusOf({ gaps }))).toMatchObject({
      cause: 'caught_up',
      lostMs: 3 * HOUR,
      sentence: expect.stringMatching(/; 3 h lost: expired before it was read$/),
    });
    const failing = { sinceMs: NOW - HOUR, runs: 9, kind: 'auth', error: null };
    expect(why(late({ gaps, failing })).sentence).toMatch(
      /credentials since .*; 3 h lost: expired before it was read$/,
    );
  });

  it('what is about to expire, and what is expiring', () => {
    const missingFromMs = NOW - 2 * DAY - 22 * HOUR;
    expect(why(late({ missingFromMs, expiresInMs: 2 * HOUR })).sentence).toMatch(
      /; nothing lost; what is not read expires from 2026-05-17 10:57Z on, in 2 h$/,
    );
    expect(why(late({ missingFromMs, expiresInMs: -1 })).sentence).toMatch(
      /what is not read from 2026-05-17 10:57Z on is expiring now$/,
    );
  });

  it('what open backfills have still to read, beside a live log that is caught up', () => {
    const status = statusOf({
      gaps: [{ kind: 'hole', count: 1, lengthMs: 3 * HOUR }],
      owedHoles: { count: 0, lengthMs: 0 },
      backfill: { count: 1, missingMs: 3 * HOUR, expiresInMs: 2 * HOUR },
    });
    const why = explain({ stream: 'datadog.web', status, settleMs: 30_000, processes: 0 });
    expect(why.cause).toBe('caught_up');
    expect(why.sentence).toMatch(
      /; nothing lost; 1 backfill has 3 h left to read, the oldest of which expires in 2 h, and no process runs$/,
    );
  });

  it('holes behind the newest coverage are not caught up: the oldest comes next', () => {
    const from = Date.UTC(2026, 4, 19, 10, 0);
    const status = statusOf({
      gaps: [{ kind: 'hole', count: 2, lengthMs: 3 * HOUR }],
      missingFromMs: from,
      missingToMs: from + HOUR,
    });
    expect(why(status)).toMatchObject({
      cause: 'due',
      sentence: expect.stringMatching(
        /^datadog\.web is caught up but for 2 holes \(3 h\) because .*; next window 2026-05-19 10:00-11:00Z; nothing lost$/,
      ),
    });
  });

  it('a stream of which nothing is covered is behind by all that was asked for', () => {
    const status = statusOf({ coveredToMs: null, lagMs: null, missingFromMs: NOW - 2 * DAY });
    expect(why(status)).toMatchObject({
      behindMs: 2 * DAY,
      sentence: expect.stringMatching(
        /^datadog\.web is 2 d behind .*next window 2026-05-18 08:57 to 2026-05-20 08:56Z/,
      ),
    });
  });

  it('the next window begins where what is stored of it ends', () => {
    const windows = [{ ...WINDOW, doneToMs: WINDOW.fromMs + 5 * MINUTE }];
    expect(why(late({ windows })).sentence).toContain('next window 08:05-08:15Z');
  });

  it('a short span is said to the second', () => {
    expect(spanText({ from: NOW - 30_000, to: NOW }, NOW)).toBe('08:56:50-08:57:20Z');
  });
});
