import { LOG_LEVELS } from '../config/log-level.ts';
import { DURATION_EXPECTED, formatDuration, parseDuration } from '../durations.ts';
import { REJECT_REASONS } from '../sources/source.ts';
import type { CommandName, CommandOptions, GlobalOptions } from './command.ts';
import {
  type CommandDeclaration,
  fail,
  json,
  misuse,
  moment,
  noStatement,
  type OptionDeclaration,
  stream,
  whole,
} from './options.ts';
import { READING_COMMANDS } from './reading-commands.ts';

/** The largest number that Postgres's bigint takes. */
const LAST_ID = 2n ** 63n - 1n;
/** How far back a sandbox's history goes by default. */
const HISTORY_MS = 2 * 24 * 3_600_000;

const seed: OptionDeclaration<number> = {
  flags: '--seed <n>',
  help: 'the same seed produces the same entries',
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
  sync: READING_COMMANDS.sync,
  serve: {
    summary: 'keep every stream complete until stopped: on one machine, or on many that share a Postgres',
    options: {
      port: {
        flags: '--port <n>',
        help: 'port for health and metrics; 0: any free one (default: LOGKEEP_PORT, else port of the file, else 9464)',
        initial: null,
        parse: whole(0, 65_535),
      },
    },
    examples: ['logkeep serve', 'logkeep serve --port 8080 --log-level debug'],
  },
  run: {
    summary: 'run one scheduled job now, through the queue of `serve`',
    options: {
      job: {
        flags: '<job>',
        help: "the job's name: sync, sweep, backfill or trim",
        initial: '',
        parse: (text) => text,
      },
      stream,
      json,
    },
    examples: ['logkeep run sync', 'logkeep run sync --stream qstash.main', 'logkeep run trim'],
  },
  backfill: READING_COMMANDS.backfill,
  status: {
    summary: 'how far each stream is, and how its last sync went',
    options: { stream, json },
    examples: ['logkeep status', 'logkeep status --json'],
  },
  why: {
    summary: 'why a stream is behind, in one sentence; times are UTC',
    options: { stream, json },
    examples: ['logkeep why', 'logkeep why --stream datadog.web --json'],
  },
  gaps: {
    summary: 'time that is not copied, or lost because it expired; exit 1 if there is any',
    options: {
      stream,
      since: {
        flags: '--since <time>',
        help: 'only gaps after this: 3d, or a time with its zone',
        initial: null,
        parse: moment,
      },
      json,
    },
    examples: ['logkeep gaps', 'logkeep gaps --since 7d'],
  },
  audit: READING_COMMANDS.audit,
  check: {
    summary:
      'test database, keys, clock and settings, with a remedy for each problem; exit 1 if there is one',
    options: { stream, json },
    examples: ['logkeep check'],
  },
  migrate: {
    summary: "bring the database's tables up to date (sync and serve do it too)",
    options: { json },
    examples: ['DATABASE_URL=postgres://localhost/logs logkeep migrate'],
  },
  query: {
    summary: 'run one read-only SQL statement on the copy and print the result',
    options: {
      sql: { flags: '[sql]', help: 'the statement', initial: '', parse: (text) => text },
      json: { ...json, help: 'print one JSON object for each row, without a limit' },
    },
    examples: [
      'logkeep query "select state, count(*) from qstash_log group by 1"',
      'logkeep query "select * from qstash_log where stream = \'qstash.main\' order by time desc limit 20" --json',
    ],
    more: `The tables of schema logkeep are found by their bare names. The statement must answer with rows (select, with, explain,
show) and runs in a read-only transaction: on the embedded Postgres as a role that may only read. A superuser of another
has the rights of pg_read_all_data meanwhile, which keeps from accidents, not from SQL of people you do not trust: give
these a role of their own. A table ends after 1,000 rows and shows the first 1,000 characters of a value; --json prints
all, with bigint and numeric as text.`,
    check: ({ sql }) => {
      if (sql.trim() === '') throw noStatement();
    },
  },
  db: {
    summary: 'how to connect to the database with psql; keeps the embedded one running until Ctrl-C',
    options: { json },
    examples: ['logkeep db', 'logkeep db --json'],
    more: `Where DATABASE_URL is not set, it prints the address of the embedded Postgres, with its password, and keeps it running
until Ctrl-C; other commands can use it meanwhile. Where it is set, it prints host, port, database and user, and ends.`,
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
          REJECT_REASONS.find((reason) => reason === text) ??
          fail(at, text, `expected one of ${REJECT_REASONS.join(', ')}`),
      },
      limit: {
        flags: '--limit <n>',
        help: 'at most this many, newest first',
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
        help: 'their numbers; without any, all that wait',
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
    summary: 'serve stand-ins for both APIs until stopped',
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
        initial: HISTORY_MS,
        initialText: formatDuration(HISTORY_MS),
        parse: (text, at) => parseDuration(text) || fail(at, text, `${DURATION_EXPECTED}, more than 0`),
      },
      entries: {
        flags: '--entries <n>',
        help: 'about this many entries for each API',
        initial: 20_000,
        parse: whole(0, 10_000_000),
      },
      json,
    },
    examples: ['logkeep sandbox', 'logkeep sandbox --port 4010 --entries 100000'],
    more: `What it holds, whether or not its APIs show it now, and the requests it received, as JSON over HTTP:
  GET /sandbox/truth                                   each entry: id, time, visible_at
      ?api=qstash|datadog&from=TIME&to=TIME            of one API, of a span of event time
      &visible_at=TIME&text=true                       what the API shows at TIME; with the text as it is sent
  GET /sandbox/requests (?api=qstash|datadog)          the last 10,000 requests`,
  },
  demo: {
    summary: 'see it work without any keys: embedded Postgres, stand-in APIs, sync, queries',
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

function quarantineId(text: string, at: string): string {
  const expected = 'expected a number from `logkeep quarantine list`';
  if (!/^\d{1,100}$/.test(text)) return fail(at, text, expected);
  if (BigInt(text) > LAST_ID) throw misuse(`quarantine has no ${text}: ${expected}`);
  return text;
}
