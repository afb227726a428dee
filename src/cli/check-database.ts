import pg from 'pg';
import { openDatabase } from '../app.ts';
import type { Config } from '../config.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Log } from '../log.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import type { Finding } from './check.ts';

const OLDEST = 150_000;
const subject = 'database';

/**
 * Whether the database can be reached, is new enough, lets us work and has this version's tables; then `more`, if so.
 * Changes nothing.
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
    if (findings.some(({ remedy }) => remedy !== null)) return findings;
  }
  try {
    const database = await openDatabase(config, log, { migrate: false });
    try {
      findings.push({
        subject,
        found: `${url === null ? 'the embedded Postgres starts and ' : ''}has the tables of this version`,
        remedy: null,
      });
      return [...findings, ...(await more(database.store))];
    } finally {
      await database.close();
    }
  } catch (error) {
    if (!isFailure(error)) throw error;
    const [found = error.message, ...rest] = error.message.split(/: (?=expected|upgrade)/);
    findings.push({ subject, found, remedy: rest.join(': ') || 'see the message' });
    return findings;
  }
}

async function connection(url: string, name: string): Promise<Finding> {
  const client = new pg.Client({
    connectionString: url,
    connectionTimeoutMillis: 10_000,
    application_name: 'logkeep check',
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<
      Record<'version' | 'number' | 'role' | 'database', string> & Record<'temp' | 'create', boolean>
    >(
      `select current_setting('server_version') as version, current_setting('server_version_num') as number,
        current_user as role, current_database() as database,
        has_database_privilege(current_database(), 'temp') as temp,
        to_regnamespace('logkeep') is not null or has_database_privilege(current_database(), 'create') as create`,
    );
    const found = rows[0];
    if (found === undefined) throw new LogkeepError('database', 'no answer to a simple query');
    const { version, number, role, database, temp, create } = found;
    const identity = pg.escapeIdentifier(role);
    const place = pg.escapeIdentifier(database);
    if (Number(number) < OLDEST)
      return { subject, found: `${name}: Postgres ${version}`, remedy: 'logkeep needs Postgres 15 or newer' };
    if (!temp)
      return {
        subject,
        found: `${name}: ${role} may not make temporary tables`,
        remedy: `grant temporary on database ${place} to ${identity}`,
      };
    if (!create)
      return {
        subject,
        found: `${name}: ${role} may not make the schema logkeep`,
        remedy: `grant create on database ${place} to ${identity}`,
      };
    return { subject, found: `${name}: Postgres ${version.split(' ')[0]} answers`, remedy: null };
  } catch (error) {
    const message = asDatabaseError(name, error).message;
    return {
      subject,
      found: message,
      remedy: 'check host, port, user, password and database name of the address, and that Postgres runs',
    };
  } finally {
    await client.end().catch(() => undefined);
  }
}
