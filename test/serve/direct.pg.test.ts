import { afterAll, beforeAll, expect, test } from 'vitest';
import { JOBS } from '../../jobs/list.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import type { Log } from '../../src/log.ts';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { serve } from '../../src/serve/serve.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { createDatabase, type TestDatabase, withClient } from '../postgres.ts';
import { startTamper } from '../tamper.ts';

const MAKES = [
  /create table logkeep\.stream\b/i,
  /create table (if not exists )?logkeep_job\.job\b/i,
] as const;

const said = { pooled: [] as string[], direct: [] as string[] };
const logged: string[] = [];
const end = new AbortController();
const served = Promise.withResolvers<void>();
const note = (_: object, message: string) => {
  logged.push(message);
  if (message === 'serving') served.resolve();
};
const log: Log = { debug: note, info: note, warn: note, error: note };
const wires: { close(): Promise<void> }[] = [];
let database: TestDatabase;
let sandbox: Sandbox;
let serving: Promise<void>;
let hangUp: () => void;
/** What taking over new settings runs into. */
let trouble: Error | null = null;

/** Serves in this process, through a wire for each of the two addresses. */
beforeAll(async () => {
  [database, sandbox] = await Promise.all([createDatabase(), startSandbox()]);
  const tap = async (way: keyof typeof said) => {
    const wire = await startTamper(database.url, ({ text }) => {
      said[way].push(text);
      return 'pass';
    });
    wires.push(wire);
    return wire.url;
  };
  const config = loadConfig({
    env: {
      ...sandbox.env,
      DATABASE_URL: await tap('pooled'),
      DATABASE_URL_DIRECT: await tap('direct'),
      LOGKEEP_PORT: '0',
    },
    cwd: '/nonexistent',
    file: null,
    sources: SOURCES,
  });
  serving = serve({
    config,
    reread: () => config,
    jobs: JOBS,
    version: '0',
    clock: systemClock,
    log,
    setLevel: () => {
      if (trouble !== null) throw trouble;
    },
    signal: end.signal,
    onHangup: (reload) => {
      hangUp = reload;
    },
  });
  await Promise.race([served.promise, serving]);
});

afterAll(async () => {
  end.abort();
  await serving;
  for (const wire of wires) await wire.close();
  await sandbox.close();
  await database.drop();
});

const query = async <Row>(text: string): Promise<Row[]> =>
  withClient(database.url, async (client) => (await client.query(text)).rows);

test('serve makes the tables of both schemas over DATABASE_URL_DIRECT, and works over DATABASE_URL', async () => {
  const makers = (statements: readonly string[]) =>
    MAKES.map((form) => statements.some((text) => form.test(text)));
  expect(makers(said.direct)).toEqual([true, true]);
  expect(makers(said.pooled)).toEqual([false, false]);
  expect(said.pooled.some((text) => text.includes('logkeep_job.'))).toBe(true);
  const made = await query(
    "select to_regclass('logkeep.stream') is not null and to_regclass('logkeep_job.job') is not null as made",
  );
  expect(made).toEqual([{ made: true }]);
});

test('a process has one name wherever others read it', async () => {
  const names = () =>
    query<{ name: string; places: readonly string[] }>(`
      select name, array_agg(distinct place order by place) as places from (
        select holder, 'process' from logkeep.process
        union all select holder, 'run' from logkeep.run
        union all select jsonb_object_keys(holders), 'quota' from logkeep.quota) as found (name, place) group by name`);
  await expect
    .poll(names, { timeout: 10_000 })
    .toEqual([{ name: expect.any(String), places: ['process', 'quota', 'run'] }]);
});

test('a reload that goes wrong halfway leaves the old settings at work, and the next one is heard', async () => {
  trouble = new Error('no such level');
  hangUp();
  await expect.poll(() => logged).toContain('settings not applied: the old ones stay in force');
  trouble = null;
  hangUp();
  await expect.poll(() => logged).toContain('settings applied');
});
