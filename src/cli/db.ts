import pg from 'pg';
import { databaseServer } from '../app.ts';
import type { Config } from '../config.ts';
import { connectionString, naming } from '../store/database.ts';
import type { CliContext, Run } from './command.ts';
import { readConfig, tellingAbsence } from './open.ts';
import { psqlLine, shellQuoted } from './shell.ts';
import { stopped } from './stopped.ts';
import { tableText } from './table.ts';
import { openCommandLog } from './text-log.ts';

/** `logkeep db`: how to connect to the database; the embedded one is up until a signal. */
export const run: Run<'db'> = async (options, context) => {
  const { stdout, stderr, signal } = context;
  const config = readConfig(options, context, 'optional');
  if (config.database.url !== null) {
    await tellNamed(config, config.database.url, options.json, context);
    return 0;
  }
  const log = openCommandLog(config.logLevel, options.json, stderr);
  const { url, release } = await tellingAbsence(options, context, () => databaseServer(config, log, false));
  try {
    const psql = psqlLine(url);
    stdout.write(
      options.json
        ? `${JSON.stringify({ embedded: true, ...(await placeOf(url)), url, psql })}\n`
        : `${url}\n${psql}\n`,
    );
    stderr.write(
      `the embedded Postgres in ${config.database.dir} is running until Ctrl-C; other commands can use it meanwhile\n`,
    );
    await stopped(signal);
    return 0;
  } finally {
    await release();
  }
};

/** Where the database that the settings name is, without its password. */
async function tellNamed(
  { effective }: Config,
  url: string,
  json: boolean,
  { stdout, stderr }: CliContext,
): Promise<void> {
  const place = await placeOf(url);
  const fromEnvironment = effective.some(
    ({ setting, from }) => setting === 'database_url' && /^environment DATABASE_URL\b/.test(from),
  );
  const { host, port, user, database } = place;
  const words = [`--host=${host}`, `--port=${port}`, `--username=${user}`, `--dbname=${database}`];
  const psql = fromEnvironment
    ? 'psql "$DATABASE_URL"'
    : `psql ${words.map((word) => (/^[\w./=-]+$/.test(word) ? word : shellQuoted(word))).join(' ')}`;
  if (json) stdout.write(`${JSON.stringify({ embedded: false, ...place, psql })}\n`);
  else {
    stdout.write(tableText(['host', 'port', 'database', 'user'], [[host, String(port), database, user]]));
    stderr.write(
      `to connect: ${psql}${fromEnvironment ? '' : ', which asks for the password'}; \`logkeep check\` tests it\n`,
    );
  }
}

interface Address {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
}

/** As pg takes the address, nothing being sent; it names no database where that is the user's. */
function placeOf(url: string): Promise<Address> {
  return naming('read the address of the database', async () => {
    // Fails where the address names a certificate file that is not there.
    const { host, port, database, user } = new pg.Client({ connectionString: connectionString(url) });
    return { host, port, database: database ?? user ?? '', user: user ?? '' };
  });
}
