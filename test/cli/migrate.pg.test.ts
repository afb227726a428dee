import { afterEach, beforeEach, expect, test } from 'vitest';
import { MIGRATIONS } from '../../migrations/list.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk } from './child.ts';

let database: TestDatabase;
let desk: Desk;
beforeEach(async () => {
  database = await createDatabase();
  desk = createDesk({ DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await database.drop();
});

test('migrate names what it applied, and nothing the next time', async () => {
  const names = Object.keys(MIGRATIONS);
  const first = await desk.run('migrate --json');
  expect([first.code, JSON.parse(first.out)]).toEqual([0, { applied: names, pending: [] }]);
  const second = await desk.run('migrate --json');
  expect([second.code, JSON.parse(second.out)]).toEqual([0, { applied: [], pending: [] }]);
  expect(await desk.run('migrate')).toEqual({ code: 0, out: 'the database is up to date\n', err: '' });
});

test('for eyes, what was applied is talk, and stdout says the same whatever was', async () => {
  const { out, err } = await desk.run('migrate');
  expect(out).toBe('the database is up to date\n');
  expect(err).toBe(`applied ${Object.keys(MIGRATIONS).join(', ')}\n`);
});
