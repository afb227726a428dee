import { afterEach, expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import { type Cron, type ScheduledJob, startCron } from '../../src/serve/cron.ts';

const TrueDate = globalThis.Date;
const EVERY_SECOND: ScheduledJob = { job: 'sync', stream: 'toy.main', schedule: '* * * * * *' };
let cron: Cron | null = null;

afterEach(() => {
  globalThis.Date = TrueDate;
  cron?.stop();
});

/** Sets the machine's clock, as this process sees it. */
function setClock(byMs: number): void {
  globalThis.Date = class extends TrueDate {
    constructor(...parts: unknown[]) {
      super(...((parts.length === 0 ? [TrueDate.now() + byMs] : parts) as [number]));
    }
    static override now(): number {
      return TrueDate.now() + byMs;
    }
  } as DateConstructor;
}

const pass = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

test('a tick bears the time it was due at, which is the same for all who wait for it', async () => {
  const ticks: number[][] = [[], []];
  const both = ticks.map((list) => startCron([EVERY_SECOND], (_, atMs) => list.push(atMs), silentLog));
  await pass(3_300);
  for (const one of both) one.stop();
  const [first = [], second = []] = ticks;
  expect([...first, ...second].every((atMs) => atMs % 1000 === 0)).toBe(true);
  // A second may have begun between the start of one and that of the other.
  const since = Math.max(first[0] ?? 0, second[0] ?? 0);
  const heard = first.filter((atMs) => atMs >= since);
  expect(heard.length).toBeGreaterThan(1);
  expect(second.filter((atMs) => atMs >= since)).toEqual(heard);
});

test('a tick that fell due while the process was busy comes late, once, with the time it was due at', async () => {
  const ticks: number[] = [];
  cron = startCron([EVERY_SECOND], (_, atMs) => ticks.push(atMs), silentLog);
  await pass(1_100);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2_200);
  await pass(300);
  const [first = 0] = ticks;
  expect([...ticks].sort((a, b) => a - b)).toEqual(ticks.map((_, n) => first + 1000 * n));
  expect(ticks.length).toBeGreaterThan(2);
});

test('a clock that is put back an hour does not keep the timetable waiting for an hour, and everything runs once', async () => {
  const ticks: (string | null)[] = [];
  const rare: ScheduledJob = { job: 'sweep', stream: 'toy.rare', schedule: '0 0 29 2 *' };
  cron = startCron([EVERY_SECOND, rare], ({ stream }) => ticks.push(stream), silentLog);
  await pass(1_200);
  expect(ticks).not.toContain('toy.rare');
  setClock(-3_600_000);
  const before = ticks.length;
  await pass(6_500);
  expect(ticks.filter((stream) => stream === 'toy.rare')).toHaveLength(1);
  expect(ticks.length - before).toBeGreaterThan(2);
}, 15_000);

test('a stopped timetable is silent', async () => {
  let ticks = 0;
  const stopped = startCron(
    [EVERY_SECOND],
    () => {
      ticks += 1;
    },
    silentLog,
  );
  stopped.stop();
  await pass(1_500);
  expect(ticks).toBe(0);
});
