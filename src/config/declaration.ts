import { z } from 'zod';
import { DAY_MS, HOUR_MS, MINUTE_MS } from '../clock.ts';
import type { Source, StreamSettings } from '../sources/source.ts';
import {
  duration,
  durationOrAuto,
  moment,
  oneOf,
  oneOrMany,
  optional,
  share,
  size,
  text,
  wholeNumber,
} from '../sources/values.ts';
import { ADDRESS_EXPECTED, addressTrouble } from './address.ts';
import { LOG_LEVELS } from './log-level.ts';
import { schedule } from './schedule.ts';

/** Settings that every stream has; `defaults` of the file and a source's own defaults override the ones here. */
export const shared = z.strictObject({
  since: optional(moment()).describe(
    'Where the first read begins: a duration back from now, or a time. By default as far back as the usual plans of the API keep entries, or `retention` if that is longer; what the API still shows from before `retention` is stored, but neither claimed as covered nor listed as missing.',
  ),
  retention: duration(MINUTE_MS, 3660 * DAY_MS)
    .prefault('3d')
    .describe(
      'How long the API keeps entries: what is older counts as expired, never as read. No API reports it: set it to what your plan or index keeps, and never to more than that.',
    ),
  settle: duration(0, DAY_MS)
    .prefault('30s')
    .describe('How close to now a read may end, since entries show up late.'),
  overlap: durationOrAuto(0, 7 * DAY_MS)
    .prefault('15m')
    .describe(
      'How much of the newest part that was read is read again, for late entries. `auto`: as much as brings all but one in a thousand, by how late entries have come so far; the default where too little is known.',
    ),
  sweep_after: duration(MINUTE_MS, 3660 * DAY_MS)
    .prefault('20h')
    .describe(
      'The lateness horizon: what is older is read once more by a sweep, and is settled if nothing new is found.',
    ),
  sweep_schedule: schedule()
    .prefault('17 */6 * * *')
    .describe('When `logkeep serve` sweeps: a cron expression in UTC.'),
  schedule: schedule()
    .prefault('* * * * *')
    .describe('When `logkeep serve` catches up: a cron expression in UTC.'),
  page_size: wholeNumber(1, 10_000)
    .prefault(100)
    .describe('Entries asked for per request; by default the most that the API gives, which is the limit.'),
  concurrency: wholeNumber(1, 32).prefault(2).describe('Requests in flight per credential.'),
  spacing: duration(0, HOUR_MS)
    .prefault('0s')
    .describe('Least time between the starts of two requests of one credential.'),
  quota_reserve: share(0.9)
    .prefault('10%')
    .describe("Share of the API's quota left for the organisation's other tools."),
  timeout: duration(10, 15 * MINUTE_MS)
    .prefault('60s')
    .describe(
      'How long one request may take; a page that begins to come and takes longer is asked for in smaller ones.',
    ),
  retry_for: duration(0, DAY_MS)
    .prefault('2m')
    .describe('How long a failed request is tried again; waits for quota do not count.'),
  max_body: size(2 ** 10, 2 ** 29 - 2 ** 20)
    .prefault('64MiB')
    .describe('Largest answer that is read; a larger page is asked for in smaller ones.'),
});

/** What differs between sources is but a number; to make a schema takes longer than to check by it. */
const sharedUpTo = new Map<number, typeof shared>();

/** The shared settings for streams of one source: its default page size is also the most that may be asked for. */
export function sharedFor(defaults: Source['defaults']): typeof shared {
  const most = defaults.page_size;
  if (typeof most !== 'number') return shared;
  const { description = '' } = shared.shape.page_size;
  const made =
    sharedUpTo.get(most) ??
    shared.extend({ page_size: wholeNumber(1, most).prefault(most).describe(description) });
  sharedUpTo.set(most, made);
  return made;
}

/** The field of `StreamSettings` that each shared setting becomes. */
export const SHARED_FIELDS = {
  since: 'since',
  retention: 'retentionMs',
  settle: 'settleMs',
  overlap: 'overlapMs',
  sweep_after: 'sweepAfterMs',
  sweep_schedule: 'sweepSchedule',
  schedule: 'schedule',
  page_size: 'pageSize',
  concurrency: 'concurrency',
  spacing: 'spacingMs',
  quota_reserve: 'reserve',
  timeout: 'timeoutMs',
  retry_for: 'retryMs',
  max_body: 'maxBodyBytes',
} as const satisfies Record<keyof typeof shared.shape, keyof StreamSettings>;

/** Settings of the file's top level, besides `defaults` and `streams`. */
export const general = z.strictObject({
  database_url: optional(databaseUrl()).describe(
    'Postgres to copy into. Without it an embedded Postgres keeps its files in data_dir. DATABASE_URL overrides it.',
  ),
  database_url_direct: optional(databaseUrl()).describe(
    'The same database without a pooler such as PgBouncer in between, for migrations. DATABASE_URL_DIRECT overrides it.',
  ),
  data_dir: text('the path of a folder')
    .prefault('.logkeep')
    .describe(
      'Folder of the embedded Postgres, relative to this file. LOGKEEP_DIR (relative to the current folder) overrides it.',
    ),
  log_level: oneOf(LOG_LEVELS)
    .prefault('warn')
    .describe(
      'How much is logged to stderr; `serve` logs info unless told otherwise. LOGKEEP_LOG_LEVEL and --log-level override it.',
    ),
  host: text('an address of this machine such as 127.0.0.1 or 0.0.0.0')
    .prefault('127.0.0.1')
    .describe(
      'Address on which `logkeep serve` exposes health and metrics: 0.0.0.0 (or ::) where others must reach it, as in a container. LOGKEEP_HOST overrides it.',
    ),
  port: wholeNumber(0, 65_535)
    .prefault(9464)
    .describe(
      'Port of `logkeep serve` for health and metrics; 0: any free one. LOGKEEP_PORT and --port override it.',
    ),
  run_history: duration(MINUTE_MS, 3660 * DAY_MS)
    .prefault('14d')
    .describe('How long finished runs stay in logkeep.run; the totals they counted stay forever.'),
  redact: optional(headerNames()).describe(
    'Headers whose values are hidden before they are stored, in addition to the built-in list (authorization, cookie, ...).',
  ),
  redact_only: optional(headerNames()).describe(
    'Headers whose values are hidden, instead of the built-in list.',
  ),
});

/** Environment variables of the general settings: each overrides the file. */
export const GENERAL_VARIABLES = {
  database_url: 'DATABASE_URL',
  database_url_direct: 'DATABASE_URL_DIRECT',
  data_dir: 'LOGKEEP_DIR',
  log_level: 'LOGKEEP_LOG_LEVEL',
  host: 'LOGKEEP_HOST',
  port: 'LOGKEEP_PORT',
} as const satisfies Partial<Record<keyof typeof general.shape, string>>;

/** What a stream may be called. */
export const STREAM_NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/;
/** Most characters of a name. */
export const STREAM_NAME_LIMIT = 63;

function databaseUrl() {
  return z
    .string({ error: ADDRESS_EXPECTED })
    .meta({ pattern: '^\\s*postgres(ql)?://', values: 'postgres://user:password@host:5432/name' })
    .transform((value, context) => {
      const address = value.trim();
      const trouble = addressTrouble(address);
      if (trouble === null) return address;
      context.addIssue({ code: 'custom', message: trouble });
      return z.NEVER;
    });
}

function headerNames() {
  const what = 'the name of a header such as x-session';
  return oneOrMany(what).transform((names, context) => {
    if (names.every((name) => /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)))
      return names.map((name) => name.toLowerCase());
    context.addIssue({ code: 'custom', message: `expected ${what}, or a list of them` });
    return z.NEVER;
  });
}
