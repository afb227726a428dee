import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createDesk, type Desk } from './child.ts';

let sandbox: Sandbox;
let database: TestDatabase;
let desk: Desk;

beforeEach(async () => {
  [sandbox, database] = await Promise.all([startSandbox(), createMigratedDatabase()]);
  desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
});
afterEach(async () => {
  desk.clear();
  await sandbox.close();
  await database.drop();
});

test('a job that was asked for and failed is told of once, with what to do', async () => {
  const { code, out, err } = await desk.runHere('run sync --stream qstash.main', { QSTASH_TOKEN: 'wrong' });
  expect(code).toBe(1);
  expect(out).toMatch(/^qstash\.main: sync failed/m);
  expect(err).toMatch(/^logkeep: qstash\.main: .*401.*`logkeep check`/m);
  expect(err.match(/401/g)).toHaveLength(1);
  expect(err).not.toContain('run failed');
}, 30_000);

test('the counts and times of a job that was asked for and failed are in the log at level info', async () => {
  const env = { QSTASH_TOKEN: 'wrong' };
  const { err } = await desk.runHere('run sync --stream qstash.main --log-level info', env);
  expect(err).toMatch(/^info: qstash\.main: run failed: .*401.*\(job sync, outcome failed, .*requests 1/m);
  expect(err).toMatch(/^info: qstash\.main: run failed: .*remedy fix the credentials as described above/m);
}, 30_000);
