/**
 * What went wrong with a call, as far as anything is done about it. A bad entry is no error (it goes to
 * quarantine), and any other throw is a bug, which nobody retries; `bug` is only how a job that met one is reported.
 */
export type ErrorKind =
  | 'config'
  | 'auth'
  | 'request'
  | 'quota'
  | 'unavailable'
  | 'protocol'
  | 'cursor'
  | 'timeout'
  | 'oversize'
  | 'lease'
  | 'database'
  | 'time_up'
  | 'aborted'
  | 'bug';

/** What to do about each kind: shown after the message when it ends a command. */
export const REMEDY: Readonly<Record<ErrorKind, string>> = {
  config: 'correct the setting named in the message',
  /** the API refused the credentials (401, 403) */
  auth: 'fix the credentials as described above; `logkeep check` tries them',
  /** the API refused the request (400, 404, a redirect) */
  request: 'correct the address or the filters of the stream',
  /** the API asked to wait (429) */
  quota: 'no action needed: logkeep waits, then resumes',
  /** network, 5xx, cut body or no answer in time */
  unavailable:
    'try again later: it goes on from what is stored; `logkeep check` tells whether the API answers',
  /** an answer that is incomplete or not what the API promises */
  protocol:
    'none of it was counted as read: run it again; if it happens again, `logkeep check` shows whether the address or a proxy is at fault',
  /** the cursor is lost */
  cursor: 'try again: it goes on from what is stored',
  /** the API could not finish the query */
  timeout: 'try again later, or narrow the filters of the stream',
  /** one entry is larger than the body cap */
  oversize: 'raise max_body, or accept the gap that was recorded',
  /** another process took the window over */
  lease: 'no action needed: the other process continues',
  /** Postgres refused or is not reachable */
  database: '`logkeep check` tests the database; the log of Postgres may tell more',
  /** the time that was given is over: only why a signal aborts, never how a call fails */
  time_up: 'run it again to go on',
  /** stopped on request */
  aborted: 'run the same command again to go on',
  bug: 'this is a bug in logkeep: report it with the stack in the log',
};

/** A failed call. `kind` decides what happens next; the message is for people. */
export class LogkeepError extends Error {
  readonly kind: ErrorKind;
  /** HTTP status of the answer, where there was one. */
  readonly status: number | null;
  /** Event time of the entry in the way, in ms: only with kind `oversize`. */
  readonly atMs: number | null;
  /** What to do about this very failure, where the kind's remedy does not say it; for others `remedyOf`. */
  readonly remedy: string | null;

  constructor(
    kind: ErrorKind,
    message: string,
    options: { cause?: unknown; status?: number; atMs?: number; remedy?: string } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LogkeepError';
    this.kind = kind;
    this.status = options.status ?? null;
    this.atMs = options.atMs ?? null;
    this.remedy = options.remedy ?? null;
  }
}

/** What to do about a failed call: its own remedy, else its kind's. */
export function remedyOf({ kind, remedy }: LogkeepError): string {
  return remedy ?? REMEDY[kind];
}

/** A failed call as machines are told of it. */
export interface ErrorJson {
  /** Its `ErrorKind`; another where another version of logkeep tells of it. */
  readonly kind: string;
  readonly message: string;
  readonly remedy: string;
}

/** What machines are told of a failed call, or of none. */
export function errorJson(error: LogkeepError | null): ErrorJson | null {
  return error === null ? null : { kind: error.kind, message: error.message, remedy: remedyOf(error) };
}

/** Whether `error` is a failed call, of the given kind if one is given. */
export function isFailure(error: unknown, kind?: ErrorKind): error is LogkeepError {
  return error instanceof LogkeepError && (kind === undefined || error.kind === kind);
}

/** What was thrown, for a log: a failed call by its message, anything else with the name of its kind. */
export function errorText(error: unknown): string {
  return isFailure(error) ? error.message : String(error);
}
