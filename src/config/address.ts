import { nearest } from '../nearest.ts';
import { isTorn, MASK } from './mask.ts';

/** What an address of a database must be. */
export const ADDRESS_EXPECTED =
  'expected an address such as postgres://user:password@host:5432/name, special characters of the password percent-encoded (a # in it is written %23, a / %2F)';

/** libpq's, and node-postgres's own `no-verify`. */
const MODES = ['disable', 'allow', 'prefer', 'require', 'verify-ca', 'verify-full', 'no-verify'];

/** What libpq or node-postgres knows of TLS. */
const TLS_PARAMETERS = [
  'ssl',
  'sslmode',
  'sslrootcert',
  'sslcert',
  'sslkey',
  'sslpassword',
  'sslnegotiation',
  'sslcertmode',
  'sslcompression',
  'sslcrl',
  'sslcrldir',
  'sslkeylogfile',
  'sslsni',
  'ssl_min_protocol_version',
  'ssl_max_protocol_version',
];

/**
 * What is wrong with an address of a database, as `expected ...`, without a password of it; null: nothing. A word on
 * TLS that nobody knows would be passed over, and the connection made in the clear; other parameters may be a provider's.
 */
export function addressTrouble(address: string): string | null {
  // Without a host there is a socket, whose folder is a parameter; URL takes no user without a host.
  const url = URL.parse(address.replace('@/', '@localhost/'));
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) return ADDRESS_EXPECTED;
  if (isTorn(url) || !isDecodable(address)) return ADDRESS_EXPECTED;
  for (const [name, value] of url.searchParams) {
    // What follows is beyond what node-postgres bears: it would end the process, or say nothing at all.
    if (name === 'ssl' && !['true', '1', '0'].includes(value)) {
      return `expected ssl to be true, 1 or 0, not ${shown(value)}; sslmode=disable turns TLS off`;
    }
    if (name === 'port' && !(/^\d{1,5}$/.test(value) && Number(value) >= 1 && Number(value) <= 65_535)) {
      return `expected port to be a number from 1 to 65535, not ${shown(value)}`;
    }
    if (name === 'sslmode' && !MODES.includes(value)) {
      return `expected sslmode to be one of ${MODES.join(', ')}, not ${shown(value)}${hint(value, MODES)}`;
    }
    if (/^\s*ssl/i.test(name) && !TLS_PARAMETERS.includes(name)) {
      return `expected no parameter ${shown(name)}, which is not a TLS parameter${hint(name, TLS_PARAMETERS)}`;
    }
  }
  return null;
}

function isDecodable(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

/** Where the address is misspelt the rest of it may stand here, its password too. */
function shown(word: string): string {
  return /^[\w-]{0,30}$/.test(word) ? JSON.stringify(word) : MASK;
}

function hint(word: string, known: readonly string[]): string {
  const meant = nearest(word, known);
  return meant === null ? '' : `; did you mean ${meant}?`;
}
