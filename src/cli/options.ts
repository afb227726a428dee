import { MOMENT_EXPECTED, type Moment, parseMoment, resolveMoment } from '../durations.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms } from '../model.ts';

/** One option or argument: `parse` gets the text and now, and throws LogkeepError `config` with the place `at`. */
export interface OptionDeclaration<Value> {
  /** As commander writes it: `--since <span>`, or `<id>` and `[ids...]` for an argument. */
  readonly flags: string;
  readonly help: string;
  /** Value when it is not said. */
  readonly initial: Value;
  /** How `--help` says it, where the value is not what one would write. */
  readonly initialText?: string;
  /** Absent for a switch. A `many` option gives each text to it and gathers the values. */
  readonly parse?: (text: string, at: string, nowMs: Ms) => unknown;
  readonly many?: boolean;
}

/** A command as `--help` shows it; its work is in a module of its own, loaded when it runs. */
export interface CommandDeclaration<Options> {
  readonly summary: string;
  readonly options: { readonly [Key in keyof Options]: OptionDeclaration<Options[Key]> };
  readonly examples: readonly string[];
  /** What else there is to know of it, after the examples. */
  readonly more?: string;
  /** What the options must be to each other; throws LogkeepError `config`. */
  readonly check?: (options: Options, nowMs: Ms) => void;
}

/** For machines. */
export const json: OptionDeclaration<boolean> = {
  flags: '--json',
  help: 'print JSON for machines',
  initial: false,
};

/** Which streams. */
export const stream: OptionDeclaration<readonly string[]> = {
  flags: '--stream <name>',
  help: 'only this stream (may be repeated)',
  initial: [],
  many: true,
  parse: (text, at) =>
    text.trim() ||
    fail(at, text, 'expected the name of a stream such as qstash.main; `logkeep config` lists them'),
};

/** What stands before `expected` in every complaint about an option. */
export function fail(at: string, text: string, expected: string): never {
  throw misuse(`${at}: ${JSON.stringify(text.slice(0, 100))}: ${expected}`);
}

/** What is wrong with how a command was called. */
export function misuse(message: string): LogkeepError {
  return new LogkeepError('config', message);
}

/** What is said of `query` where there is no statement. */
export function noStatement(): LogkeepError {
  return misuse(
    'query: expected one SQL statement, such as `logkeep query "select state, count(*) from qstash_log group by 1"`',
  );
}

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number) {
  return (text: string, at: string): number => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return value >= min && value <= max
      ? value
      : fail(at, text, `expected a whole number from ${min} to ${max}`);
  };
}

/** A duration back from now or a time, in ms. */
export function momentMs(text: string, at: string, nowMs: Ms): Ms {
  return resolveMoment(moment(text, at), nowMs);
}

/** A duration back from now or a time, as it was said. */
export function moment(text: string, at: string): Moment {
  return parseMoment(text) ?? fail(at, text, MOMENT_EXPECTED);
}
