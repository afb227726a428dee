import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const compose = parse(read('docker-compose.yml'), { strict: true, uniqueKeys: true });
const { db } = compose.services;

/** DATABASE_URL as a page says it to whoever has started the container. */
const told = (path: string) => /DATABASE_URL=(postgres:\/\/logkeep[^\s`]+)/.exec(read(path))?.[1] ?? '';

test('docker-compose.yml serves one Postgres that logkeep supports, on loopback alone', () => {
  expect(Object.keys(compose.services)).toEqual(['db']);
  const major = /^postgres:(\d+)$/.exec(db.image)?.[1];
  expect(Number(major)).toBeGreaterThanOrEqual(15);
  expect(Number(major)).toBeLessThanOrEqual(18);
  expect(db.ports).toEqual(['127.0.0.1:5432:5432']);
});

test('its data outlives the container: a named volume where the image of that version keeps it', () => {
  // Since 18 the image's volume is the folder above the data.
  expect(db.volumes).toEqual(['db:/var/lib/postgresql']);
  expect(Object.keys(compose.volumes)).toEqual(['db']);
});

test('it counts as healthy when the very user and database answer over TCP', () => {
  expect(db.healthcheck.test).toEqual([
    'CMD',
    'pg_isready',
    '--host=127.0.0.1',
    `--username=${db.environment.POSTGRES_USER}`,
    `--dbname=${db.environment.POSTGRES_DB}`,
  ]);
  expect(db.healthcheck.retries).toBeGreaterThan(5);
});

test.each(['README.md', 'docker-compose.yml'])('the DATABASE_URL that %s tells opens it', (page) => {
  const url = new URL(told(page));
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = db.environment;
  expect([url.username, url.password, url.pathname.slice(1)]).toEqual([
    POSTGRES_USER,
    POSTGRES_PASSWORD,
    POSTGRES_DB,
  ]);
  expect(db.ports).toContain(`${url.hostname}:${url.port}:5432`);
});
