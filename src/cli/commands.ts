import { LOG_LEVELS } from '../config/log-level.ts';
import {
  DURATION_EXPECTED,
  MOMENT_EXPECTED,
  parseDuration,
  parseMoment,
  parseSpan,
  parseTime,
  resolveMoment,
  SPAN_EXPECTED,
} from '../durations.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms } from '../model.ts';
import type { CommandName, CommandOptions, GlobalOptions } from './command.ts';

/** One option or argument: `parse` gets the text and now, and throws LogkeepError `config` with the place `at`. */
export interface OptionDeclaration<Value> {
  /** As commander writes it: `--since <span>`, or `<id>` and `[ids...]` for an argument. */
  readonly flags: string;
  readonly help: string;
  /** Value when it is not said. */
  readonly initial: Value;
  /** Absent for a switch. A `many` option gives each text to it and gathers the values. */
  readonly parse?: (text: string, at: string, nowMs: Ms) => unknown;
  readonly many?: boolean;
}

/** A command as `--help` shows it; its work is in a module of its own, loaded when it runs. */
export interface CommandDeclaration<Options> {
  readonly summary: string;
  readonly options: { readonly [Key in keyof Options]: OptionDeclaration<Options[Key]> };
  readonly examples: readonly string[];
  /** What the options must be to each other; throws LogkeepError `config`. */
  readonly check?: (options: Options, nowMs: Ms) => void;
}

const json: OptionDeclaration<boolean> = { flags: '--json', help: 'print JSON for machines', initial: false };

const stream: OptionDeclaration<readonly string[]> = {
  flags: '--stream <name>',
  help: 'only this stream (again for more)',
  initial: [],
  many: true,
  parse: (text, at) =>
    text.trim() ||
    fail(at, text, 'expected the name of a stream such as qstash.main; `logkeep config` lists them'),
};

const seed: OptionDeclaration<number> = {
  flags: '--seed <n>',
  help: 'the same seed makes the same entries',
  initial: 1,
  parse: whole(0, 2 ** 31 - 1),
};

/** Options before or after any command. */
export const GLOBAL_OPTIONS: CommandDeclaration<GlobalOptions>['options'] = {
  config: {
    flags: '--config <file>',
    help: 'settings file (default: logkeep.yaml, if there is one)',
    initial: null,
    parse: (text, at) => text || fail(at, text, 'expected the path of a settings file'),
  },
  logLevel: {
    flags: '--log-level <level>',
    help: `how much to log: ${LOG_LEVELS.join(', ')}`,
    initial: null,
    parse: (text, at) =>
      LOG_LEVELS.find((level) => level === text) ??
      fail(at, text, `expected one of ${LOG_LEVELS.join(', ')}`),
  },
};

/** Every command, in the order of `--help`. */
export const COMMANDS: { readonly [Name in CommandName]: CommandDeclaration<CommandOptions[Name]> } = {
  sync: {
    summary: 'copy every entry that is not copied yet into Postgres',
    options: {
      stream,
      since: {
        flags: '--since <time>',
        help: 'begin here instead of where the settings say: 3d, or a time with its zone',
        initial: null,
        parse: (text, at) => parseMoment(text) ?? fail(at, text, MOMENT_EXPECTED),
      },
      until: {
        flags: '--until <time>',
        help: 'end here instead of at now: 1h (ago), or a time with its zone',
        initial: null,
        parse: momentMs,
      },
      again: {
        flags: '--again <span>',
        help: 'read a span once more, also where it was read: 6h (up to now), or FROM/TO',
        initial: null,
        parse: (text, at, nowMs) => parseSpan(text, nowMs) ?? fail(at, text, SPAN_EXPECTED),
      },
      forMs: {
        flags: '--for <duration>',
        help: 'stop cleanly after this long',
        initial: null,
        parse: (text, at) => parseDuration(text) || fail(at, text, `${DURATION_EXPECTED}, more than 0`),
      },
      maxRequests: {
        flags: '--max-requests <n>',
        help: 'stop cleanly after so many requests',
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
      if (again !== null && (since !== null || until !== null)) {
        throw misuse('--again: expected without --since and --until; write both ends as FROM/TO');
      }
    },
  },
  status: {
    summary: 'how far each stream is, and how its last run went',
    options: { stream, json },
    examples: ['logkeep status', 'logkeep status --json'],
  },
  gaps: {
    summary: 'time that is not copied, or lost because it expired; exit 1 if there is any',
    options: {
      stream,
      since: {
        flags: '--since <time>',
        help: 'only gaps after this: 3d, or a time with its zone',
        initial: null,
        parse: (text, at) => parseMoment(text) ?? fail(at, text, MOMENT_EXPECTED),
      },
      json,
    },
    examples: ['logkeep gaps', 'logkeep gaps --since 7d'],
  },
  check: {
    summary:
      'test database, keys, clock and settings, with a remedy for each trouble; exit 1 if there is any',
    options: { stream, json },
    examples: ['logkeep check'],
  },
  migrate: {
    summary: "bring the database's tables up to date (sync does it too)",
    options: { json },
    examples: ['DATABASE_URL=postgres://localhost/logs logkeep migrate'],
  },
  'quarantine list': {
    summary: 'entries that could not become rows, and why',
    options: {
      stream,
      reason: {
        flags: '--reason <reason>',
        help: 'only those with this reason, such as no_time',
        initial: null,
        parse: (text, at) =>
          /^[a-z_]+$/.test(text)
            ? text
            : fail(at, text, 'expected a reason such as no_time or identity_clash'),
      },
      limit: {
        flags: '--limit <n>',
        help: 'at most so many, newest first',
        initial: 50,
        parse: whole(1, 100_000),
      },
      json,
    },
    examples: ['logkeep quarantine list --reason no_time'],
  },
  'quarantine show': {
    summary: 'one entry in quarantine with its raw text',
    options: {
      id: { flags: '<id>', help: 'its number, from `quarantine list`', initial: '', parse: quarantineId },
      json,
    },
    examples: ['logkeep quarantine show 17'],
  },
  'quarantine retry': {
    summary: 'try again to make rows of entries in quarantine',
    options: {
      ids: {
        flags: '[ids...]',
        help: 'their numbers; all that wait, if none is given',
        initial: [],
        many: true,
        parse: quarantineId,
      },
      stream,
      json,
    },
    examples: ['logkeep quarantine retry', 'logkeep quarantine retry 17 18'],
  },
  sandbox: {
    summary: 'serve stand-ins of both APIs until stopped',
    options: {
      port: {
        flags: '--port <n>',
        help: 'port on 127.0.0.1; 0: any free one',
        initial: 0,
        parse: whole(0, 65_535),
      },
      seed,
      historyMs: {
        flags: '--history <duration>',
        help: 'how far back its entries begin',
        initial: 2 * 24 * 3_600_000,
        parse: (text, at) => parseDuration(text) || fail(at, text, `${DURATION_EXPECTED}, more than 0`),
      },
      entries: {
        flags: '--entries <n>',
        help: 'about so many entries of each API',
        initial: 20_000,
        parse: whole(0, 10_000_000),
      },
      json,
    },
    examples: ['logkeep sandbox', 'logkeep sandbox --port 4010 --entries 100000'],
  },
  demo: {
    summary: 'see it work without any key: embedded Postgres, stand-in APIs, sync, queries',
    options: {
      seed,
      keep: {
        flags: '--keep',
        help: 'then keep the database and the stand-ins running until Ctrl-C, to look around with psql',
        initial: false,
      },
    },
    examples: ['logkeep demo', 'logkeep demo --keep'],
  },
  config: {
    summary: 'the settings in effect, secrets masked, and where each came from',
    options: { json },
    examples: ['logkeep config', 'logkeep config --config other.yaml --json'],
  },
  schema: {
    summary: 'the JSON Schema of logkeep.yaml, for editors',
    options: {},
    examples: ['logkeep schema > logkeep.schema.json'],
  },
};

/** What stands before `expected` in every complaint about an option. */
function fail(at: string, text: string, expected: string): never {
  throw misuse(`${at}: ${JSON.stringify(text.slice(0, 100))}: ${expected}`);
}

function misuse(message: string): LogkeepError {
  return new LogkeepError('config', message);
}

function whole(min: number, max: number) {
  return (text: string, at: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max
      ? value
      : fail(at, text, `expected a whole number from ${min} to ${max}`);
  };
}

function momentMs(text: string, at: string, nowMs: Ms): Ms {
  const ms = parseDuration(text) === null ? parseTime(text) : nowMs - (parseDuration(text) ?? 0);
  return ms ?? fail(at, text, MOMENT_EXPECTED);
}

function quarantineId(text: string, at: string): string {
  return /^\d{1,19}$/.test(text) ? text : fail(at, text, 'expected a number from `logkeep quarantine list`');
}
