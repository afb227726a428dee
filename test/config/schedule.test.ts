import { validate } from 'node-cron';
import { expect, test } from 'vitest';
import {
  betweenTicks,
  SCHEDULE_EXPECTED,
  scheduleNoQuicker,
  whatIsWrong,
} from '../../src/config/schedule.ts';

test.each(['* * * * *', '*/5 * * * *', '*/2 * * * * *', '0 3 * * *', '17 */6 * * *', '0 0 1 jan mon-fri'])(
  'the schedule %s is taken',
  (text) => {
    expect(whatIsWrong(text)).toBe(null);
    expect(validate(text)).toBe(true);
  },
);

test.each([
  ['', ''],
  ['* * * *', ''],
  ['* * * * * * *', ''],
  ['every minute', ''],
  ['61 * * * *', '; its minute is "61"'],
  ['* 24 * * *', '; its hour is "24"'],
  ['60 * * * * *', '; its second is "60"'],
  ['* * 32 * *', '; its day of month is "32"'],
  ['* * 30 2 *', '; its day of month is "30"'],
  ['* * * * 8', '; its day of week is "8"'],
  ['*/0 * * * *', '; its minute is "*/0"'],
])('the schedule "%s" is refused with what is expected', (text, more) => {
  expect(whatIsWrong(text)).toBe(SCHEDULE_EXPECTED + more);
});

const MINUTE = 60_000;

test.each([
  ['* * * * *', MINUTE],
  ['0 * * * * *', MINUTE],
  ['*/5 * * * *', 5 * MINUTE],
  ['*/7 * * * *', (60 * MINUTE) / 9],
  ['17 */6 * * *', 60 * MINUTE],
  ['* * * * * *', 1_000],
  ['*/5 * * * * *', 5_000],
  ['*/15 * * * * *', 15_000],
  ['10-19,40 */2 * * * mon-fri', (60 * MINUTE) / (30 * 11)],
  ['0 9-17 * * *', 60 * MINUTE],
])('the schedule %s ticks every %d ms', (text, ms) => {
  expect(betweenTicks(text)).toBeCloseTo(ms);
});

test('the schedule that is proposed is a right one and the quickest even one that is no quicker than asked', () => {
  const lengths = [
    1,
    900,
    1_000,
    4_500,
    13_334,
    15_000,
    26_667,
    31_000,
    66_667,
    119_000,
    16 * MINUTE,
    50 * MINUTE,
  ];
  const schedules = lengths.map(scheduleNoQuicker);
  expect(schedules).toEqual([
    '* * * * * *',
    '* * * * * *',
    '* * * * * *',
    '*/5 * * * * *',
    '*/15 * * * * *',
    '*/15 * * * * *',
    '*/30 * * * * *',
    '* * * * *',
    '*/2 * * * *',
    '*/2 * * * *',
    '*/20 * * * *',
    '0 * * * *',
  ]);
  for (const [index, text] of schedules.entries()) {
    expect(whatIsWrong(text)).toBe(null);
    expect(betweenTicks(text)).toBeGreaterThanOrEqual(lengths[index] ?? 0);
  }
});
