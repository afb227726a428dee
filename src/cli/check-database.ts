import pg from 'pg';
import { embeddedName } from '../app.ts';
import type { Config } from '../config.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { IsoClient } from '../store/client.ts';
import { asDatabaseError, connectionString, openStore, type Store } from '../store/database.ts';
import { pendingMigrations } from '../store/migrate.ts';
import { placeOf } from '../store/place.ts';
import { allowWrites, grantCreate } from '../store/remedies.ts';
import { checkGrants, checkMigrating } from './check-grants.ts';
import { type Finding, fine, note, trouble } from './finding.ts';

const OLDEST = 150_000;
const subject = 'database';
const UNKNOWN = 'the log of Postgres may tell more';

/** An address and what gave it. */
interface Address {
  readonly url: string;
  readonly from: string;
}

/** Where logkeep works, and where it migrates, whose role may be another. */
interface Addresses {
  readonly used: Address;
  readonly direct: Address;
}

/** Null: the database is the embedded one. */
function addresses({ database: { url, from, directUrl, directFrom } }: Config): Addresses | null {
  if (url === null || from === null) return null;
  const used = { url, from };
  return {
    used,
    direct: directUrl === null || directFrom === null ? used : { url: directUrl, from: directFrom },
  };
}

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
  const named = addresses(config);
  const findings: Finding[] = [];
  if (named !== null) {
    findings.push(await connection(named.used));
    if (named.direct.url !== named.used.url) findings.push(await connection(named.direct));
    if (findings.some(({ level }) => level === 'trouble')) return findings;
  }
  try {
    if (named !== null) return [...findings, ...(await tables(named, more))];
    const { dir } = config.database;
    const { openEmbedded } = await import('../store/embedded.ts');
    const { hasCluster } = await import('../store/embedded-home.ts');
    if (!(await hasCluster(dir))) return [await unmade(dir)];
    const embedded = await openEmbedded({ dir, log });
    try {
      findings.push(fine(subject, 'the embedded Postgres starts'));
      const own = { url: embedded.url, from: embeddedName(dir) };
      return [...findings, ...(await tables({ used: own, direct: own }, more))];
    } finally {
      await embedded.release();
    }
  } catch (error) {
    if (!isFailure(error)) throw error;
    const [found = error.message, ...rest] = error.message.split(/: (?=expected|upgrade)/);
    return [...findings, trouble(subject, found, rest.join(': ') || error.remedy || UNKNOWN)];
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

async function tables(
  { used, direct }: Addresses,
  more: (store: Store) => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  const store = openStore(used.url, { max: 1, from: used.from });
  const owner = openStore(direct.url, { max: 1, from: direct.from });
  try {
    const { findings, readable } = await checkGrants(store.pool, owner.pool);
    if (!readable) return findings;
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

async function connection({ url, from }: Address): Promise<Finding> {
  let client: IsoClient | null = null;
  try {
    // Fails where the address names a certificate file that is not there.
    client = new IsoClient({
      connectionString: connectionString(url),
      from,
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
        has_database_privilege(current_database(), 'create')
          or exists (select from pg_tables where schemaname = 'logkeep' and tablename = 'stream') as create`,
    );
    const found = rows[0];
    if (found === undefined) throw new LogkeepError('database', 'no answer to a simple query');
    const { version, number, role, database, temp, create, standby, read_only } = found;
    if (Number(number) < OLDEST)
      return trouble(subject, `${from}: Postgres ${version}`, 'logkeep needs Postgres 15 or newer');
    if (standby)
      return trouble(
        subject,
        `${from}: a standby, which accepts no writes`,
        'use the address of its primary',
      );
    if (read_only)
      return trouble(
        subject,
        `${from}: transactions of ${role} are read-only (default_transaction_read_only)`,
        allowWrites(found),
      );
    if (!temp)
      return trouble(
        subject,
        `${from}: ${role} may not create temporary tables`,
        `grant temporary on database ${pg.escapeIdentifier(database)} to ${pg.escapeIdentifier(role)}`,
      );
    if (!create)
      return trouble(subject, `${from}: ${role} may not create the schema logkeep`, grantCreate(found));
    return fine(subject, `${from}: Postgres ${version.split(' ')[0]} answers`);
  } catch (error) {
    // A file of TLS that is not there is missed before there is a connection.
    const failure = asDatabaseError(placeOf(error) === null ? from : 'connect', error);
    if (!isFailure(failure)) throw failure;
    return trouble(subject, failure.message, failure.remedy ?? UNKNOWN);
  } finally {
    await client?.end().catch(() => undefined);
  }
}
