import type pg from 'pg';
import { databaseCode } from './database.ts';
import { FORBIDDEN, grantCreate } from './remedies.ts';

/**
 * What to do where `error` says that the role has no right to something, and `schema` is what it may not create; null:
 * it is something else.
 */
export async function missingGrant(pool: pg.Pool, schema: string, error: unknown): Promise<string | null> {
  if (databaseCode(error) !== FORBIDDEN) return null;
  const asked = pool.query<{ role: string; database: string }>(
    `select current_user as role, current_database() as database
    where to_regnamespace($1) is null and not has_database_privilege(current_database(), 'create')`,
    [schema],
  );
  // What went wrong first is what is told.
  const lacks = await asked.then(
    ({ rows }) => rows[0],
    () => undefined,
  );
  return lacks === undefined ? null : `as the owner of the database: ${grantCreate(lacks)}`;
}
