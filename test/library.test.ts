import { expect, test } from 'vitest';
import { migrateToLatest, openStore } from '../src/index.ts';

const EXPECTED = 'expected an address such as postgres://user:password@host:5432/name';

test.each<[string, string]>([
  [process.env.LOGKEEP_UNSET as string, `nothing: ${EXPECTED}`],
  ['', `"": ${EXPECTED}`],
  ['nonsense', `"nonsense": ${EXPECTED}`],
  ['u:s3cr3t@h/db', `"****": ${EXPECTED}`],
  ['mysql://u:s3cr3t@h/db', `"mysql://u:****@h/db": ${EXPECTED}`],
  ['postgres://u:s3cr3t@h/db?sslmod=verify-full', 'expected no parameter "sslmod"'],
  ['postgres://u:s3cr3t@h/db?sslmode=disabled', 'expected sslmode to be one of disable,'],
])('the library refuses the address "%s" as the command does, before it connects', async (url, said) => {
  const refusal = { kind: 'config', message: expect.stringContaining(said) };
  expect(() => openStore(url)).toThrow(expect.objectContaining(refusal));
  await expect(migrateToLatest(url)).rejects.toMatchObject(refusal);
  await expect(migrateToLatest(url)).rejects.not.toThrow('s3cr3t');
});
