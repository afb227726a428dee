import pg from 'pg';
import { naming, openPool } from './database.ts';

/** Of an embedded server: who may read all its tables, and nothing else. */
const READER = 'logkeep_reader';

/**
 * A connection to the embedded server at `url` with the rights of a reader, to be ended by the caller. That role is made
 * by `superuser` where it is not there yet. It is who logs in, so no statement can take the superuser's rights back.
 * Throws `database`.
 */
export async function openReader(superuser: pg.Pool, url: string): Promise<pg.Pool> {
  const address = new URL(url);
  const password = pg.escapeLiteral(decodeURIComponent(address.password));
  await naming('make the role of readers', () =>
    superuser.query(`do $$ begin
      create role ${READER} login password ${password} in role pg_read_all_data;
    exception when duplicate_object or unique_violation then null; end $$`),
  );
  address.username = READER;
  return openPool(address.href, { name: 'logkeep query', max: 1 });
}
