/**
 * What went wrong with a call, as far as anything is done about it. A bad entry is no error (it goes to
 * quarantine), and any other throw is a bug, which nobody retries.
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
  | 'aborted';

/** What to do about each kind: for who sees it end a command, behind the message. */
export const REMEDY: Readonly<Record<ErrorKind, string>> = {
  config: 'correct the setting named in the message',
  /** the API refused the credentials (401, 403) */
  auth: 'correct the credentials as said; `logkeep check` tries them',
  /** the API refused the request (400, 404, a redirect) */
  request: 'correct the address or the filters of the stream',
  /** the API asked to wait (429) */
  quota: 'nothing: the wait is kept, then it goes on',
  /** network, 5xx, cut body or no answer in time */
  unavailable:
    'try again later: it goes on from what is stored; `logkeep check` tells whether the API answers',
  /** an answer that is incomplete or not what the API promises */
  protocol:
    'nothing of it was counted as read: run it again; should it come again, `logkeep check` tells whether the address, or a proxy between, is the trouble',
  /** the cursor is lost */
  cursor: 'try again: it goes on from what is stored',
  /** the API could not finish the query */
  timeout: 'try again later, or narrow the filters of the stream',
  /** one entry is larger than the body cap */
  oversize: 'raise max_body, or accept the gap that was recorded',
  /** another process took the window over */
  lease: 'nothing: the other process goes on',
  /** Postgres refused or is not reachable */
  database: 'see the message; `logkeep check` tests the database',
  /** the time that was given is over: only why a signal aborts, never how a call fails */
  time_up: 'run it again to go on',
  /** stopped on request */
  aborted: 'run sync again to go on',
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

/** Whether `error` is a failed call, of the given kind if one is given. */
export function isFailure(error: unknown, kind?: ErrorKind): error is LogkeepError {
  return error instanceof LogkeepError && (kind === undefined || error.kind === kind);
}
