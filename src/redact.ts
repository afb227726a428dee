import { createHmac, hash } from 'node:crypto';

/** Ends of names that are given to credentials, whoever makes them up: as they stand in REDACTED_HEADERS. */
const ENDINGS: ReadonlySet<string> = new Set([
  '*-token',
  '*-api-key',
  '*-apikey',
  '*-secret',
  '*-signature',
  '*-signature-256',
]);

/**
 * Names of headers (lower case) whose values never reach a table, unless the settings say otherwise; `*-token` and its
 * like stand for every name that ends so.
 */
export const REDACTED_HEADERS: readonly string[] = [
  'authorization',
  'proxy-authorization',
  'x-authorization',
  'cookie',
  'set-cookie',
  'api-key',
  'apikey',
  'x-auth-key',
  'x-functions-key',
  'ocp-apim-subscription-key',
  'dd-application-key',
  'x-vercel-protection-bypass',
  ...ENDINGS,
];

/** Hides values so that equal ones stay equal, with the one key of a database. */
export interface Redactor {
  /**
   * Whether a header (or a field of `extra`) of this name is hidden; any case, `_` for `-`, white space at either end.
   * `Upstash-Forward-X` counts as `X`, however often it is forwarded.
   */
  hides(name: string): boolean;
  /** `REDACTED:hmac:` and 32 hex digits; the same for the same value in one database. */
  hide(value: string): string;
  /** HMAC-SHA256 of unredacted content: 64 hex digits, the same in one database whatever is redacted. */
  digest(content: string | Uint8Array): string;
}

/**
 * A redactor with `key` (32 bytes, kept in the database) for the given header names, as `hides` compares them, to the
 * letter but for the endings of REDACTED_HEADERS.
 */
export function createRedactor(key: Uint8Array, headers: readonly string[] = REDACTED_HEADERS): Redactor {
  const listed = new Set(headers.map(plainName));
  const endings = [...listed].filter((name) => ENDINGS.has(name)).map((name) => name.slice(1));
  const names = new Set([...listed].filter((name) => !ENDINGS.has(name)));
  const known = new Map<string, boolean>();
  const digest = createDigest(key);
  return {
    hides(name) {
      let hidden = known.get(name);
      if (hidden === undefined) {
        const plain = plainName(name);
        hidden =
          names.has(plain) ||
          names.has(plain.replace(FORWARDED, '')) ||
          endings.some((ending) => plain.endsWith(ending));
        if (known.size < 10_000) known.set(name, hidden);
      }
      return hidden;
    },
    hide: (value) => `REDACTED:hmac:${digest(value).slice(0, 32)}`,
    digest,
  };
}

const FORWARDED = /^(?:upstash-(?:failure-)?(?:callback-)?forward-\s*)+/;

/** A name as names are compared: what servers take for the same, CGI and WSGI with their underscores among them. */
function plainName(name: string): string {
  return name.trim().toLowerCase().replaceAll('_', '-');
}

/** The same redactor for text that it redacted before: what is hidden already stays as it is. */
export function keepHidden(redactor: Redactor): Redactor {
  return { ...redactor, hide: (value) => (HIDDEN.test(value) ? value : redactor.hide(value)) };
}

const HIDDEN = /^REDACTED:hmac:[0-9a-f]{32}$/;

const BLOCK_BYTES = 64;
/** What is longer is digested without being kept. */
const LONGEST = 1024 * 1024;

/**
 * HMAC-SHA256 written out (RFC 2104), for a key of at most one block: `createHmac` costs more than twice the time
 * of two one-shot hashes, and this runs for every message.
 */
function createDigest(key: Uint8Array): (content: string | Uint8Array) => string {
  let inner = Buffer.alloc(4096, 0x36);
  const outer = Buffer.alloc(BLOCK_BYTES + 32, 0x5c);
  for (const [i, byte] of key.entries()) {
    inner[i] = byte ^ 0x36;
    outer[i] = byte ^ 0x5c;
  }
  return (content) => {
    const most = BLOCK_BYTES + content.length * (typeof content === 'string' ? 3 : 1);
    if (most > LONGEST) return createHmac('sha256', key).update(content).digest('hex');
    if (most > inner.length) {
      const larger = Buffer.allocUnsafe(most);
      inner.copy(larger, 0, 0, BLOCK_BYTES);
      inner = larger;
    }
    let { length } = content;
    if (typeof content === 'string') length = inner.write(content, BLOCK_BYTES, 'utf8');
    else inner.set(content, BLOCK_BYTES);
    // Through hex, which is half the time of asking for a buffer.
    outer.write(hash('sha256', inner.subarray(0, BLOCK_BYTES + length), 'hex'), BLOCK_BYTES, 'hex');
    return hash('sha256', outer, 'hex');
  };
}
