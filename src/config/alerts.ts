import { z } from 'zod';
import { DAY_MS, MINUTE_MS } from '../clock.ts';
import { DURATION_EXPECTED, parseDuration } from '../durations.ts';
import { duration, optional } from '../sources/values.ts';

/** When and where trouble is told. Times are ms. */
export interface AlertSettings {
  /** Addresses to post to; secrets. Null: nobody is told. */
  readonly webhook: string | null;
  readonly slack: string | null;
  /** A stream that is further behind is in trouble. */
  readonly lagMs: number;
  /** What is not read and expires sooner is in trouble. */
  readonly expiryMs: number;
  /** A stream without a new entry for longer is in trouble; `auto`: judged by its own history; null: never. */
  readonly silenceMs: number | 'auto' | null;
  /** Until trouble that goes on is told again; twice as long each time, up to a day. */
  readonly repeatMs: number;
}

/** Settings of the file's `alerts`. */
export const alerts = z.strictObject({
  webhook: optional(webhookUrl('https://example.org/hook')).describe(
    'Address that is sent a JSON document about each problem and its end. LOGKEEP_ALERT_WEBHOOK overrides it.',
  ),
  slack: optional(webhookUrl('https://hooks.slack.com/services/...')).describe(
    'Incoming webhook of Slack, or of anything that takes its format. LOGKEEP_ALERT_SLACK overrides it.',
  ),
  lag: duration(MINUTE_MS, 30 * DAY_MS)
    .prefault('15m')
    .describe(
      'A stream that is further behind than this is in trouble; with a rare schedule, more than the time between two runs. Three minutes beyond settle are never trouble.',
    ),
  expiry: duration(MINUTE_MS, 30 * DAY_MS)
    .prefault('12h')
    .describe(
      'What is not read and expires sooner than this is in trouble; at most half of the retention counts.',
    ),
  silence: silence()
    .prefault('auto')
    .describe(
      'A stream without a new entry for longer than this is in trouble; auto: three times as long as ever in its history, an hour at least; off: never.',
    ),
  repeat: duration(MINUTE_MS, 7 * DAY_MS)
    .prefault('1h')
    .describe('When an alert that still fires is repeated; twice as long each time, up to a day.'),
});

/** Settings of `alerts` that hold secrets. */
export const ALERT_SECRETS = ['webhook', 'slack'];

/** Environment variables of these settings: each overrides the file. */
export const ALERT_VARIABLES: Readonly<Partial<Record<keyof typeof alerts.shape, string>>> = {
  webhook: 'LOGKEEP_ALERT_WEBHOOK',
  slack: 'LOGKEEP_ALERT_SLACK',
};

/** What the checked settings mean. */
export function alertSettings(checked: z.output<typeof alerts>): AlertSettings {
  const { webhook, slack, lag, expiry, silence: quiet, repeat } = checked;
  return { webhook, slack, lagMs: lag, expiryMs: expiry, silenceMs: quiet, repeatMs: repeat };
}

function webhookUrl(example: string) {
  const values = `the address of a webhook such as ${example}`;
  const expected = `expected ${values}`;
  return z
    .string({ error: expected })
    .meta({ pattern: '^\\s*https?://', values })
    .transform((value, context) => {
      const url = URL.parse(value.trim());
      if (url !== null && /^https?:$/.test(url.protocol) && url.username === '') return url.href;
      context.addIssue({ code: 'custom', message: expected });
      return z.NEVER;
    });
}

function silence() {
  const expected = `${DURATION_EXPECTED}, of at least 1m, or auto, or off`;
  return z
    .string({ error: expected })
    .meta({ values: 'auto, off, or a duration of at least 1m' })
    .transform((value, context): number | 'auto' | null => {
      const text = value.trim();
      if (text === 'auto') return text;
      if (text === 'off') return null;
      const ms = parseDuration(text);
      if (ms !== null && ms >= MINUTE_MS) return ms;
      context.addIssue({ code: 'custom', message: expected });
      return z.NEVER;
    });
}
