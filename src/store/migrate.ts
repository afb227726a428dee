import { Kysely, PostgresDialect } from 'kysely';
import { Migrator } from 'kysely/migration';
import { MIGRATIONS } from '../../migrations/list.ts';
import { LogkeepError } from '../errors.ts';
import { asDatabaseError, openPool } from './database.ts';

const TABLE = 'migration';
const LOCK_TABLE = 'migration_lock';

/**
 * Brings the database at `url` to this version's schema; safe when several start at once. `url` must be a direct
 * one, not PgBouncer's: the lock is a session's. Returns the names that were applied. Throws `database` on failure
 * (nothing is half-done) and `config` when the database is newer than this version.
 */
export async function migrateToLatest(url: string): Promise<readonly string[]> {
  const pool = openPool(url, { name: 'logkeep migrate', max: 2 });
  const db = new Kysely<unknown>({ dialect: new PostgresDialect({ pool }) });
  try {
    await refuseNewer(db);
    const migrator = new Migrator({
      db,
      provider: { getMigrations: async () => ({ ...MIGRATIONS }) },
      migrationTableName: TABLE,
      migrationLockTableName: LOCK_TABLE,
      migrationTableSchema: 'logkeep',
    });
    const { error, results } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
    return (results ?? []).map((result) => result.migrationName);
  } catch (error) {
    throw asDatabaseError('migrate', error);
  } finally {
    await db.destroy();
  }
}

/** Names of migrations that the database lacks, in order; all of them where it has no schema yet. */
export async function pendingMigrations(db: Kysely<unknown>): Promise<readonly string[]> {
  const applied = new Set(await appliedMigrations(db));
  return Object.keys(MIGRATIONS).filter((name) => !applied.has(name));
}

/** Throws `config` when the database has migrations that this version does not know. */
export async function refuseNewer(db: Kysely<unknown>): Promise<void> {
  const newer = (await appliedMigrations(db)).filter((name) => !(name in MIGRATIONS));
  if (newer.length > 0) {
    throw new LogkeepError(
      'config',
      `the database's schema is newer than this logkeep (it has ${newer.join(', ')}): upgrade logkeep; nothing was changed`,
    );
  }
}

async function appliedMigrations(db: Kysely<unknown>): Promise<readonly string[]> {
  const plain = db as Kysely<Record<string, Record<string, unknown>>>;
  const found = await plain
    .selectFrom('pg_catalog.pg_tables')
    .select('tablename')
    .where('schemaname', '=', 'logkeep')
    .where('tablename', '=', TABLE)
    .execute();
  if (found.length === 0) return [];
  const rows = await plain.withSchema('logkeep').selectFrom(TABLE).select('name').orderBy('name').execute();
  return rows.map((row) => String(row.name));
}
