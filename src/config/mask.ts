/** What stands where a secret was. */
export const MASK = '****';

const SECRET_PARAMETER = /pass|secret|token|key|auth|signature/i;

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

/** Whether the host of an address seems to end within its password, by a character that is not percent-encoded there. */
export function isTorn({ pathname, searchParams, hash }: URL): boolean {
  return [pathname, hash, ...searchParams.keys()].some((part) => part.includes('@'));
}
