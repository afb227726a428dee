import fc from 'fast-check';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { silentLog } from '../../src/log.ts';
import type { QuotaGrant, QuotaReport, Rank } from '../../src/sources/shared-quota.ts';
import { openPool } from '../../src/store/database.ts';
import { credentialOf, openQuota } from '../../src/store/quota.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';

const START = Date.UTC(2026, 4, 1, 12);
const HOUR = 3_600_000;

let database: TestDatabase;
let pool: pg.Pool;
let now = START;
let keys = 0;

const clock: Clock = { now: () => now, sleep: async () => {} };

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = openPool(database.url, { name: 'test', max: 4 });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

type Window = NonNullable<QuotaReport['window']>;
type Take = (changes?: Partial<QuotaReport>) => Promise<QuotaGrant>;

/** Processes that share a credential nobody used before; the clock begins anew. */
function processes(count: number, o: { clock?: Clock | null } = {}): readonly Take[] {
  now = START;
  const key = `toy http://127.0.0.1 ${++keys}`;
  return Array.from({ length: count }, (_, i) => {
    const plan = openQuota({
      pool,
      holder: `host:${i}:abc`,
      clock: o.clock === undefined ? clock : o.clock,
      log: silentLog,
    });
    return async (changes = {}) => {
      const grant = await plan.take(key, { ...NOTHING, ...changes });
      if (grant === null) throw new Error('the database did not answer');
      return grant;
    };
  });
}

const NOTHING: QuotaReport = {
  rank: 0,
  need: 0,
  holding: 0,
  reserve: 0,
  live: 0,
  unanswered: 0,
  pauseMs: 0,
  unbounded: false,
  window: null,
  leaves: false,
};

/** What an answer tells of an hour's window of 100 requests. */
function told(remaining: number, changes: Partial<Window> = {}): Window {
  return { limit: 100, remaining, restMs: HOUR, ageMs: 0, windowId: null, periodMs: HOUR, ...changes };
}

describe('while nothing is known of a window', () => {
  test('one process asks, and the others wait for its answer', async () => {
    const [a, b] = processes(2) as [Take, Take];
    expect(await a({ need: 3 })).toMatchObject({ granted: 1, window: null });
    expect(await b({ need: 3 })).toMatchObject({ granted: 0, waitMs: 250 });
    await a({ window: told(80) });
    expect(await b({ need: 3 })).toMatchObject({ granted: 3, window: { limit: 100, remaining: 80 } });
  });

  test('of processes that come at the same moment one alone asks', async () => {
    const all = processes(6);
    const grants = await Promise.all(all.map((take) => take({ need: 1 })));
    expect(grants.reduce((sum, { granted }) => sum + granted, 0)).toBe(1);
  });

  test('another one asks when the first one`s request failed, and after ten seconds when it died', async () => {
    const [a, b, c] = processes(3) as [Take, Take, Take];
    await a({ need: 1 });
    await a({ holding: 0, unanswered: 1 });
    expect((await b({ need: 1 })).granted).toBe(1);
    now += 9_900;
    expect((await c({ need: 1 })).granted).toBe(0);
    now += 200;
    expect((await c({ need: 1 })).granted).toBe(1);
  });

  test('the next window is asked for by one process, live first', async () => {
    const [live, backfill] = processes(2) as [Take, Take];
    await live({ need: 1 });
    expect(
      (await live({ need: 1, window: told(0, { restMs: 60_000, periodMs: 60_000 }) })).waitMs,
    ).toBeCloseTo(60_000, -2);
    now += 60_500;
    expect((await backfill({ need: 1, rank: 2 })).granted).toBe(0);
    expect((await live({ need: 1 })).granted).toBe(1);
    await live({ window: told(90, { restMs: 59_500, periodMs: 60_000 }), live: 1 });
    expect((await backfill({ need: 1, rank: 2 })).granted).toBe(1);
  });
});

describe('while a window is open', () => {
  test('what one process was given and has not used is nobody else`s', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 1 });
    expect((await a({ need: 6, window: told(10) })).granted).toBe(6);
    expect((await b({ need: 6 })).granted).toBe(4);
    expect((await b({ need: 1, holding: 4 })).granted).toBe(0);
    await a({ holding: 2 });
    expect((await b({ need: 6, holding: 4 })).granted).toBe(4);
  });

  test('what a process held that was not heard of for a minute, or has left, is free', async () => {
    const [a, b, c] = processes(3) as [Take, Take, Take];
    await a({ need: 1 });
    await a({ need: 10, window: told(10) });
    now += 59_000;
    expect((await b({ need: 4 })).granted).toBe(0);
    now += 2_000;
    expect((await b({ need: 4 })).granted).toBe(4);
    await b({ leaves: true });
    expect((await c({ need: 10 })).granted).toBe(10);
  });

  test('a request that went unanswered counts as used', async () => {
    const [a] = processes(1) as [Take];
    await a({ need: 1 });
    await a({ need: 3, window: told(3) });
    await a({ unanswered: 3 });
    expect((await a({ need: 1 })).granted).toBe(0);
  });

  test('many are given at once where there are many, one by one where there are few', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 1 });
    const million = told(999_000, { limit: 1_000_000 });
    expect((await a({ need: 1, window: million })).granted).toBe(1_024);
    const [c] = processes(1) as [Take];
    await c({ need: 1 });
    expect((await c({ need: 1, window: told(300, { limit: 300 }) })).granted).toBe(1);
    expect(b).toBeTypeOf('function');
  });

  test('the reserve stays, but for one request a window', async () => {
    const [a] = processes(1) as [Take];
    await a({ need: 1 });
    expect((await a({ need: 50, reserve: 0.3, window: told(40) })).granted).toBe(10);
    const [b] = processes(1) as [Take];
    await b({ need: 1, reserve: 1 });
    expect((await b({ need: 5, reserve: 1, window: told(2, { limit: 2 }) })).granted).toBe(1);
  });

  test('answers of processes that overtake each other do not make it more', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 1 });
    await b({ window: told(30) });
    expect((await a({ window: told(40) })).window).toMatchObject({ remaining: 30 });
    expect((await a({ need: 50 })).granted).toBe(30);
  });

  test('a late answer of the window before does not bring it back', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 2 });
    await a({ window: told(0, { restMs: 10_000, periodMs: 10_000 }) });
    now += 10_100;
    await b({ need: 1 });
    await b({ window: told(9, { limit: 10, restMs: 9_900, periodMs: 10_000 }) });
    const late = told(0, { restMs: 100, ageMs: 8_000, periodMs: 10_000 });
    expect((await a({ window: late })).window).toMatchObject({ remaining: 9 });
    expect((await a({ window: told(7, { restMs: 9_000, periodMs: 10_000 }) })).window?.remaining).toBe(7);
  });
});

describe('a refusal', () => {
  test('of one process holds the others too, of all ranks, until it is over', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 1 });
    await a({ window: told(50) });
    await a({ pauseMs: 30_000 });
    expect(await b({ need: 1 })).toMatchObject({ granted: 0, pauseMs: 30_000 });
    now += 30_001;
    expect((await b({ need: 1 })).granted).toBe(1);
  });

  test('holds those too that count nothing out', async () => {
    const [a, b] = processes(2) as [Take, Take];
    await a({ need: 1 });
    expect((await a({ unbounded: true })).unbounded).toBe(true);
    await a({ unbounded: true, pauseMs: 20_000 });
    expect(await b({ need: 1 })).toMatchObject({ granted: 0, unbounded: true, pauseMs: 20_000 });
  });
});

describe('sweep and backfill', () => {
  test('leave what live used in the windows before, less as the window goes on', async () => {
    const [live, low] = processes(2) as [Take, Take];
    await live({ need: 1 });
    await live({ window: told(99), live: 1 });
    await live({ window: told(41), live: 59 });
    now += HOUR;
    await live({ need: 1 });
    await live({ window: told(99), live: 1 });
    // 60 were used in the last window: 99 left less 60 for live.
    expect((await low({ need: 100, rank: 2 })).granted).toBe(39);
    const denied = await low({ need: 1, rank: 2, holding: 39 });
    expect(denied.granted).toBe(0);
    // One of 60 requests an hour is free a minute later.
    expect(denied.waitMs).toBeGreaterThan(30_000);
    expect(denied.waitMs).toBeLessThan(121_000);
    now += HOUR / 2;
    expect((await low({ need: 100, rank: 2, window: told(60, { restMs: HOUR / 2 }) })).granted).toBe(30);
  });

  test('leave a quarter to live before any window was seen to its end', async () => {
    const [low] = processes(1) as [Take];
    await low({ need: 1, rank: 2 });
    expect((await low({ need: 100, rank: 2, window: told(100) })).granted).toBe(75);
  });

  test('get all but the reserve where live uses nothing', async () => {
    const [low] = processes(1) as [Take];
    for (let window = 0; window < 8; window++) {
      await low({ need: 1, rank: 2 });
      await low({ window: told(99), rank: 2 });
      now += HOUR;
    }
    await low({ need: 1, rank: 2 });
    expect((await low({ need: 100, rank: 2, reserve: 0.1, window: told(99) })).granted).toBe(89);
  });

  test('get nothing while live waits, nor backfill while a sweep waits', async () => {
    const [live, sweep, backfill] = processes(3) as [Take, Take, Take];
    await live({ need: 1 });
    await live({ window: told(60) });
    // All that is left is in hand.
    await live({ need: 60 });
    expect((await live({ need: 5, holding: 60 })).granted).toBe(0);
    await live({ holding: 20 });
    expect((await sweep({ need: 1, rank: 1 })).granted).toBe(0);
    now += 5_000;
    expect((await sweep({ need: 1, rank: 1 })).granted).toBe(1);
    expect((await sweep({ need: 60, rank: 1, holding: 1 })).granted).toBeGreaterThan(0);
    await sweep({ need: 60, rank: 1, holding: 40 });
    await sweep({ rank: 1 });
    expect((await backfill({ need: 1, rank: 2 })).granted).toBe(0);
    now += 5_000;
    expect((await backfill({ need: 1, rank: 2 })).granted).toBe(1);
  });
});

test('windows of five seconds or less are not counted out; who else is there is told', async () => {
  const [a, b, c] = processes(3) as [Take, Take, Take];
  await a({ need: 1, rank: 0 });
  const burst = told(9, { limit: 10, restMs: 700, windowId: 1_777_777, periodMs: 1_000 });
  expect(await a({ need: 5, window: burst })).toMatchObject({ granted: 0, unbounded: true, others: 0 });
  expect(await b({ need: 1, rank: 2 })).toMatchObject({ unbounded: true, others: 1, othersLive: 1 });
  expect(await c({ need: 1, rank: 2 })).toMatchObject({ others: 2, othersLive: 1 });
  now += 16_000;
  expect(await c({ need: 1, rank: 2 })).toMatchObject({ others: 0, othersLive: 0 });
});

test('a clock that was a day ahead leaves nothing behind that holds', async () => {
  const [a, b] = processes(2) as [Take, Take];
  now += 86_400_000;
  await a({ need: 1 });
  await a({ need: 1, window: told(0), pauseMs: 60_000 });
  now -= 86_400_000;
  expect((await b({ need: 1 })).granted).toBe(1);
});

test('without a clock of ours the database`s counts', async () => {
  const [a, b] = processes(2, { clock: null }) as [Take, Take];
  await a({ need: 1 });
  await a({ window: told(5, { restMs: 3_000_000 }) });
  const { window } = await b({ need: 1 });
  expect(window?.restMs).toBeLessThanOrEqual(3_000_000);
  expect(window?.restMs).toBeGreaterThan(2_900_000);
});

test('neither the key nor the secret behind it is in the row', async () => {
  const credential = credentialOf('datadog https://api.example 0123456789abcdef');
  expect(credential).toMatch(/^datadog [0-9a-f]{24}$/);
  expect(credential).not.toContain('0123456789abcdef');
});

interface Flight {
  /** Given before anybody was told of the server's present window. */
  readonly old: boolean;
  readonly sentAt: number;
  served: (Window & { readonly endsAt: number }) | null;
}

interface Process {
  readonly take: Take;
  hand: number;
  handUntil: number;
  handOld: boolean;
  flights: Flight[];
  heard: (Window & { readonly endsAt: number; readonly heardAt: number }) | null;
  unanswered: number;
}

test('whatever processes, answers and resets do, no more is sent than the window allows less the reserve', async () => {
  const step = fc.record({
    what: fc.constantFrom(
      'take',
      'take',
      'send',
      'send',
      'serve',
      'serve',
      'answer',
      'answer',
      'lose',
      'pass',
    ),
    who: fc.nat(2),
    which: fc.nat(9),
    rank: fc.constantFrom(0, 0, 1, 2),
    need: fc.integer({ min: 1, max: 4 }),
    ms: fc.integer({ min: 1, max: 4_000 }),
  });
  const scene = fc.record({
    limit: fc.integer({ min: 1, max: 14 }),
    reserve: fc.constantFrom(0, 0.2, 0.5),
    periodS: fc.constantFrom(6, 20, 60),
    steps: fc.array(step, { minLength: 40, maxLength: 120 }),
  });
  let most = 0;
  await fc.assert(
    fc.asyncProperty(scene, async ({ limit, reserve, periodS, steps }) => {
      const periodMs = periodS * 1_000;
      const kept = Math.max(0, Math.min(Math.ceil(limit * reserve), limit - 1));
      const everybody: readonly Process[] = processes(3).map((take) => ({
        take,
        hand: 0,
        handUntil: 0,
        handOld: false,
        flights: [],
        heard: null,
        unanswered: 0,
      }));
      let window = Math.floor(now / periodMs);
      let used = 0;
      let old = 0;
      const turn = () => {
        const present = Math.floor(now / periodMs);
        if (present === window) return;
        window = present;
        used = 0;
        old = 0;
      };
      const serve = (flight: Flight) => {
        used += 1;
        if (flight.old || flight.sentAt < window * periodMs) old += 1;
        expect(used).toBeLessThanOrEqual(Math.max(limit - kept, old));
        if (limit - kept > 3 && old < 2) most = Math.max(most, used / (limit - kept));
      };
      for (const { what, who, which, rank, need, ms } of steps) {
        const one = everybody[who] as Process;
        if (now >= one.handUntil) one.hand = 0;
        const flight = one.flights[which % Math.max(1, one.flights.length)];
        turn();
        if (what === 'take') {
          const heard = one.heard !== null && one.heard.endsAt > now ? one.heard : null;
          const grant = await one.take({
            rank: rank as Rank,
            need,
            reserve,
            holding: one.hand + one.flights.length,
            unanswered: one.unanswered,
            window:
              heard === null ? null : { ...heard, restMs: heard.endsAt - now, ageMs: now - heard.heardAt },
          });
          one.unanswered = 0;
          if (grant.granted > 0) {
            one.hand += grant.granted;
            one.handUntil = now + (grant.window?.restMs ?? 10_000);
            one.handOld = grant.window === null || now + grant.window.restMs < (window + 1) * periodMs;
          }
        } else if (what === 'send' && one.hand > 0) {
          one.hand -= 1;
          one.flights.push({ old: one.handOld, sentAt: now, served: null });
        } else if (what === 'serve' && flight?.served === null) {
          serve(flight);
          const restMs = Math.ceil(((window + 1) * periodMs - now) / 1_000) * 1_000;
          flight.served = {
            ...{ limit, remaining: Math.max(0, limit - used), restMs },
            ...{ ageMs: 0, windowId: null, periodMs, endsAt: now + restMs },
          };
        } else if ((what === 'answer' && flight?.served) || (what === 'lose' && flight !== undefined)) {
          one.flights = one.flights.filter((other) => other !== flight);
          if (what === 'lose' || flight.served === null) {
            one.unanswered += 1;
            // Lost on its way there or back.
            if (which % 2 === 0 && flight.served === null) serve(flight);
            continue;
          }
          const { served } = flight;
          const { endsAt } = served;
          const same = one.heard !== null && Math.abs(one.heard.endsAt - endsAt) <= 1_500;
          if (same && one.heard !== null && one.heard.endsAt > now) {
            const remaining = Math.min(one.heard.remaining, served.remaining);
            one.heard = { ...one.heard, remaining, heardAt: Math.max(one.heard.heardAt, flight.sentAt) };
          } else if (one.heard === null || endsAt > one.heard.endsAt) {
            one.heard = { ...served, heardAt: flight.sentAt };
          }
        } else if (what === 'pass') now += ms;
      }
    }),
    { numRuns: 600, endOnFailure: true },
  );
  // A plan that gives nothing would hold all that too.
  expect(most).toBeGreaterThan(0.4);
}, 120_000);
