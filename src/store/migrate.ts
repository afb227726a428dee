import { setTimeout as delay } from 'node:timers/promises';
import { Kysely, PostgresDialect, type QueryExecutorProvider, sql } from 'kysely';
import { type Migration, type MigrationResultSet, Migrator } from 'kysely/migration';
import type pg from 'pg';
import { MIGRATIONS } from '../../migrations/list.ts';
import { LogkeepError } from '../errors.ts';
import { MIGRATING_KEY, nameBlockers } from './blockers.ts';
import { withClient } from './connection.ts';
import { asDatabaseError, databaseCode, openPool } from './database.ts';
import { missingGrant } from './grants.ts';

const TABLE = 'migration';
const LOCK_TABLE = 'migration_lock';
const LOCK_NOT_AVAILABLE = '55P03';

/** How a migration waits for others to be done with the tables, and what its errors name. */
export interface Patience {
  /** How long it waits for a lock, with all who come after it waiting behind; and how long these then have the tables. */
  readonly lockMs?: number;
  /** How often it tries. */
  readonly tries?: number;
  /** Hears once of a migration that waits, in words. */
  readonly onWait?: (text: string) => void;
  /** What gave the address, as errors are to name it. */
  readonly from?: string | null;
}

/**
 * Brings the database at `url` to this version's schema; safe when several start at once. `url` must be a direct
 * one, not PgBouncer's: the lock is a session's. Returns the names that were applied. Throws `database` on failure
 * (nothing is half-done), also where others hold the tables, or migrate, all the while (two minutes), and `config` when
 * the database is newer than this version.
 */
export async function migrateToLatest(
  url: string,
  { lockMs = 5_000, tries = 12, onWait = () => {}, from = null }: Patience = {},
): Promise<readonly string[]> {
  const pool = openPool(url, { name: 'logkeep migrate', max: 2, from });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    if ((await pendingMigrations(db)).length === 0) return [];
    const migrator = new Migrator({
      db,
      provider: { getMigrations: async () => patient(lockMs) },
      migrationTableName: TABLE,
      migrationLockTableName: LOCK_TABLE,
      migrationTableSchema: 'logkeep',
    });
    for (let left = tries; ; ) {
      // One transaction: where it fails, nothing was done.
      const { error, results } = await alone(pool, lockMs, () => migrator.migrateToLatest());
      if (error === undefined) return (results ?? []).map((result) => result.migrationName);
      if (databaseCode(error) !== LOCK_NOT_AVAILABLE) throw error;
      const text = `the tables are to be brought up to date, and others have them in use: ${await nameBlockers(pool, lockMs)}; end them, or wait until they are done`;
      left -= 1;
      if (left === 0) throw new LogkeepError('database', `migrate: ${text}`, { cause: error });
      if (left === tries - 1) onWait(text);
      await delay(lockMs);
    }
  } catch (error) {
    throw asDatabaseError(
      'migrate',
      error,
      await missingGrant(pool, { schema: 'logkeep', table: 'stream' }, error),
    );
  } finally {
    await db.destroy();
  }
}

/**
 * Does `work` while no other process does its own; an error of the kind that others were at it for `lockMs`. Kysely has
 * a lock for this too, but waits an hour for a process that stalled.
 */
async function alone(
  pool: pg.Pool,
  lockMs: number,
  work: () => Promise<MigrationResultSet>,
): Promise<MigrationResultSet> {
  return withClient(pool, async (client) => {
    await client.query(`begin; set local lock_timeout = ${lockMs}`);
    try {
      await client.query(`select pg_advisory_xact_lock(${MIGRATING_KEY})`);
      return await work();
    } catch (error) {
      return { error };
    } finally {
      await client.query('rollback').catch(() => {});
    }
  });
}

/** The migrations, none of which waits longer for a lock: an open reader would have all others wait behind it. */
function patient(lockMs: number): Record<string, Migration> {
  const patience = sql`set local lock_timeout = ${sql.lit(lockMs)}`;
  return Object.fromEntries(
    Object.entries(MIGRATIONS).map(([name, { up }]) => [
      name,
      {
        up: async (db) => {
          await patience.execute(db);
          await up(db);
        },
      },
    ]),
  );
}

/**
 * Names of migrations that the database lacks, in order; all of them where it has no schema yet. Throws `config` when
 * it has some that this version does not know.
 */
export async function pendingMigrations(db: QueryExecutorProvider): Promise<readonly string[]> {
  const applied = await appliedMigrations(db);
  const newer = applied.filter((name) => !(name in MIGRATIONS));
  if (newer.length > 0) {
    throw new LogkeepError(
      'config',
      `the database's schema is newer than this logkeep (it has ${newer.join(', ')}): upgrade logkeep; nothing was changed`,
    );
  }
  return Object.keys(MIGRATIONS).filter((name) => !applied.includes(name));
}

async function appliedMigrations(db: QueryExecutorProvider): Promise<readonly string[]> {
  const found =
    await sql`select from pg_tables where schemaname = 'logkeep' and tablename = ${TABLE}`.execute(db);
  if (found.rows.length === 0) return [];
  const { rows } = await sql<{
    name: string;
  }>`select name from ${sql.id('logkeep', TABLE)} order by name`.execute(db);
  return rows.map(({ name }) => name);
}
