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
  | 'aborted';

/** What each kind causes: the one table that decides. The remedy is for who sees it end a command, behind the message. */
export const CONSEQUENCE: Readonly<
  Record<ErrorKind, { readonly retry: boolean; readonly means: string; readonly remedy: string }>
> = {
  config: { retry: false, means: 'a setting is wrong', remedy: 'correct the setting named in the message' },
  auth: {
    retry: false,
    means: 'the API refused the credentials (401, 403)',
    remedy: 'correct the credentials as said; `logkeep check` tries them',
  },
  request: {
    retry: false,
    means: 'the API refused the request (400, 404, a redirect)',
    remedy: 'correct the address or the filters of the stream',
  },
  quota: {
    retry: true,
    means: 'the API asked to wait (429)',
    remedy: 'nothing: the wait is kept, then it goes on',
  },
  unavailable: {
    retry: true,
    means: 'network, 5xx, cut body or no answer in time',
    remedy: 'try again later: it goes on from what is stored; `logkeep check` tells whether the API answers',
  },
  protocol: {
    retry: false,
    means: 'an answer that is incomplete or not what the API promises',
    remedy: 'run sync again; nothing was counted as read',
  },
  cursor: {
    retry: false,
    means: 'the cursor is lost',
    remedy: 'try again: it goes on from what is stored',
  },
  timeout: {
    retry: false,
    means: 'the API could not finish the query',
    remedy: 'try again later, or narrow the filters of the stream',
  },
  oversize: {
    retry: false,
    means: 'one entry is larger than the body cap',
    remedy: 'raise max_body, or accept the gap that was recorded',
  },
  lease: {
    retry: false,
    means: 'another process took the window over',
    remedy: 'nothing: the other process goes on',
  },
  database: {
    retry: false,
    means: 'Postgres refused or is not reachable',
    remedy: 'see the message; `logkeep check` tests the database',
  },
  aborted: { retry: false, means: 'stopped on request', remedy: 'run sync again to go on' },
};

/** A failed call. `kind` decides what happens next; the message is for people. */
export class LogkeepError extends Error {
  readonly kind: ErrorKind;
  /** HTTP status of the answer, where there was one. */
  readonly status: number | null;
  /** Event time of the entry in the way, in ms: only with kind `oversize`. */
  readonly atMs: number | null;

  constructor(
    kind: ErrorKind,
    message: string,
    options: { cause?: unknown; status?: number; atMs?: number } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LogkeepError';
    this.kind = kind;
    this.status = options.status ?? null;
    this.atMs = options.atMs ?? null;
  }
}

/** Whether `error` is a failed call, of the given kind if one is given. */
export function isFailure(error: unknown, kind?: ErrorKind): error is LogkeepError {
  return error instanceof LogkeepError && (kind === undefined || error.kind === kind);
}
