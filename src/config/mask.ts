/** What stands where a secret was. */
export const MASK = '****';

const SECRET_PARAMETER = /pass|pwd|^pw$|secret|token|key|auth|signature/i;

/** An address without its scheme (user:password@host), or one in keywords (password=...). */
const UNREADABLE = /^[^\s/@:]+:[^\s@]+@|\bpass(word|wd)?\s*=/i;

/** Of a parameter that ran into the next. */
const MUDDLED = /\bpass(word|wd)?\s*[=:]/i;

/** `value` with the passwords of addresses hidden; text that seems to hold an unreadable address is hidden whole. */
export function maskAddresses(value: string): string {
  if (!value.includes('://')) return UNREADABLE.test(value) ? MASK : value;
  const url = URL.parse(value);
  if (url === null || isTorn(url) || [...url.searchParams].flat().some((text) => MUDDLED.test(text)))
    return MASK;
  if (url.password !== '') url.password = MASK;
  const secrets = [...url.searchParams.keys()].filter((name) => SECRET_PARAMETER.test(name));
  for (const name of secrets) url.searchParams.set(name, MASK);
  return url.password === '' && secrets.length === 0 ? value : url.href;
}

/**
 * Whether an address seems to be cut within its password, by a character that is not percent-encoded there. No address
 * of ours has a fragment, and no parameter lacks a value.
 */
export function isTorn({ pathname, search, hash }: URL): boolean {
  const parameters = search.slice(1).split('&');
  const isCut = parameters.some((one) => one !== '' && !one.includes('='));
  return hash !== '' || isCut || [pathname, search].some((part) => part.includes('@'));
}
