import { createRequire } from 'node:module';
import type { validateDetailed } from 'node-cron';
import { z } from 'zod';

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
  return z.string({ error: SCHEDULE_EXPECTED }).transform((text, context) => {
    const trimmed = text.trim();
    const wrong = whatIsWrong(trimmed);
    if (wrong === null) return trimmed;
    context.addIssue({ code: 'custom', message: wrong });
    return z.NEVER;
  });
}

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

function cron(): { readonly validateDetailed: typeof validateDetailed } {
  return createRequire(import.meta.url)('node-cron') as { validateDetailed: typeof validateDetailed };
}
