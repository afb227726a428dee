import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Log, silentLog } from '../../src/log.ts';
import { createGate, type QuotaGate, type Turn } from '../../src/sources/quota.ts';
import type { Allowance, Answered, GateSettings } from '../../src/sources/ration.ts';
import type { QuotaReport, SharedQuota } from '../../src/sources/shared-quota.ts';
import { openPool } from '../../src/store/database.ts';
import { openQuota } from '../../src/store/quota.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { type TestClock, testClock, turn, settle as turns } from './stand.ts';

const OPEN: GateSettings = { concurrency: 8, spacingMs: 0, reserve: 0 };
const LIVE = 2;
const BACKFILL = 8;

let database: TestDatabase;
let pool: pg.Pool;
let keys = 0;
const gates: QuotaGate[] = [];
/** Questions to the plan that are under way: they take real time, in which the tests' clocks must stand still. */
const questions = new Set<Promise<unknown>>();

beforeAll(async () => {
  database = await createMigratedDatabase();
  pool = openPool(database.url, { name: 'test', max: 4 });
});

afterEach(async () => {
  await Promise.all(gates.splice(0).map((gate) => gate.close()));
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** The gate of one process; processes of one `key` share the plan. */
function processOn(
  clock: TestClock,
  key: string,
  o: { settings?: Partial<GateSettings>; plan?: SharedQuota } = {},
): QuotaGate & { readonly asked: readonly QuotaReport[] } {
  const asked: QuotaReport[] = [];
  const holder = `host:${++keys}:abc`;
  // A slow machine must not be taken for a database that is away.
  const plan = o.plan ?? openQuota({ pool, holder, clock, log: silentLog, patienceMs: 30_000 });
  const shared: SharedQuota = {
    take: (name, report) => {
      asked.push(report);
      const question = plan.take(name, report);
      const done = () => questions.delete(question);
      questions.add(question);
      question.then(done, done);
      return question;
    },
  };
  const gate = createGate(key, { ...OPEN, ...o.settings }, { clock, random: () => 0.5, shared });
  gates.push(gate);
  return { ...gate, asked };
}

const newKey = () => `toy http://127.0.0.1 ${++keys}`;

function allowance(remaining: number, changes: Partial<Allowance> = {}): Allowance {
  return { limit: 10, remaining, resetInMs: 60_000, windowId: null, periodMs: 60_000, ...changes };
}

const ok = (told: Allowance | null = null): Answered => ({ kind: 'ok', allowance: told, retryAfterMs: null });

/** A request, and what the gate then tells the plan: else who asks next may be told to wait for it. */
async function ask(gate: QuotaGate, answer: () => Answered, changes: Partial<Turn> = {}): Promise<void> {
  await gate.run(turn(changes), async (answered) => answered(answer()));
  await Promise.allSettled(questions);
}

/** An API that counts what reaches it, 10 requests a minute. */
function api(clock: TestClock, limit = 10, periodMs = 60_000) {
  const state = { used: 0, window: Math.floor(clock.now() / periodMs), order: [] as string[], most: 0 };
  return {
    state,
    answer: (who: string) => (): Answered => {
      const window = Math.floor(clock.now() / periodMs);
      if (window !== state.window) state.used = 0;
      state.window = window;
      state.used += 1;
      state.most = Math.max(state.most, state.used);
      state.order.push(who);
      const resetInMs = (window + 1) * periodMs - clock.now();
      return ok(allowance(Math.max(0, limit - state.used), { limit, resetInMs, periodMs }));
    },
  };
}

/** Turns of the event loop, until no question to the plan is under way. */
async function settle(count?: number): Promise<void> {
  await turns(count);
  while (questions.size > 0) {
    await Promise.allSettled(questions);
    await turns(2);
  }
}

/** Asks again and again until `done`; the clock goes on by `stepMs` each time. */
async function pass(clock: TestClock, stepMs: number, done: () => boolean): Promise<void> {
  for (let i = 0; i < 400 && !done(); i++) {
    await clock.advance(stepMs);
    await settle(2);
  }
  expect(done()).toBe(true);
}

describe('the cost', () => {
  test('of a plan is one question for a thousand requests where an hour`s quota is large', async () => {
    const gate = processOn(testClock(), newKey());
    for (let i = 0; i < 5_000; i++) {
      await ask(gate, () => ok(allowance(999_000 - i, { limit: 1_000_000, periodMs: 3_600_000 })));
    }
    expect(gate.asked.length).toBeLessThan(10);
  });

  test('is one question for all requests of a burst limit, and of an API that tells of no limit', async () => {
    for (const told of [
      allowance(9_000, { limit: 10_000, resetInMs: 700, windowId: 1_777_634_400, periodMs: null }),
      null,
    ]) {
      const gate = processOn(testClock(), newKey());
      for (let i = 0; i < 2_000; i++) await ask(gate, () => ok(told));
      expect(gate.asked.length).toBeLessThanOrEqual(2);
    }
  });

  test('no request waits for the question that fetches the next thousand', async () => {
    const gate = processOn(testClock(), newKey());
    const told = () => ok(allowance(999_000, { limit: 1_000_000, periodMs: 3_600_000 }));
    for (let i = 0; i < 100; i++) await ask(gate, told);
    let waited = 0;
    for (let i = 0; i < 3_000; i++) {
      // The loop turns, as it does where real requests are sent.
      await new Promise((resolve) => setImmediate(resolve));
      const one = turn();
      await gate.run(one, async (answered) => answered(told()));
      waited += one.meter.waits;
    }
    expect(waited).toBe(0);
  });
});

describe('processes of one credential', () => {
  test('together send what the window allows, and go on in the next', async () => {
    const clock = testClock();
    const server = api(clock);
    const key = newKey();
    const many = [1, 2, 3].map(() => processOn(clock, key));
    let done = 0;
    const all = many.flatMap((gate, i) =>
      Array.from({ length: 8 }, () => ask(gate, server.answer(`${i}`)).then(() => done++)),
    );
    await pass(clock, 1_500, () => done === 24);
    await Promise.all(all);
    expect(server.state.most).toBe(10);
  });

  test('a request that waits for another process`s first answer goes out soon after it', async () => {
    const clock = testClock();
    const key = newKey();
    const [a, b] = [processOn(clock, key), processOn(clock, key)];
    let answer: (answer: Answered) => void = () => {};
    const first = a.run(turn(), async (answered) => {
      await new Promise<void>((resolve) => {
        answer = (told) => {
          answered(told);
          resolve();
        };
      });
    });
    await settle();
    let sent = false;
    const second = ask(b, () => ok(allowance(8))).then(() => {
      sent = true;
    });
    await settle();
    await clock.advance(400);
    expect(sent).toBe(false);
    answer(ok(allowance(9)));
    await first;
    await settle();
    await pass(clock, 100, () => sent);
    await second;
  });

  test('are all held by a refusal that one of them met', async () => {
    const clock = testClock();
    const key = newKey();
    const [a, b] = [processOn(clock, key), processOn(clock, key)];
    await ask(a, () => ok(allowance(9)));
    await ask(b, () => ok(allowance(8)));
    await a.run(turn(), async (answered) =>
      answered({ kind: 'refused', allowance: null, retryAfterMs: 20_000 }),
    );
    await settle();
    let sent = false;
    const waiting = ask(b, () => ok(allowance(6, { resetInMs: 30_000 }))).then(() => {
      sent = true;
    });
    await clock.advance(19_000);
    await settle();
    expect(sent).toBe(false);
    await pass(clock, 500, () => sent);
    await waiting;
  });

  test('serve live first, and backfill with what live is not expected to need', async () => {
    const clock = testClock();
    const server = api(clock, 12);
    const key = newKey();
    const [live, backfill] = [processOn(clock, key), processOn(clock, key)];
    let low = 0;
    let stop = false;
    const filling = (async () => {
      while (!stop) await ask(backfill, server.answer('backfill'), { priority: BACKFILL }).then(() => low++);
    })().catch(() => {});
    // Four requests a minute for live, for eight minutes.
    for (let minute = 0; minute < 32; minute++) {
      let sent = false;
      const one = ask(live, server.answer('live'), { priority: LIVE }).then(() => {
        sent = true;
      });
      const before = clock.now();
      await pass(clock, 250, () => sent);
      await one;
      // A wait at a window's start is for the one request that finds out about it.
      expect(clock.now() - before).toBeLessThan(4_000);
      await clock.advance(15_000 - (clock.now() - before));
      await settle(3);
    }
    stop = true;
    await backfill.close();
    await filling;
    expect(server.state.most).toBeLessThanOrEqual(12);
    // Four of twelve each minute are live's; backfill gets most of the rest.
    expect(low).toBeGreaterThan(8 * 4);
  });

  test('get back what one of them took and does not use', async () => {
    const clock = testClock();
    const key = newKey();
    const [a, b] = [processOn(clock, key), processOn(clock, key)];
    await ask(a, () => ok(allowance(9)));
    // Eight are given to those who wait; they leave before they send.
    const leaving = new AbortController();
    const hold = Promise.withResolvers<void>();
    const busy = Array.from({ length: 8 }, () =>
      a
        .run(turn({ signal: leaving.signal }), async (answered) => {
          await hold.promise;
          answered(ok(allowance(1)));
        })
        .catch(() => {}),
    );
    await settle();
    leaving.abort();
    hold.resolve();
    await Promise.all(busy);
    await a.close();
    let sent = 0;
    const all = Array.from({ length: 1 }, () => ask(b, () => ok(allowance(0))).then(() => sent++));
    await settle();
    expect(sent).toBe(1);
    await Promise.all(all);
  });

  test('of windows of a second share so that none is refused, live with the larger part', async () => {
    const clock = testClock();
    const key = newKey();
    const burst = (who: string, server: ReturnType<typeof api>) => (): Answered => {
      const answer = server.answer(who)();
      const windowId = server.state.window;
      return { ...answer, allowance: { ...(answer.allowance as Allowance), periodMs: null, windowId } };
    };
    const server = api(clock, 10, 1_000);
    const [live, backfill] = [processOn(clock, key), processOn(clock, key)];
    await ask(live, burst('live', server), { priority: LIVE });
    await ask(backfill, burst('backfill', server), { priority: BACKFILL });
    await clock.advance(5_100);
    await ask(live, burst('live', server), { priority: LIVE });
    await settle();
    let stop = false;
    const endless = (gate: QuotaGate, who: string, priority: number) =>
      (async () => {
        while (!stop) await ask(gate, burst(who, server), { priority });
      })().catch(() => {});
    server.state.order.length = 0;
    const running = [endless(live, 'live', LIVE), endless(backfill, 'backfill', BACKFILL)];
    for (let i = 0; i < 100; i++) {
      await clock.advance(97);
      await settle(2);
    }
    stop = true;
    await Promise.all([live.close(), backfill.close()]);
    await clock.advance(5_000);
    await Promise.all(running);
    expect(server.state.most).toBeLessThanOrEqual(10);
    const count = (who: string) => server.state.order.filter((name) => name === who).length;
    expect(count('live')).toBeGreaterThan(2 * count('backfill'));
    expect(count('backfill')).toBeGreaterThan(5);
  }, 60_000);
});

describe('without the database', () => {
  test('requests go on with a careful part of what this process was told, and the log says so once', async () => {
    const clock = testClock();
    const said: string[] = [];
    const log: Log = { ...silentLog, warn: (_, message) => void said.push(message) };
    const away = openPool('postgres://127.0.0.1:1/none', { name: 'test', max: 1 });
    const plan = openQuota({ pool: away, holder: 'host:1:abc', clock, log });
    const gate = processOn(clock, newKey(), { plan });
    const server = api(clock);
    let sent = 0;
    const all = Array.from({ length: 12 }, () => ask(gate, server.answer('it')).then(() => sent++));
    await settle(60);
    // One tells that nine are left; a half of them, and of what is left then, and so on.
    expect(sent).toBeGreaterThanOrEqual(5);
    expect(sent).toBeLessThanOrEqual(9);
    await pass(clock, 3_000, () => sent === 12);
    await Promise.all(all);
    expect(server.state.most).toBeLessThanOrEqual(9);
    expect(said).toEqual([
      'the quota plan is out of reach: requests go on with a cautious share of what this process was told',
    ]);
    await gate.close();
    await away.end();
  });

  test('it is asked again within seconds, and then counts as before', async () => {
    const clock = testClock();
    const real = openQuota({ pool, holder: 'host:back:abc', clock, log: silentLog });
    let away = true;
    const gate = processOn(clock, newKey(), {
      plan: { take: async (key, report) => (away ? null : real.take(key, report)) },
    });
    const told = () => ok(allowance(100, { limit: 200 }));
    await ask(gate, told);
    away = false;
    const before = gate.asked.length;
    for (let i = 0; i < 10; i++) await ask(gate, told);
    expect(gate.asked.length).toBe(before);
    await clock.advance(5_100);
    await ask(gate, told);
    await settle();
    await ask(gate, told);
    expect(gate.asked.length).toBeGreaterThan(before);
    expect(gate.asked.at(-1)).toMatchObject({ window: { remaining: 100, limit: 200 } });
  });
});
