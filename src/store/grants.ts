import type pg from 'pg';
import { databaseCode } from './database.ts';
import type { Place } from './place.ts';
import { FORBIDDEN, grantCreate } from './remedies.ts';

/** A table that stands for those made with it. */
export interface FirstTable {
  readonly schema: string;
  readonly table: string;
}

/**
 * The role of `pool` and its database, where the tables made with this one are still to be made and the role may not
 * create schemas: Postgres asks for that right even where the schema is there; null: nothing is in the way.
 */
export async function lacksCreate(
  pool: pg.Pool,
  { schema, table }: FirstTable,
): Promise<Pick<Place, 'role' | 'database'> | null> {
  const { rows } = await pool.query<Pick<Place, 'role' | 'database'>>(
    `select current_user as role, current_database() as database
    where not has_database_privilege(current_database(), 'create')
      and not exists (select from pg_tables where schemaname = $1 and tablename = $2)`,
    [schema, table],
  );
  return rows[0] ?? null;
}

/** What to do where `error` says that the role has no right to something, and it may not make `first`; null: it is something else. */
export async function missingGrant(pool: pg.Pool, first: FirstTable, error: unknown): Promise<string | null> {
  if (databaseCode(error) !== FORBIDDEN) return null;
  // What went wrong first is what is told.
  const lacks = await lacksCreate(pool, first).catch(() => null);
  return lacks === null ? null : `as the owner of the database: ${grantCreate(lacks)}`;
}
