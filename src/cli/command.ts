import type { Clock } from '../clock.ts';
import type { Moment } from '../durations.ts';
import type { Ms, Span } from '../model.ts';

/** 0: done; 1: failed, or found what it looks for (`gaps`, `check`); 2: misused (thrown as LogkeepError `config`). */
export type ExitCode = 0 | 1 | 2;

/** Environment variables; given, never read from the process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** Where text goes. Its errors (a closed pipe) are `main`'s to handle. */
export interface Output {
  write(text: string): unknown;
  /** Width of the terminal; absent where it is none. */
  readonly columns?: number;
}

/** All that a command may know of the process around it. */
export interface CliContext {
  readonly env: Environment;
  readonly cwd: string;
  /** Data: a table on a terminal, JSON with `--json`. */
  readonly stdout: Output;
  /** Talk: progress, notes, errors. */
  readonly stderr: Output;
  /** Aborts at the first SIGINT or SIGTERM, and when stdout is closed; its reason is a LogkeepError `aborted`. */
  readonly signal: AbortSignal;
  /** Whether stderr, where progress is drawn, is a terminal. */
  readonly isTty: boolean;
  readonly clock: Clock;
  /** Calls back for each SIGHUP from now on; where it is absent there are none. */
  readonly onHangup?: (listener: () => void) => void;
}

/** Options before or after any command: for `loadConfig`. */
export interface GlobalOptions {
  /** Path of the settings file; null: `logkeep.yaml` in `cwd`, if there is one. */
  readonly config: string | null;
  /** From `--log-level`; null: not said. */
  readonly logLevel: string | null;
}

/** What each command gets: parsed and checked; null and `[]` mean not said. */
export interface CommandOptions {
  sync: {
    /** Only these streams; `[]`: all. */
    readonly stream: readonly string[];
    readonly since: Moment | null;
    readonly until: Ms | null;
    /** A covered span to read once more, resolved against the clock at the start. */
    readonly again: Span | null;
    readonly forMs: number | null;
    readonly maxRequests: number | null;
    readonly json: boolean;
  };
  serve: { readonly port: number | null };
  run: {
    readonly job: string;
    /** Only these streams; `[]`: all. */
    readonly stream: readonly string[];
    readonly json: boolean;
  };
  backfill: {
    /** Null: go on with what is open. */
    readonly from: Moment | null;
    /** Null: up to now. */
    readonly to: Moment | null;
    readonly stream: readonly string[];
    readonly dryRun: boolean;
    /** Give up what is open. */
    readonly cancel: boolean;
    readonly json: boolean;
  };
  status: { readonly stream: readonly string[]; readonly json: boolean };
  why: { readonly stream: readonly string[]; readonly json: boolean };
  gaps: { readonly stream: readonly string[]; readonly since: Moment | null; readonly json: boolean };
  audit: {
    readonly stream: readonly string[];
    readonly from: Moment | null;
    readonly to: Ms | null;
    /** Another word for `from`. */
    readonly since: Moment | null;
    readonly by: 'keys' | 'count';
    readonly json: boolean;
  };
  check: { readonly stream: readonly string[]; readonly json: boolean };
  migrate: { readonly json: boolean };
  db: { readonly json: boolean };
  query: {
    /** One statement, as it was written; never only space. */
    readonly sql: string;
    readonly json: boolean;
  };
  'quarantine list': {
    readonly stream: readonly string[];
    readonly reason: string | null;
    readonly limit: number;
    readonly json: boolean;
  };
  'quarantine show': { readonly id: string; readonly json: boolean };
  'quarantine retry': {
    /** `[]`: all that wait, of `stream` if given. */
    readonly ids: readonly string[];
    readonly stream: readonly string[];
    readonly json: boolean;
  };
  sandbox: {
    /** 0: any free port. */
    readonly port: number;
    readonly seed: number;
    /** How far back the history begins. */
    readonly historyMs: number;
    /** Entries of each source in the history. */
    readonly entries: number;
    readonly json: boolean;
  };
  demo: { readonly seed: number; readonly keep: boolean };
  config: { readonly json: boolean };
  /** No options; prints the JSON Schema of the settings file. */
  schema: Readonly<Record<never, never>>;
}

/** What can follow `logkeep` on the command line. */
export type CommandName = keyof CommandOptions;

/**
 * What a command's module exports: `run` of `src/cli/<name>.ts`, or `list` of `quarantine.ts` for `quarantine list`. It closes what it opened, returns the exit code, and throws LogkeepError.
 */
export type Run<Name extends CommandName> = (
  options: CommandOptions[Name] & GlobalOptions,
  context: CliContext,
) => Promise<ExitCode>;
