import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { LogkeepError } from '../errors.ts';
import type { Database } from './schema.ts';

/** A Postgres in use: Kysely for questions, the pool where a connection of one's own is needed. */
export interface Store {
  readonly db: Kysely<Database>;
  readonly pool: pg.Pool;
  close(): Promise<void>;
}

/**
 * Opens `url`; nothing is sent yet. `bigint` and `numeric` come as text. Works through PgBouncer in transaction
 * mode: no named statements, no session state. TLS as the URL's `sslmode` says.
 */
export function openStore(url: string, options: { readonly max?: number } = {}): Store {
  const pool = new pg.Pool({
    connectionString: url,
    max: options.max ?? 8,
    application_name: 'logkeep',
    connectionTimeoutMillis: 15_000,
    keepAlive: true,
  });
  // An idle connection that breaks is replaced by the pool; without a listener the process would end.
  pool.on('error', () => {});
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) }).withSchema('logkeep');
  return { db, pool, close: () => db.destroy() };
}

/** Failures that a new connection may cure: SQLSTATE classes and codes, and the socket's own. */
const PASSING = new Set([
  '40001',
  '40P01',
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

/** SQLSTATE or socket code of a database failure; `connection` for pg's own word that the connection ended. */
export function databaseCode(error: unknown): string | null {
  if (!(error instanceof Error)) return null;
  const { code } = error as { code?: unknown };
  if (typeof code === 'string') return code;
  return error instanceof AggregateError ? databaseCode(error.errors[0]) : null;
}

/** Whether the same call may succeed on another connection, later. */
export function mayPass(error: unknown): boolean {
  const code = databaseCode(error);
  return code === null ? isPgEnd(error) : PASSING.has(code) || code.startsWith('08');
}

/** pg reports a cut connection as a plain Error without a code; its answers from the server are DatabaseError. */
function isPgEnd(error: unknown): boolean {
  return error instanceof Error && error.constructor === Error;
}

/** A database failure as a failed call that names what was being done. */
export function asDatabaseError(doing: string, error: unknown): LogkeepError {
  if (error instanceof LogkeepError) return error;
  if (databaseCode(error) === 'LK001') {
    return new LogkeepError(
      'lease',
      `${doing}: another process took the window over; nothing of this batch was stored`,
      { cause: error },
    );
  }
  const text = error instanceof Error ? error.message || databaseCode(error) : String(error);
  return new LogkeepError('database', `${doing}: ${text}`, { cause: error });
}
