import { describe, expect, it } from 'vitest';
import { settingsFolder } from './harness.ts';

const { load, complaint } = settingsFolder();
const KEY = { QSTASH_TOKEN: 't' };

describe('the address of a database', () => {
  it.each([
    'sslmode=disable',
    'sslmode=allow',
    'sslmode=prefer',
    'sslmode=require',
    'sslmode=verify-ca',
    'sslmode=verify-full',
    'sslmode=no-verify',
    'ssl=true',
    'sslmode=verify-full&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&sslsni=1',
    'ssl_min_protocol_version=TLSv1.3&sslnegotiation=direct&sslmode=require',
    'uselibpqcompat=true&sslmode=require&options=-c%20a%3Db&pgbouncer=true&supa=1',
  ])('may say %s', (parameters) => {
    const url = `postgres://u:p@h/db?${parameters}`;
    expect(load(null, { ...KEY, DATABASE_URL: url }).database.url).toBe(url);
  });

  it('may name a user and leave the host to a socket', () => {
    const url = 'postgres://u@/db?host=/var/run/postgresql';
    expect(load(null, { ...KEY, DATABASE_URL: url }).database.url).toBe(url);
  });

  it.each([
    ['sslmode=disabled', /"disabled"; did you mean disable\?$/],
    ['sslmode=verify_full', /"verify_full"; did you mean verify-full\?$/],
    ['sslmode=Require', /"Require"; did you mean require\?$/],
    ['sslmode=bogus', /"bogus"$/],
    ['sslmode=', /""$/],
    ['sslmode=require&sslmode=bogus', /"bogus"$/],
  ])('is refused with %s, with the modes there are', (parameters, end) => {
    const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://u:s3cr3t@h/db?${parameters}` });
    expect(said).toMatch(
      /^DATABASE_URL: "postgres:\/\/u:\*\*\*\*@h\/db\?sslmode=.*": expected sslmode to be one of disable, allow, prefer, require, verify-ca, verify-full, no-verify, not /,
    );
    expect(said).toMatch(end);
    expect(said).not.toContain('s3cr3t');
  });

  it.each([
    ['sslmod=verify-full', /expected no parameter "sslmod", .*; did you mean sslmode\?$/],
    ['SSLMODE=require', /expected no parameter "SSLMODE", .*; did you mean sslmode\?$/],
    ['ssl-mode=require', /expected no parameter "ssl-mode", .*; did you mean sslmode\?$/],
    ['a=b&sslrootcrt=/ca.pem', /expected no parameter "sslrootcrt", .*; did you mean sslrootcert\?$/],
    ['sslaccept=strict', /expected no parameter "sslaccept", /],
  ])('is refused with %s, which would be passed over', (parameters, expected) => {
    const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://u:s3cr3t@h/db?${parameters}` });
    expect(said).toMatch(/^DATABASE_URL: /);
    expect(said).toMatch(expected);
    expect(said).not.toContain('s3cr3t');
  });

  it('is refused by the name of the setting that says it', () => {
    const direct = { DATABASE_URL: 'postgres://h/db', DATABASE_URL_DIRECT: 'postgres://h/db?sslmode=on' };
    expect(complaint(null, { ...KEY, ...direct })).toMatch(/^DATABASE_URL_DIRECT: .* not "on"/);
    expect(complaint('database_url: postgres://h/db?sslmode=on', KEY)).toMatch(
      /^logkeep\.yaml: database_url: .* not "on"/,
    );
  });

  it.each([
    ['ssl=false', /expected ssl to be true, 1 or 0, not "false"; sslmode=disable turns TLS off$/],
    ['ssl=no', /not "no"; /],
    ['port=abc', /expected port to be a number from 1 to 65535, not "abc"$/],
    ['port=99999', /not "99999"$/],
    ['port=0', /not "0"$/],
    ['application_name=%ff', /expected an address such as /],
  ])('is refused with %s, which the driver does not bear', (parameters, expected) => {
    const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://u:s3cr3t@h/db?${parameters}` });
    expect(said).toMatch(expected);
    expect(said).not.toContain('s3cr3t');
  });

  it.each([
    'user=u&password=a#s3cr3t',
    'user=u&password=a&s3cr3t',
    'user=u&pwd=s3cr3t&ssl=no',
    'pw=s3cr3t&port=x',
  ])('shows no part of a password in a parameter: %s', (parameters) => {
    const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://h/db?${parameters}` });
    expect(said).toContain('****');
    expect(said).not.toContain('s3cr3t');
  });

  it.each([
    's3#cr3t',
    '33#cr3t',
    '33/cr3t',
    '33?cr3t',
    'a@33#cr3t',
    'a@33/cr3t',
    '5?a=cr3t',
    '?k=cr3t',
    '12?a&b=cr3t',
    'x@cr3t?k=1',
    '?sslmode=cr3t',
  ])(
    'with a password such as %s that is not percent-encoded is refused, not taken for another address',
    (password) => {
      const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://u:${password}@h/db` });
      expect(said).toMatch(
        /^DATABASE_URL: "\*\*\*\*": expected an address such as .*percent-encoded \(a # in it is written %23, a \/ %2F\)$/,
      );
      expect(said).not.toContain('cr3t');
    },
  );

  it('never shows what may be a password, however it is misspelt', () => {
    for (const parameters of ['sslmode=require password=s3cr3t', 'sslmode:require;password:s3cr3t']) {
      const said = complaint(null, { ...KEY, DATABASE_URL: `postgres://h/db?${parameters}` });
      expect(said).toContain('****');
      expect(said).not.toContain('s3cr3t');
    }
  });
});
