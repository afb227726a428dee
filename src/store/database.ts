import type { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { isFailure, LogkeepError } from '../errors.ts';
import { IsoClient } from './client.ts';
import type { Database } from './schema.ts';

/** A Postgres in use: Kysely for questions, the pool where a connection of one's own is needed. */
export interface Store {
  readonly db: Kysely<Database>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

/**
 * `url` as pg is to have it: `prefer`, `require` and `verify-ca` verify the server's certificate as `verify-full`
 * does. pg does the same, but with a long warning that names no setting of ours. `uselibpqcompat=true` is left alone.
 */
export function connectionString(url: string): string {
  if (/[?&]uselibpqcompat=true(&|$)/.test(url)) return url;
  return url.replace(/(?<=[?&]sslmode=)(prefer|require|verify-ca)(?=&|$)/, 'verify-full');
}

/**
 * A pool for `url`, with TLS as its `sslmode` says (`connectionString`); nothing is sent yet. `silenceMs`: a connection
 * in use on which nothing is heard or said for so long is given up (default: never). A network that forgot it tells
 * nobody, and a statement may take hours to find out. `types`: how values are read (default: as pg does).
 */
export function openPool(
  url: string,
  options: {
    readonly name: string;
    readonly max: number;
    readonly silenceMs?: number;
    readonly types?: pg.CustomTypesConfig;
  },
): pg.Pool {
  const pool = new pg.Pool({
    Client: IsoClient,
    connectionString: connectionString(url),
    max: options.max,
    types: options.types,
    application_name: options.name,
    connectionTimeoutMillis: 15_000,
    keepAlive: true,
    // Without it the system's two hours count.
    keepAliveInitialDelayMillis: 10_000,
  });
  // A connection that breaks fails its query, or is replaced when it is idle; where nobody listens to a connection
  // (Kysely does not), its error would end the process as well.
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', () => {});
    (client as pg.PoolClient & IsoClient).speakIso();
    const { silenceMs } = options;
    if (silenceMs === undefined) return;
    const { stream } = (client as unknown as { readonly connection: { readonly stream: Socket } }).connection;
    stream.setTimeout(silenceMs, () => stream.destroy(silence(silenceMs)));
  });
  return pool;
}

function silence(ms: number): Error {
  return Object.assign(new Error(`no answer within ${ms} ms`), { code: 'ETIMEDOUT' });
}

/**
 * Opens `url`; nothing is sent yet. `bigint` and `numeric` come as text. Works through PgBouncer in transaction
 * mode: no named statements, no session state. TLS as the URL's `sslmode` says (`connectionString`).
 */
export function openStore(
  url: string,
  options: {
    readonly max?: number;
    readonly silenceMs?: number;
    readonly types?: pg.CustomTypesConfig;
  } = {},
): Store {
  const { max = 8, ...rest } = options;
  const pool = openPool(url, { name: 'logkeep', max, ...rest });
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }).withSchema('logkeep');
  return {
    db,
    pool,
    close: async () => {
      await db.destroy();
      // Kysely ends a pool only if it has used it.
      if (!pool.ending) await pool.end();
    },
  };
}

const OUT_OF_MEMORY = '53200';

/** A connection that ended, or was not to be had in time. */
const ENDED = 'ended';
/** A connection that the two sides could not agree on. */
const DISAGREED = 'disagreed';

/** What pg says without a code. A plain error with other words is a bug, of its own or of ours. */
const UNCODED: readonly (readonly [code: string, words: RegExp])[] = [
  [
    ENDED,
    /^(Connection terminated|timeout expired$|timeout exceeded when trying to connect$|Client (has encountered a connection error|was closed)|Received unexpected |There was an error establishing an SSL)/,
  ],
  [
    DISAGREED,
    /^(The server does not support SSL|SASL: |SECURITY WARNING: |sslnegotiation=|Invalid sslnegotiation)/,
  ],
];

/** Failures that a new connection may cure: SQLSTATE classes and codes, the socket's own, and one of ours. */
const PASSING = new Set([
  ENDED,
  // A session that was idle in its transaction, or in it at all, for longer than the server lets it.
  '25P03',
  '25P04',
  '40001',
  '40P01',
  // Of memory or of room for locks: others give theirs back when they end.
  OUT_OF_MEMORY,
  '53300',
  '55P03',
  '57P01',
  '57P02',
  '57P03',
  '57P05',
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);

const PROTOCOL_VIOLATION = '08P01';

/** Codes of TLS for a certificate that is not trusted; Node's names for what OpenSSL finds. */
const UNTRUSTED = new Set([
  'CERT_HAS_EXPIRED',
  'CERT_NOT_YET_VALID',
  'CERT_UNTRUSTED',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'ERR_TLS_CERT_ALTNAME_INVALID',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
]);

/** Whether the server's certificate was not trusted: the address must say what to trust. */
export function isUntrusted(error: unknown): boolean {
  return UNTRUSTED.has(databaseCode(error) ?? '');
}

/** SQLSTATE or socket code of a database failure, or a word of ours where pg gives none; null: it is no such failure. */
export function databaseCode(error: unknown): string | null {
  // Node gives codes to what it is called wrongly with, too.
  if (!(error instanceof Error) || error instanceof TypeError) return null;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return code;
  if (error instanceof AggregateError) return databaseCode(error.errors[0]);
  return UNCODED.find(([, words]) => words.test(error.message))?.[0] ?? null;
}

/** Whether the same call may succeed on another connection, later. */
export function mayPass(error: unknown): boolean {
  const code = databaseCode(error);
  if (code === null) return false;
  // A pooler says so of a server that went away; from Postgres itself, which names its routine, it is a bug of ours.
  if (code === PROTOCOL_VIOLATION) return (error as Partial<pg.DatabaseError>).routine === undefined;
  return PASSING.has(code) || code.startsWith('08');
}

/** `work`, whose database failures become failed calls that name what was being done; a bug is thrown as it is. */
export async function naming<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asDatabaseError(doing, error);
  }
}

/** A database failure as a failed call that names what was being done; a failed call, or a bug, as it is. */
export function asDatabaseError(doing: string, error: unknown): unknown {
  const code = databaseCode(error);
  if (code === null || isFailure(error)) return error;
  if (code === 'LK001') {
    return new LogkeepError(
      'lease',
      `${doing}: another process took the window over; nothing of this batch was stored`,
      { cause: error },
    );
  }
  return new LogkeepError('database', `${doing}: ${(error as Error).message || code}${hintOf(error)}`, {
    cause: error,
  });
}

function hintOf(error: unknown): string {
  if (isUntrusted(error))
    return ": the server's certificate is not trusted: add sslmode=verify-full&sslrootcert=FILE (its CA, in PEM) to the address, or sslmode=no-verify to encrypt without verifying the server";
  if (databaseCode(error) === OUT_OF_MEMORY)
    return ': where it is locks that the server has no room for, raise its max_locks_per_transaction';
  return '';
}
