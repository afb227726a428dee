import type { Kysely } from 'kysely';
import pg from 'pg';
import { addressTrouble } from './config/address.ts';
import { showValue } from './config/problems.ts';
import { LogkeepError } from './errors.ts';
import { parseExactly } from './json.ts';
import { openStore as openInside } from './store/database.ts';
import { migrateToLatest as migrateInside } from './store/migrate.ts';
import type { Database } from './store/schema.ts';

/** A database of logkeep, to query. */
export interface Store {
  readonly db: Kysely<Database>;
  close(): Promise<void>;
}

/**
 * Opens the database at `url`; nothing is sent yet. `bigint` and `numeric` come as text; so does, in json and jsonb, a
 * number that no double holds to its last digit. `max` connections at most (default 8); `silenceMs`: a connection in
 * use that is silent for so long is given up (default: never). Works through PgBouncer in transaction mode. Throws
 * when `url` is no address of a Postgres, or says of TLS what nobody knows.
 */
export function openStore(
  url: string,
  options: { readonly max?: number; readonly silenceMs?: number } = {},
): Store {
  refuseWrong(url);
  return openInside(url, { ...options, types: exactTypes() });
}

/**
 * Brings the tables of the database at `url` to this version; safe when several start at once. `url` must be a direct
 * one, not PgBouncer's: the lock is a session's. Returns the names of the migrations that were applied. Throws when
 * `url` is no address, the database is newer than this version, or a migration fails: then nothing is half-done.
 */
export async function migrateToLatest(url: string): Promise<readonly string[]> {
  refuseWrong(url);
  return migrateInside(url);
}

function refuseWrong(url: string): void {
  // Whoever writes no TypeScript may give a variable that is not set.
  const trouble = addressTrouble(String(url));
  if (trouble !== null)
    throw new LogkeepError('config', `address of the database: ${showValue(url, false)}: ${trouble}`);
}

/** Of Postgres's catalogue; the arrays' are not among pg's names. */
const OID = { json: 114, jsonb: 3802, jsonArray: 199, jsonbArray: 3807, textArray: 1009 };

/** An array of json as pg reads an array of text. */
type Texts = readonly (string | null | Texts)[];

/** pg's own, but for json. */
function exactTypes(): pg.CustomTypesConfig {
  const types = new pg.TypeOverrides();
  const texts: (text: string) => Texts = pg.types.getTypeParser(OID.textArray);
  for (const oid of [OID.json, OID.jsonb]) types.setTypeParser(oid, parseExactly);
  for (const oid of [OID.jsonArray, OID.jsonbArray])
    types.setTypeParser(oid, (text) => exactElements(texts(text)));
  return types;
}

function exactElements(texts: Texts): readonly unknown[] {
  return texts.map((one) =>
    one === null ? null : typeof one === 'string' ? parseExactly(one) : exactElements(one),
  );
}
