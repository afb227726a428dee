/** What stands where a secret was. */
export const MASK = '****';

const SECRET_PARAMETER = /pass|secret|token|key|auth|signature/i;

/** `value` with the passwords of addresses hidden; text that seems to hold an unreadable address is hidden whole. */
export function maskAddresses(value: string): string {
  if (!value.includes('://')) return value;
  const url = URL.parse(value);
  if (url === null) return MASK;
  if (url.password !== '') url.password = MASK;
  const secrets = [...url.searchParams.keys()].filter((name) => SECRET_PARAMETER.test(name));
  for (const name of secrets) url.searchParams.set(name, MASK);
  return url.password === '' && secrets.length === 0 ? value : url.href;
}
