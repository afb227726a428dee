import { createRequire } from 'node:module';
import type { validateDetailed } from 'node-cron';
import { z } from 'zod';
import { HOUR_MS, MINUTE_MS } from '../clock.ts';

/** What to say when text is no schedule. */
export const SCHEDULE_EXPECTED =
  'expected a cron expression in UTC such as "* * * * *" (every minute), or with seconds first such as "*/30 * * * * *"';

const FIELDS: Readonly<Record<string, string>> = {
  dayOfMonth: 'day of month',
  dayOfWeek: 'day of week',
};

/** The forms that most schedules have: a star, a step or a number in each of five or six fields. */
const PLAIN = /^(\*|\*\/[1-9]|0)( (\*|\*\/[1-9]|[1-9]))?( \*){4}$|^[1-5]?\d \*\/[1-9]( \*){3}$/;

/** A cron expression in UTC, with optional seconds, as node-cron understands it. */
export function schedule() {
  return z
    .string({ error: SCHEDULE_EXPECTED })
    .meta({ values: 'a cron expression of five fields, or of six with seconds first' })
    .transform((text, context) => {
      const trimmed = text.trim();
      const wrong = whatIsWrong(trimmed);
      if (wrong === null) return trimmed;
      context.addIssue({ code: 'custom', message: wrong });
      return z.NEVER;
    });
}

/** Into these parts a minute, and an hour, divide evenly. */
const STEPS = [1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30];

/** What is wrong with a schedule, as `expected ...`; null if nothing is. */
export function whatIsWrong(text: string): string | null {
  // node-cron costs every command 25 ms and 11 MB: only a schedule that needs it loads it.
  if (PLAIN.test(text)) return null;
  const { valid, errors } = cron().validateDetailed(text);
  if (valid) return null;
  const [first] = errors;
  if (first === undefined || first.field === 'expression' || first.value === undefined)
    return SCHEDULE_EXPECTED;
  const field = FIELDS[first.field] ?? first.field;
  return `${SCHEDULE_EXPECTED}; its ${field} is ${JSON.stringify(first.value)}`;
}

/** Mean time between two ticks of a schedule that is right, in ms, in an hour in which it ticks. */
export function betweenTicks(text: string): number {
  const [minutes, seconds] = PLAIN.test(text) ? plainTicks(text.split(' ')) : cronTicks(text);
  return HOUR_MS / (minutes * seconds);
}

/** An even schedule that ticks no oftener than every `ms`, up to an hour: for 14 s every 15. */
export function scheduleNoQuicker(ms: number): string {
  const step = (unitMs: number) => STEPS.find((count) => count * unitMs >= ms);
  const [seconds, minutes] = [step(1_000), step(MINUTE_MS)];
  const field = (count: number) => (count === 1 ? '*' : `*/${count}`);
  if (seconds !== undefined) return `${field(seconds)} * * * * *`;
  return minutes === undefined ? '0 * * * *' : `${field(minutes)} * * * *`;
}

function plainTicks(fields: readonly string[]): readonly [number, number] {
  const count = (field = '0') =>
    field === '*' ? 60 : field.startsWith('*/') ? Math.ceil(60 / Number(field.slice(2))) : 1;
  return fields.length === 6 ? [count(fields[1]), count(fields[0])] : [count(fields[0]), 1];
}

function cronTicks(text: string): readonly [number, number] {
  const { fields } = cron().validateDetailed(text);
  return [fields?.minute.length ?? 1, fields?.second.length ?? 1];
}

function cron(): { readonly validateDetailed: typeof validateDetailed } {
  return createRequire(import.meta.url)('node-cron') as { validateDetailed: typeof validateDetailed };
}
