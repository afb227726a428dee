import { readFileSync } from 'node:fs';
import { Ajv } from 'ajv';
import { expect, test } from 'vitest';
import { parse } from 'yaml';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
const compose = parse(read('docker-compose.yml'), { strict: true, uniqueKeys: true });
const { db, logkeep } = compose.services;

/** DATABASE_URL as a page says it to whoever has started the container. */
const told = (path: string) => /DATABASE_URL=(postgres:\/\/logkeep[^\s`]+)/.exec(read(path))?.[1] ?? '';

test('docker-compose.yml serves one Postgres that logkeep supports, on loopback alone', () => {
  expect(Object.keys(compose.services)).toEqual(['db', 'logkeep']);
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

test('it is what the Compose specification allows, by its published schema', () => {
  // Ajv wants `$id`, and the draft by another address; nothing refers to either.
  const schema = JSON.parse(read('test/fixtures/compose/compose-spec.json'), (key, value) =>
    ['id', '$schema'].includes(key) && typeof value === 'string' ? undefined : value,
  );
  const validate = new Ajv({
    strict: false,
    formats: { ports: true, expose: true, duration: true },
  }).compile(schema);
  expect(validate(compose), JSON.stringify(validate.errors)).toBe(true);
  expect(validate({ ...compose, services: { db: { ...db, image: 18 } } })).toBe(false);
});

test('logkeep waits for that Postgres, opens it with its user, and is reached on loopback alone', () => {
  expect(logkeep.depends_on).toEqual({ db: { condition: 'service_healthy' } });
  const url = new URL(logkeep.environment.DATABASE_URL);
  const { POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB } = db.environment;
  expect([url.username, url.password, url.host, url.pathname.slice(1)]).toEqual([
    POSTGRES_USER,
    POSTGRES_PASSWORD,
    'db:5432',
    POSTGRES_DB,
  ]);
  expect(logkeep.ports).toEqual(['127.0.0.1:9464:9464']);
});

test('logkeep runs without rights, writes nothing, and gets its keys from outside', () => {
  expect(logkeep).toMatchObject({
    read_only: true,
    cap_drop: ['ALL'],
    security_opt: ['no-new-privileges:true'],
  });
  const { DATABASE_URL: _, ...others } = logkeep.environment;
  expect(Object.keys(others)).toContain('QSTASH_TOKEN');
  expect(Object.values(others).every((value) => value === null)).toBe(true);
});
