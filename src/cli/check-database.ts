import pg from 'pg';
import type { Config } from '../config.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { asDatabaseError, connectionString, isUntrusted, openStore, type Store } from '../store/database.ts';
import { pendingMigrations, refuseNewer } from '../store/migrate.ts';
import { checkGrants, checkMigrating } from './check-grants.ts';
import { type Finding, fine, note, trouble } from './finding.ts';

const OLDEST = 150_000;
const subject = 'database';

/**
 * Whether the database can be reached, is new enough, lets us work and is not of a newer logkeep; then `more`, if it
 * has this version's tables. Changes nothing: of an embedded one that is not there yet it tells that the first sync
 * makes it.
 */
export async function checkDatabase(
  config: Config,
  log: Log,
  more: (store: Store) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const { url, directUrl } = config.database;
  const findings: Finding[] = [];
  if (url !== null) {
    findings.push(await connection(url, 'database_url'));
    if (directUrl !== null && directUrl !== url)
      findings.push(await connection(directUrl, 'database_url_direct'));
    if (findings.some(({ level }) => level === 'trouble')) return findings;
  }
  try {
    if (url !== null) return [...findings, ...(await tables(url, directUrl ?? url, more))];
    const { dir } = config.database;
    const { openEmbedded } = await import('../store/embedded.ts');
    const { hasCluster } = await import('../store/embedded-home.ts');
    if (!(await hasCluster(dir))) return [await unmade(dir)];
    const embedded = await openEmbedded({ dir, log });
    try {
      findings.push(fine(subject, 'the embedded Postgres starts'));
      return [...findings, ...(await tables(embedded.url, embedded.url, more))];
    } finally {
      await embedded.release();
    }
  } catch (error) {
    if (!isFailure(error)) throw error;
    const [found = error.message, ...rest] = error.message.split(/: (?=expected|upgrade)/);
    return [...findings, trouble(subject, found, rest.join(': ') || 'see the message')];
  }
}

async function unmade(dir: string): Promise<Finding> {
  const { surveyCluster } = await import('../store/embedded-survey.ts');
  await surveyCluster(dir);
  return note(
    subject,
    `no database yet: the first sync creates an embedded Postgres in ${dir}`,
    'run `logkeep sync`, or set DATABASE_URL to use your own Postgres',
  );
}

/** The tables at `url`; `migrator`: the address that migrations take, whose role may be another. */
async function tables(
  url: string,
  migrator: string,
  more: (store: Store) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const store = openStore(url, { max: 1 });
  const owner = openStore(migrator, { max: 1 });
  try {
    const { findings, readable } = await checkGrants(store.pool, owner.pool);
    if (!readable) return findings;
    await refuseNewer(store.db);
    const pending = await pendingMigrations(store.db);
    if (pending.length > 0) return [...findings, ...(await unmigrated(owner.pool, pending))];
    const sound = findings.every(({ level }) => level !== 'trouble');
    const whole = sound ? [fine(subject, 'has the tables of this version')] : [];
    return [...findings, ...whole, ...(await more(store))];
  } catch (error) {
    throw asDatabaseError('look at the database', error);
  } finally {
    await store.close();
    await owner.close();
  }
}

async function unmigrated(pool: pg.Pool, pending: readonly string[]): Promise<readonly Finding[]> {
  const findings = await checkMigrating(pool, pending);
  if (findings.length > 0) return findings;
  const remedy = 'run `logkeep sync`, or `logkeep migrate` alone';
  return [note(subject, `not migrated yet: the first sync does it (${pending.join(', ')})`, remedy)];
}

async function connection(url: string, name: string): Promise<Finding> {
  let client: pg.Client | null = null;
  try {
    // Fails where the address names a certificate file that is not there.
    client = new pg.Client({
      connectionString: connectionString(url),
      connectionTimeoutMillis: 10_000,
      application_name: 'logkeep check',
    });
    client.on('error', () => undefined);
    await client.connect();
    const { rows } = await client.query<
      Record<'version' | 'number' | 'role' | 'database', string> &
        Record<'temp' | 'create' | 'standby' | 'read_only', boolean>
    >(
      `select current_setting('server_version') as version, current_setting('server_version_num') as number,
        current_user as role, current_database() as database,
        has_database_privilege(current_database(), 'temp') as temp,
        pg_is_in_recovery() as standby, current_setting('transaction_read_only')::boolean as read_only,
        to_regnamespace('logkeep') is not null or has_database_privilege(current_database(), 'create') as create`,
    );
    const found = rows[0];
    if (found === undefined) throw new LogkeepError('database', 'no answer to a simple query');
    const { version, number, role, database, temp, create, standby, read_only } = found;
    const identity = pg.escapeIdentifier(role);
    const place = pg.escapeIdentifier(database);
    if (Number(number) < OLDEST)
      return trouble(subject, `${name}: Postgres ${version}`, 'logkeep needs Postgres 15 or newer');
    if (standby)
      return trouble(
        subject,
        `${name}: a standby, which accepts no writes`,
        'use the address of its primary',
      );
    if (read_only)
      return trouble(
        subject,
        `${name}: transactions of ${role} are read-only (default_transaction_read_only)`,
        `alter role ${identity} in database ${place} set default_transaction_read_only = off`,
      );
    if (!temp)
      return trouble(
        subject,
        `${name}: ${role} may not create temporary tables`,
        `grant temporary on database ${place} to ${identity}`,
      );
    if (!create)
      return trouble(
        subject,
        `${name}: ${role} may not create the schema logkeep`,
        `grant create on database ${place} to ${identity}`,
      );
    return fine(subject, `${name}: Postgres ${version.split(' ')[0]} answers`);
  } catch (error) {
    const failure = asDatabaseError(name, error);
    if (!isFailure(failure)) throw failure;
    return trouble(
      subject,
      failure.message,
      isUntrusted(error)
        ? 'fix the address as described above'
        : 'check host, port, user, password and database name of the address, and that Postgres is running',
    );
  } finally {
    await client?.end().catch(() => undefined);
  }
}
