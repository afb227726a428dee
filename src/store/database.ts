import type { Socket } from 'node:net';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { isFailure, LogkeepError } from '../errors.ts';
import { IsoClient, type IsoConfig } from './client.ts';
import { placeOf, placeText } from './place.ts';
import { OUT_OF_MEMORY, remedyOfCode, UNCODED } from './remedies.ts';
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
 * nobody, and a statement may take hours to find out. `types`: how values are read (default: as pg does). `from`: what
 * gave `url`, as errors are to name it (default: they name no place).
 */
export function openPool(
  url: string,
  options: {
    readonly name: string;
    readonly max: number;
    readonly silenceMs?: number;
    readonly types?: pg.CustomTypesConfig;
    readonly from?: string | null;
  },
): pg.Pool {
  const config: pg.PoolConfig & IsoConfig = {
    Client: IsoClient,
    connectionString: connectionString(url),
    max: options.max,
    types: options.types,
    application_name: options.name,
    from: options.from ?? null,
    connectionTimeoutMillis: 15_000,
    keepAlive: true,
    // Without it the system's two hours count.
    keepAliveInitialDelayMillis: 10_000,
  };
  const pool = new pg.Pool(config);
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
 * mode: no named statements, no session state. TLS as the URL's `sslmode` says (`connectionString`). Options: see `openPool`.
 */
export function openStore(
  url: string,
  options: {
    readonly max?: number;
    readonly silenceMs?: number;
    readonly types?: pg.CustomTypesConfig;
    readonly from?: string | null;
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

/** The words for what pg says without a code. A plain error with other words is a bug, of its own or of ours. */
const WORDS: readonly (readonly [code: string, words: RegExp])[] = [
  [
    UNCODED.ended,
    /^(Connection terminated|timeout expired$|timeout exceeded when trying to connect$|Client (has encountered a connection error|was closed)|Received unexpected |There was an error establishing an SSL)/,
  ],
  [UNCODED.noTls, /^The server does not support SSL/],
  [UNCODED.password, /^SASL: /],
  [UNCODED.disagreed, /^(SECURITY WARNING: |sslnegotiation=|Invalid sslnegotiation)/],
];

/** Failures that a new connection may cure: SQLSTATE classes and codes, the socket's own, and one of ours. */
const PASSING = new Set([
  UNCODED.ended,
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

/** SQLSTATE or socket code of a database failure, or a word of ours where pg gives none; null: it is no such failure. */
export function databaseCode(error: unknown): string | null {
  // Node gives codes to what it is called wrongly with, too.
  if (!(error instanceof Error) || error instanceof TypeError) return null;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return code;
  if (error instanceof AggregateError) return databaseCode(error.errors[0]);
  return WORDS.find(([, words]) => words.test(error.message))?.[0] ?? null;
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

/**
 * A database failure as a failed call that names what was being done, the place and the remedy (`remedy`, where the
 * caller knows a better one than the code does); a failed call, or a bug, as it is.
 */
export function asDatabaseError(doing: string, error: unknown, remedy: string | null = null): unknown {
  const code = databaseCode(error);
  if (code === null || isFailure(error)) return error;
  if (code === 'LK001') {
    return new LogkeepError(
      'lease',
      `${doing}: another process took the window over; nothing of this batch was stored`,
      { cause: error },
    );
  }
  const place = placeOf(error);
  // Whoever has one address alone, as a library has, knows where it leads.
  const where = place === null || place.from === null ? doing : `${doing}: ${placeText(place)}`;
  const known = remedy ?? remedyOfCode(code, place);
  return new LogkeepError('database', `${where}: ${(error as Error).message || code}`, {
    cause: error,
    ...(known === null ? {} : { remedy: known }),
  });
}
