import { DURATION_EXPECTED, parseDuration, parseSpan, resolveMoment, SPAN_EXPECTED } from '../durations.ts';
import type { CommandOptions } from './command.ts';
import { type CommandDeclaration, fail, json, misuse, moment, momentMs, stream, whole } from './options.ts';

type Reading = 'sync' | 'backfill' | 'audit';

/** The commands that read the APIs' logs. */
export const READING_COMMANDS: { readonly [Name in Reading]: CommandDeclaration<CommandOptions[Name]> } = {
  sync: {
    summary: 'copy every entry that is not copied yet into Postgres',
    options: {
      stream,
      since: {
        flags: '--since <time>',
        help: 'begin here instead of where the settings say: 3d, or a time with its zone',
        initial: null,
        parse: moment,
      },
      until: {
        flags: '--until <time>',
        help: 'end here instead of at now: 1h (ago), or a time with its zone',
        initial: null,
        parse: momentMs,
      },
      again: {
        flags: '--again <span>',
        help: 're-read a span that was asked for before: 6h (up to now), or FROM/TO',
        initial: null,
        parse: (text, at, nowMs) => parseSpan(text, nowMs) ?? fail(at, text, SPAN_EXPECTED),
      },
      forMs: {
        flags: '--for <duration>',
        help: 'stop cleanly after this long; exits 1 if the API is failing at that moment',
        initial: null,
        parse: (text, at) => parseDuration(text) || fail(at, text, `${DURATION_EXPECTED}, more than 0`),
      },
      maxRequests: {
        flags: '--max-requests <n>',
        help: 'stop cleanly after this many requests (all streams together, retries included)',
        initial: null,
        parse: whole(1, 1_000_000_000),
      },
      json,
    },
    examples: [
      'logkeep sync',
      'logkeep sync --stream datadog.web --since 3d',
      'logkeep sync --again 6h --for 5m',
    ],
    check: ({ since, until, again }, nowMs) => {
      const from = since === null ? null : resolveMoment(since, nowMs);
      if (from !== null && from >= (until ?? nowMs)) {
        throw misuse(
          `--since: ${new Date(from).toISOString()}: expected a time before ${until === null ? 'now' : '--until'}`,
        );
      }
      if (until !== null && until > nowMs)
        throw misuse(`--until: ${new Date(until).toISOString()}: expected a time that is not in the future`);
      if (again !== null && (since !== null || until !== null)) {
        throw misuse('--again: expected without --since and --until; write both ends as FROM/TO');
      }
      if (again !== null && again.from >= nowMs)
        throw misuse(
          `--again: ${new Date(again.from).toISOString()}: expected a span that begins before now`,
        );
    },
  },
  backfill: {
    summary: 'copy a chosen span of the past, alongside the live log; without --from, continue what is open',
    options: {
      from: {
        flags: '--from <time>',
        help: 'begin here: 9d (ago), or a time with its zone',
        initial: null,
        parse: moment,
      },
      to: {
        flags: '--to <time>',
        help: 'end here instead of at now: 3d (ago), or a time with its zone',
        initial: null,
        parse: moment,
      },
      stream,
      dryRun: {
        flags: '--dry-run',
        help: 'only show the plan: windows, requests, time, and what expires when',
        initial: false,
      },
      cancel: {
        flags: '--cancel',
        help: 'cancel what is open; what was read stays',
        initial: false,
      },
      json,
    },
    examples: [
      'logkeep backfill --from 9d --to 3d --dry-run',
      'logkeep backfill --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --stream datadog.web',
      'logkeep backfill',
    ],
    check: ({ from, to, dryRun, cancel }, nowMs) => {
      if (cancel && (from !== null || to !== null || dryRun))
        throw misuse('--cancel: expected without --from, --to and --dry-run');
      if (from === null) {
        if (to !== null) throw misuse('--to: expected together with --from');
        return;
      }
      const begin = resolveMoment(from, nowMs);
      const end = to === null ? nowMs : resolveMoment(to, nowMs);
      if (end > nowMs)
        throw misuse(`--to: ${new Date(end).toISOString()}: expected a time that is not in the future`);
      if (begin >= end) {
        throw misuse(
          `--from: ${new Date(begin).toISOString()}: expected a time before ${to === null ? 'now' : '--to'}`,
        );
      }
    },
  },
  audit: {
    summary:
      'compare a span with what the API shows now: settled, missing, extra; stores nothing; exit 1 on any difference',
    options: {
      stream,
      from: {
        flags: '--from <time>',
        help: 'begin here instead of where the stream begins: 7d (ago), or a time with its zone',
        initial: null,
        parse: moment,
      },
      to: {
        flags: '--to <time>',
        help: 'end here instead of at the newest coverage less the overlap: 1d (ago), or a time with its zone',
        initial: null,
        parse: momentMs,
      },
      since: {
        flags: '--since <time>',
        help: 'the same as --from',
        initial: null,
        parse: moment,
      },
      by: {
        flags: '--by <keys|count>',
        help: 'keys: read the span once more and compare each entry (default); count: the counts of the API by hour (Datadog), with one request a day',
        initial: 'keys',
        parse: (text, at) =>
          text === 'keys' || text === 'count' ? text : fail(at, text, 'expected keys or count'),
      },
      json,
    },
    examples: [
      'logkeep audit',
      'logkeep audit --stream datadog.web --since 2d --by count',
      'logkeep audit --from 2026-11-01T00:00:00Z --to 2026-11-02T00:00:00Z --json',
    ],
    check: ({ from, to, since }, nowMs) => {
      if (from !== null && since !== null)
        throw misuse('--since: expected without --from, which says the same');
      const begin = from ?? since;
      if (begin === null) return;
      const at = resolveMoment(begin, nowMs);
      if (at >= (to ?? nowMs)) {
        const option = from === null ? '--since' : '--from';
        throw misuse(
          `${option}: ${new Date(at).toISOString()}: expected a time before ${to === null ? 'now' : '--to'}`,
        );
      }
    },
  },
};
