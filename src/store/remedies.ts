import pg from 'pg';
import type { Place } from './place.ts';

/** What pg says without a code, as `databaseCode` calls it. */
export const UNCODED = {
  /** A connection that ended, or was not to be had in time. */
  ended: 'ended',
  /** The address asks for TLS, and the server has none. */
  noTls: 'no_tls',
  /** The server asks for a password in a way that the address does not answer. */
  password: 'password',
  /** TLS that the two sides could not agree on. */
  disagreed: 'disagreed',
} as const;

/** SQLSTATE of what a role has no right to. */
export const FORBIDDEN = '42501';
/** SQLSTATE of memory, or room for locks, that is used up. */
export const OUT_OF_MEMORY = '53200';

/** A remedy in words of the place; `address` says what gave the address. */
type Remedy = (address: string, place: Place | null) => string;

const start: Remedy = (address) =>
  `start Postgres there, or correct host and port in ${address}; a firewall may also be in between`;
const reach: Remedy = (address) =>
  `correct host and port in ${address}, or let this machine reach it: the network, a name server or a firewall is in between`;
const resume: Remedy = () =>
  'run it again once Postgres answers: it goes on from what is stored; the log of Postgres says why it ended the connection';
const trust: Remedy = (address) =>
  `add sslmode=verify-full&sslrootcert=FILE (its CA, in PEM) to ${address}, or sslmode=no-verify to encrypt without verifying the server`;
const file: Remedy = (address) =>
  `correct in ${address} the path that the message names: the folder of a socket (host), or a file of TLS (sslrootcert, sslcert, sslkey)`;
const shorter =
  (setting: string): Remedy =>
  (_, place) =>
    `give the role more time: ${roleSet(place, setting, '0')}`;

/** What to do about each failure of a database, by SQLSTATE, the socket's code or one of `UNCODED`. */
const REMEDIES: Readonly<Record<string, Remedy>> = {
  '25006': (address, place) =>
    `on a primary, ${allowWrites(place)}; where it is a standby, use the address of its primary in ${address}`,
  '25P03': shorter('idle_in_transaction_session_timeout'),
  '25P04': shorter('transaction_timeout'),
  '28000': (address) =>
    `let the role log in from this machine (pg_hba.conf of the server), or correct user, database and sslmode in ${address} (sslmode=require encrypts)`,
  '28P01': (address) =>
    `correct user and password in ${address}: special characters of the password are percent-encoded there (@ is %40, # is %23, / is %2F, % is %25)`,
  '3D000': (address, place) =>
    `${place === null ? 'create the database' : `create database ${pg.escapeIdentifier(place.database)}`}, or correct its name in ${address}`,
  [FORBIDDEN]: (_, place) =>
    `\`logkeep check\` tells the grant that ${place === null ? 'the role' : `the role ${place.role}`} lacks`,
  '53100': () =>
    "free space on the disk of the database's server, then run it again: it goes on from what is stored",
  [OUT_OF_MEMORY]: () =>
    'where it is locks that the server has no room for, raise its max_locks_per_transaction',
  '53300': (address) =>
    `end other connections, raise max_connections of the server (or the limit of the role), or use the address of a pooler in ${address}`,
  '55P03': shorter('lock_timeout'),
  '57014': (_, place) =>
    `where it is the role's statement_timeout, ${roleSet(place, 'statement_timeout', '0')}; where somebody cancelled it, run it again`,
  '57P01': resume,
  '57P02': resume,
  '57P03': resume,
  '57P05': resume,
  '08006': resume,
  ECONNRESET: resume,
  EPIPE: resume,
  [UNCODED.ended]: resume,
  ECONNREFUSED: start,
  EAI_AGAIN: reach,
  EHOSTUNREACH: reach,
  ENETUNREACH: reach,
  ENOTFOUND: reach,
  ETIMEDOUT: reach,
  EACCES: file,
  ENOENT: file,
  [UNCODED.noTls]: (address) =>
    `set sslmode=disable in ${address} where the network to the server can be trusted, or turn TLS on there (ssl = on)`,
  [UNCODED.password]: (address) =>
    `put user and password into ${address}: postgres://user:password@host:5432/name`,
  [UNCODED.disagreed]: (address) => `correct the parameters of TLS (sslmode, sslnegotiation) in ${address}`,
  // For a certificate that is not trusted; Node's names for what OpenSSL finds.
  CERT_HAS_EXPIRED: trust,
  CERT_NOT_YET_VALID: trust,
  CERT_UNTRUSTED: trust,
  DEPTH_ZERO_SELF_SIGNED_CERT: trust,
  ERR_TLS_CERT_ALTNAME_INVALID: trust,
  SELF_SIGNED_CERT_IN_CHAIN: trust,
  UNABLE_TO_GET_ISSUER_CERT: trust,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: trust,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: trust,
};

/** What to do about a database failure with this code; null: nothing in particular is known. */
export function remedyOfCode(code: string, place: Place | null): string | null {
  return REMEDIES[code]?.(place?.from ?? 'the address of the database', place) ?? null;
}

/** The statement that lets the role of `place` create schemas. */
export function grantCreate({ database, role }: Pick<Place, 'database' | 'role'>): string {
  return `grant create on database ${pg.escapeIdentifier(database)} to ${pg.escapeIdentifier(role)}`;
}

/** The statement that lets the role of `place` write. */
export function allowWrites(place: Pick<Place, 'database' | 'role'> | null): string {
  return roleSet(place, 'default_transaction_read_only', 'off');
}

function roleSet(place: Pick<Place, 'database' | 'role'> | null, setting: string, value: string): string {
  const role = place === null ? 'ROLE' : pg.escapeIdentifier(place.role);
  const where = place === null ? '' : ` in database ${pg.escapeIdentifier(place.database)}`;
  return `alter role ${role}${where} set ${setting} = ${value}`;
}
