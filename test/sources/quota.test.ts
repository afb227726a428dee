import { describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { datadogAllowance } from '../../src/sources/datadog/api.ts';
import { createGate, type QuotaGate, type Turn } from '../../src/sources/quota.ts';
import type { Allowance, Answered, GateSettings } from '../../src/sources/ration.ts';
import type { QuotaGrant } from '../../src/sources/shared-quota.ts';
import { settle, type TestClock, testClock, turn } from './stand.ts';

const OPEN: GateSettings = { concurrency: 8, spacingMs: 0, reserve: 0 };

function gateOn(clock: TestClock, settings: Partial<GateSettings> = {}, random = () => 0.5) {
  return createGate('toy', { ...OPEN, ...settings }, { clock, random });
}

function allowance(remaining: number, changes: Partial<Allowance> = {}): Allowance {
  return { limit: 10, remaining, resetInMs: 10_000, windowId: null, periodMs: 10_000, ...changes };
}

const ok = (told: Allowance | null = null): Answered => ({ kind: 'ok', allowance: told, retryAfterMs: null });
const refused = (told: Allowance | null = null, retryAfterMs: number | null = null): Answered => ({
  kind: 'refused',
  allowance: told,
  retryAfterMs,
});

/** A request that stays open until it is answered by hand. */
function hold(gate: QuotaGate, changes: Partial<Turn> = {}) {
  let finish: (answer: Answered) => void = () => {};
  const state = { sent: false, answer: (answer: Answered) => finish(answer), done: Promise.resolve() };
  state.done = gate.run(turn(changes), async (answered) => {
    state.sent = true;
    await new Promise<void>((resolve) => {
      finish = (answer) => {
        answered(answer);
        resolve();
      };
    });
  });
  state.done.catch(() => {});
  return state;
}

async function ask(gate: QuotaGate, answer: Answered, changes: Partial<Turn> = {}): Promise<void> {
  await gate.run(turn(changes), async (answered) => answered(answer));
}

describe('before anything is told', () => {
  test('one request goes out; its answer without headers frees the rest up to the concurrency', async () => {
    const gate = gateOn(testClock(), { concurrency: 3 });
    const asked = [1, 2, 3, 4, 5].map(() => hold(gate));
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, false, false, false, false]);
    asked[0]?.answer(ok());
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, true, true, true, false]);
    asked[1]?.answer(ok());
    await settle();
    expect(asked[4]?.sent).toBe(true);
  });

  test('a first request that fails leaves the next one its turn', async () => {
    const gate = gateOn(testClock());
    await expect(
      gate.run(turn(), async () => {
        throw new Error('cut');
      }),
    ).rejects.toThrow('cut');
    await ask(gate, ok());
  });
});

describe('while headers tell what is left', () => {
  test('no more goes out than that, and the rest waits until the window ends', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, ok(allowance(2)));
    const asked = [1, 2, 3].map(() => hold(gate));
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, true, false]);
    asked[0]?.answer(ok(allowance(1)));
    asked[1]?.answer(ok(allowance(0)));
    await settle();
    await clock.advance(9_900);
    expect(asked[2]?.sent).toBe(false);
    await clock.advance(400);
    expect(asked[2]?.sent).toBe(true);
    expect(gate.quota().limit).toBe(10);
  });

  test('answers that overtake each other do not make it more', async () => {
    const gate = gateOn(testClock());
    await ask(gate, ok(allowance(4)));
    const [first, second] = [hold(gate), hold(gate)];
    await settle();
    second.answer(ok(allowance(2)));
    first.answer(ok(allowance(3)));
    await settle();
    expect(gate.quota().remaining).toBe(2);
    const asked = [1, 2, 3].map(() => hold(gate));
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, true, false]);
  });

  test('a request without an answer counts as used', async () => {
    const gate = gateOn(testClock());
    await ask(gate, ok(allowance(2)));
    await ask(gate, { kind: 'failed', allowance: null, retryAfterMs: null });
    const asked = [hold(gate), hold(gate)];
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, false]);
  });

  test('the next window begins with one request, since others may have been there first', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, ok(allowance(0)));
    const asked = [1, 2, 3].map(() => hold(gate));
    await settle();
    await clock.advance(11_000);
    expect(asked.map(({ sent }) => sent)).toEqual([true, false, false]);
    asked[0]?.answer(ok(allowance(9)));
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, true, true]);
  });

  test('a share is left for the others, but not all of it', async () => {
    const clock = testClock();
    const gate = gateOn(clock, { reserve: 0.3 });
    await ask(gate, ok(allowance(4)));
    const asked = [hold(gate), hold(gate)];
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, false]);

    const greedy = gateOn(clock, { reserve: 1 });
    await ask(greedy, ok(allowance(1, { limit: 2 })));
    let sent = 0;
    const more = (async () => {
      for (; sent < 3; sent++) await ask(greedy, ok(allowance(1, { limit: 2 })));
    })();
    for (let i = 0; i < 5; i++) {
      await settle();
      await clock.advance(11_000);
    }
    await more;
    expect(sent).toBe(3);
  });

  test('twenty gates that wait for one end do not all come in the same ms', async () => {
    const opened = new Set<number>();
    for (let i = 0; i < 20; i++) {
      const clock = testClock();
      const gate = createGate('toy', OPEN, { clock });
      await ask(gate, ok(allowance(0, { resetInMs: 3_600_000, periodMs: 3_600_000 })));
      hold(gate);
      await settle(5);
      opened.add(Math.round(clock.slept.at(-1) ?? 0));
      gate.close();
    }
    expect(opened.size).toBeGreaterThan(10);
    for (const ms of opened) expect(ms).toBeGreaterThanOrEqual(3_600_000);
    for (const ms of opened) expect(ms).toBeLessThanOrEqual(3_601_000);
  });

  test('a reset a year away is not believed: after an hour, or the told period of up to a day, one request asks again', async () => {
    const year = 365 * 86_400_000;
    for (const [periodMs, atMost] of [
      [null, 3_600_000],
      [60_000, 60_000],
      [86_400_000, 86_400_000],
      [year, 86_400_000],
    ] as const) {
      const clock = testClock();
      const gate = gateOn(clock);
      await ask(gate, ok(allowance(0, { resetInMs: year, periodMs })));
      const next = hold(gate);
      await settle();
      await clock.advance(atMost - 1_000);
      expect(next.sent).toBe(false);
      await clock.advance(2_001);
      expect(next.sent).toBe(true);
    }
  });
});

describe('our clock, set back', () => {
  // By less than the wait, and by more than all that passes here.
  for (const backMs of [5_000, 3_600_000]) {
    test(`by ${backMs} ms makes no wait longer, and what answers tell after it counts`, async () => {
      const clock = testClock();
      let back = 0;
      const gate = createGate('toy', OPEN, {
        clock: { ...clock, now: () => clock.now() - back },
        random: () => 0.5,
      });
      await ask(gate, ok(allowance(0)));
      const asked = [1, 2, 3].map(() => hold(gate));
      await settle();
      back = backMs;
      await clock.advance(10_200);
      expect(asked.map(({ sent }) => sent)).toEqual([true, false, false]);
      asked[0]?.answer(ok(allowance(9)));
      await settle();
      expect(asked.map(({ sent }) => sent)).toEqual([true, true, true]);
      expect(gate.quota()).toMatchObject({ remaining: 9, resetMs: clock.now() - back + 10_000 });
    });
  }
});

describe('a refusal', () => {
  test('with a reset waits for it and no longer', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, refused(allowance(0, { resetInMs: 4_000 })));
    const next = hold(gate);
    await clock.advance(3_900);
    expect(next.sent).toBe(false);
    await clock.advance(300);
    expect(next.sent).toBe(true);
  });

  test('without headers waits longer each time, a minute at most', async () => {
    const clock = testClock({ leap: true });
    const gate = gateOn(clock);
    const waits: number[] = [];
    for (let i = 0; i < 12; i++) {
      const before = clock.now();
      await ask(gate, refused());
      waits.push(clock.now() - before);
    }
    expect(waits[1]).toBeGreaterThanOrEqual(500);
    expect(waits[4]).toBeGreaterThan(waits[2] ?? 0);
    expect(Math.max(...waits)).toBeLessThanOrEqual(75_000);
    expect(waits[11]).toBeGreaterThanOrEqual(45_000);
  });

  test('with Retry-After waits for that', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, refused(null, 30_000));
    const next = hold(gate);
    await clock.advance(29_000);
    expect(next.sent).toBe(false);
    await clock.advance(1_100);
    expect(next.sent).toBe(true);
  });

  for (const retryAfterMs of [0, 1, 600]) {
    test(`that asks for a wait of ${retryAfterMs} ms each time is waited for as if it had told none`, async () => {
      const clock = testClock({ leap: true });
      const gate = gateOn(clock);
      const startedAt = clock.now();
      for (let i = 0; i < 12; i++) await ask(gate, refused(null, retryAfterMs));
      // Half a second, doubled up to a minute.
      expect(clock.now() - startedAt).toBeGreaterThan(200_000);
    });
  }

  test('for too many queries at once halves the concurrency, which comes back with calm answers', async () => {
    const clock = testClock({ leap: true });
    const gate = gateOn(clock, { concurrency: 8 });
    await ask(gate, ok());
    for (let i = 0; i < 2; i++) await ask(gate, { kind: 'busy', allowance: null, retryAfterMs: null });
    const held = Array.from({ length: 8 }, () => hold(gate));
    await settle(80);
    expect(held.filter(({ sent }) => sent)).toHaveLength(2);
    for (let i = 0; i < 8; i++) {
      for (const one of held) one.answer(ok());
      await settle(20);
    }
    for (let i = 0; i < 140; i++) await ask(gate, ok());
    const again = Array.from({ length: 9 }, () => hold(gate));
    await settle(80);
    expect(again.filter(({ sent }) => sent)).toHaveLength(8);
  });
});

describe('who waits', () => {
  test('is told before a wait, and the meter counts it', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, ok(allowance(0)));
    const told: number[] = [];
    const one = turn({ onWait: (ms) => told.push(ms) });
    const next = hold(gate, one);
    await settle();
    expect(told).toHaveLength(1);
    expect(told[0]).toBeGreaterThanOrEqual(10_000);
    expect(told[0]).toBeLessThanOrEqual(10_300);
    await clock.advance(12_000);
    expect(next.sent).toBe(true);
    expect(one.meter).toMatchObject({ waits: 1, waitMs: 12_000 });
  });

  test('is told too when the wait begins while it is in the queue', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    const first = hold(gate);
    const told: number[] = [];
    hold(gate, { onWait: (ms) => told.push(ms) });
    await settle();
    expect(told).toEqual([]);
    first.answer(ok(allowance(0)));
    await settle();
    expect(told).toHaveLength(1);
  });

  test('is not told of a wait of 200 ms or less', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, ok(allowance(0, { resetInMs: 100, periodMs: 1_000 })));
    const told: number[] = [];
    const next = hold(gate, { onWait: (ms) => told.push(ms) });
    await settle();
    await clock.advance(200);
    expect(next.sent).toBe(true);
    expect(told).toEqual([]);
  });

  test('is told the end once where only the plan of all knows when to ask again, unless it is the live log', async () => {
    const clock = testClock();
    const endsAt = clock.now() + 3_000_000;
    let asked = 0;
    const take = async (): Promise<QuotaGrant> => {
      asked++;
      const window = { limit: 300, remaining: 74, restMs: endsAt - clock.now(), windowId: null };
      const others = { unbounded: false, periodMs: 3_600_000, others: 1, othersLive: 1 };
      return { granted: 0, waitMs: 1_000, pauseMs: 0, window, ...others };
    };
    const told: Record<'live' | 'backfill', number[]> = { live: [], backfill: [] };
    for (const [who, priority] of [
      ['live', 2],
      ['backfill', 8],
    ] as const) {
      const gate = createGate('toy', OPEN, { clock, random: () => 0.5, shared: { take } });
      asked = 0;
      hold(gate, { priority, onWait: (ms) => told[who].push(ms) });
      for (let s = 0; s < 20; s++) await clock.advance(1_000);
      expect(asked).toBeGreaterThan(5);
      await gate.close();
    }
    expect(told.live.length).toBeGreaterThan(5);
    expect(Math.max(...told.live)).toBeLessThan(1_500);
    expect(told.backfill).toEqual([expect.closeTo(2_980_000, -4)]);
  });

  test('leaves within a second when it is aborted, and takes nobody else`s turn with it', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    await ask(gate, ok(allowance(0)));
    const controller = new AbortController();
    const leaving = hold(gate, { signal: controller.signal });
    const staying = hold(gate);
    await settle();
    const before = performance.now();
    controller.abort();
    await expect(leaving.done).rejects.toMatchObject({ kind: 'aborted' });
    expect(performance.now() - before).toBeLessThan(1_000);
    await clock.advance(11_000);
    expect([leaving.sent, staying.sent]).toEqual([false, true]);
  });

  test('is sent away when the gate closes', async () => {
    const gate = gateOn(testClock());
    await ask(gate, ok(allowance(0)));
    const waiting = hold(gate);
    await settle();
    gate.close();
    await expect(waiting.done).rejects.toMatchObject({ kind: 'aborted' });
    await expect(ask(gate, ok())).rejects.toMatchObject({ kind: 'aborted' });
  });

  test('is asked once more when its turn has come: what gives up then uses nothing up', async () => {
    const clock = testClock();
    const gate = gateOn(clock);
    const onTurn = () => {
      throw new Error('too late');
    };
    await ask(gate, ok(allowance(2)));
    await expect(ask(gate, ok(), { onTurn })).rejects.toThrow('too late');
    const asked = [hold(gate), hold(gate)];
    await settle();
    expect(asked.map(({ sent }) => sent)).toEqual([true, true]);
    const late = ask(gate, ok(), { onTurn });
    const next = [hold(gate), hold(gate)];
    for (const { answer } of asked) answer(ok(allowance(0)));
    const refusal = expect(late).rejects.toThrow('too late');
    await clock.advance(11_000);
    await settle();
    await refusal;
    expect(next.map(({ sent }) => sent)).toEqual([true, false]);
    next[0]?.answer(ok(allowance(9)));
    await settle();
    expect(next.map(({ sent }) => sent)).toEqual([true, true]);
    await gate.close();
  });

  test('goes by priority, not by arrival', async () => {
    const gate = gateOn(testClock(), { concurrency: 1 });
    await ask(gate, ok());
    const first = hold(gate);
    await settle();
    const order: string[] = [];
    const backfill = gate.run(turn({ priority: 8 }), async (answered) => {
      answered(ok());
      order.push('backfill');
    });
    const live = gate.run(turn({ priority: 2 }), async (answered) => {
      answered(ok());
      order.push('live');
    });
    await settle();
    first.answer(ok());
    await Promise.all([backfill, live]);
    expect(order).toEqual(['live', 'backfill']);
  });
});

test('requests of one credential keep the spacing between their starts', async () => {
  const gate = createGate('toy', { ...OPEN, spacingMs: 80 }, { clock: systemClock });
  const beganAt = performance.now();
  // A busy machine may start one late, and the next sooner after it, but never sooner after the first.
  for (let i = 0; i < 4; i++) {
    await gate.run(turn(), async (answered) => {
      expect(performance.now() - beganAt).toBeGreaterThan(i * 80 - 5);
      answered(ok());
    });
  }
});

test('a second stream of the credential spaces the requests of both, also after the first has waited', async () => {
  const gate = createGate('toy', OPEN, { clock: systemClock });
  // The second one waits for what the first one is told.
  const held = [hold(gate), hold(gate)];
  await settle();
  expect(held.map(({ sent }) => sent)).toEqual([true, false]);
  held[0]?.answer(ok(allowance(9)));
  await settle();
  expect(held[1]?.sent).toBe(true);
  held[1]?.answer(ok(allowance(8)));
  gate.tighten({ ...OPEN, spacingMs: 80 });
  const beganAt = performance.now();
  for (let i = 0; i < 4; i++) {
    await gate.run(turn(), async (answered) => {
      expect(performance.now() - beganAt).toBeGreaterThan(i * 80 - 5);
      answered(ok(allowance(7 - i)));
    });
  }
  gate.tighten({ ...OPEN, spacingMs: 20 });
  await gate.run(turn(), async (answered) => {
    expect(performance.now() - beganAt).toBeGreaterThan(4 * 80 - 5);
    answered(ok(allowance(3)));
  });
});

test('of two streams with one credential the stricter settings hold', async () => {
  const gate = gateOn(testClock(), { concurrency: 4 });
  gate.tighten({ concurrency: 2, spacingMs: 0, reserve: 0.5 });
  await ask(gate, ok());
  const held = [1, 2, 3].map(() => hold(gate));
  await settle();
  expect(held.map(({ sent }) => sent)).toEqual([true, true, false]);
});

for (const [remaining, left] of [
  ['-1', 0],
  ['', 0],
  ['many', 0],
  ['7, many', 0],
  ['NaN', 0],
  ['5, 5', 5],
  ['7,5', 5],
  [' 7 ', 7],
] as const) {
  test(`Datadog: a rest told as "${remaining}" leaves ${left} requests until the window ends`, async () => {
    const clock = testClock();
    const gate = gateOn(clock, {}, () => 0);
    const headers = { 'x-ratelimit-remaining': remaining, 'x-ratelimit-reset': '100' };
    await ask(gate, ok(datadogAllowance(headers, { refused: false })));
    const asked = Array.from({ length: 8 }, () => hold(gate));
    await settle();
    expect(asked.filter(({ sent }) => sent)).toHaveLength(left);
    for (const { sent, answer } of asked) if (sent) answer(ok());
    await clock.advance(100_000);
    await settle();
    expect(asked.filter(({ sent }) => sent).length).toBeGreaterThan(left);
    await gate.close();
  });
}
