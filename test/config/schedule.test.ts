import { validate } from 'node-cron';
import { expect, test } from 'vitest';
import { SCHEDULE_EXPECTED, whatIsWrong } from '../../src/config/schedule.ts';

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
