import type { z } from 'zod';
import { LogkeepError } from '../errors.ts';
import { MASK, maskAddresses } from './mask.ts';

/** All that is wrong with the settings, gathered so that it is said at once. */
export interface Problems {
  /** Notes a problem; only the first of each place is kept, as the rest follow from it. */
  add(place: string, text: string): void;
  /** Throws LogkeepError `config` with every problem in its message, if there are any. */
  throwIfAny(): void;
}

/** No problems yet. */
export function createProblems(): Problems {
  const found = new Map<string, string>();
  return {
    add(place, text) {
      if (!found.has(place)) found.set(place, text);
    },
    throwIfAny() {
      if (found.size === 0) return;
      const lines = [...found].map(([place, text]) => (place === '' ? text : `${place}: ${text}`));
      throw new LogkeepError(
        'config',
        lines.length === 1 ? lines.join() : `${lines.length} settings are wrong:\n  ${lines.join('\n  ')}`,
      );
    },
  };
}

/** `value: expected ...` for one issue of a check; `shown` is what `showValue` made of the value, null if it is missing. */
export function explain(issue: z.core.$ZodIssue, shown: string | null): string {
  const bare = issue.message.replace(/^(Invalid \w+|Too big|Too small): /, '');
  const expected = bare.startsWith('expected') ? bare : `expected something else (${bare})`;
  return `${shown ?? 'missing'}: ${expected}`;
}

/** A value as an error may show it: short, on one line, without secrets. */
export function showValue(value: unknown, secret: boolean): string {
  if (value === undefined) return 'nothing';
  if (value === null) return 'empty';
  if (secret) return MASK;
  if (typeof value === 'string') return JSON.stringify(shorten(maskAddresses(value)));
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  return typeof value === 'object' ? 'a mapping' : String(value);
}

function shorten(text: string): string {
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
