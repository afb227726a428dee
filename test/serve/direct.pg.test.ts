import { expect, test } from 'vitest';
import { JOBS } from '../../jobs/list.ts';
import { systemClock } from '../../src/clock.ts';
import { loadConfig } from '../../src/config.ts';
import { silentLog } from '../../src/log.ts';
import { startSandbox } from '../../src/sandbox/sandbox.ts';
import { serve } from '../../src/serve/serve.ts';
import { SOURCES } from '../../src/sources/list.ts';
import { createDatabase, withClient } from '../postgres.ts';
import { startTamper } from '../tamper.ts';

const MAKES = [
  /create table logkeep\.stream\b/i,
  /create table (if not exists )?logkeep_job\.job\b/i,
] as const;

test('serve makes the tables of both schemas over DATABASE_URL_DIRECT, and works over DATABASE_URL', async () => {
  const database = await createDatabase();
  const sandbox = await startSandbox();
  const said = { pooled: [] as string[], direct: [] as string[] };
  const wires = await Promise.all(
    (['pooled', 'direct'] as const).map((way) =>
      startTamper(database.url, ({ text }) => {
        said[way].push(text);
        return 'pass';
      }),
    ),
  );
  const [pooled, direct] = wires.map(({ url }) => url);
  const config = loadConfig({
    env: { ...sandbox.env, DATABASE_URL: pooled, DATABASE_URL_DIRECT: direct, LOGKEEP_PORT: '0' },
    cwd: '/nonexistent',
    file: null,
    sources: SOURCES,
  });
  const end = new AbortController();
  try {
    await serve({
      config,
      reread: () => config,
      jobs: JOBS,
      version: '0',
      clock: systemClock,
      log: { ...silentLog, info: (_what: object, message: string) => message === 'serving' && end.abort() },
      setLevel: () => {},
      signal: end.signal,
      onHangup: () => {},
    });
    const makers = (statements: readonly string[]) =>
      MAKES.map((form) => statements.some((text) => form.test(text)));
    expect(makers(said.direct)).toEqual([true, true]);
    expect(makers(said.pooled)).toEqual([false, false]);
    expect(said.pooled.some((text) => text.includes('logkeep_job.'))).toBe(true);
    const { rows } = await withClient(database.url, (client) =>
      client.query(
        "select to_regclass('logkeep.stream') is not null and to_regclass('logkeep_job.job') is not null as made",
      ),
    );
    expect(rows).toEqual([{ made: true }]);
  } finally {
    for (const wire of wires) await wire.close();
    await sandbox.close();
    await database.drop();
  }
});
