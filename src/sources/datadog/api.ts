import type { IncomingHttpHeaders } from 'node:http';
import { greatestOf, leastOf, remainingOf } from '../headers.ts';
import type { Allowance } from '../ration.ts';
import { errorTexts, type Sense } from '../refusal.ts';

/** The longest window that the API is known for. */
const HOUR_S = 3_600;

/** `X-RateLimit-*`: one bucket for the organisation, shared by v1, v2 and everybody's tools. Values are never assumed. */
export function datadogAllowance(
  headers: IncomingHttpHeaders,
  { refused }: { readonly refused: boolean },
): Allowance | null {
  const reset = greatestOf(headers['x-ratelimit-reset']);
  const period = greatestOf(headers['x-ratelimit-period']);
  const ends = reset !== null && reset <= (period || HOUR_S);
  const remaining = remainingOf(headers['x-ratelimit-remaining']) ?? (refused && ends ? 0 : null);
  if (remaining === null) return null;
  return {
    limit: leastOf(headers['x-ratelimit-limit']),
    remaining,
    resetInMs: reset === null ? null : reset * 1000,
    windowId: null,
    periodMs: period === null || period === 0 ? null : period * 1000,
  };
}

const SENSES = new Map<string, Sense>([
  ['deadline_exceeded', 'timeout'],
  ['request_timeout', 'timeout'],
  ['resource_exhausted', 'busy'],
]);

/** The error codes that say more than the status: `code(text)`, as in `deadline_exceeded(Request timeout)`. */
export function datadogSense(_status: number, text: string): Sense {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return null;
  }
  for (const said of errorTexts(body)) {
    const sense = SENSES.get(/^\s*([a-z_]+)\(/.exec(said)?.[1] ?? '');
    if (sense !== undefined) return sense;
  }
  return null;
}
