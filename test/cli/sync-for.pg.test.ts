import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { startSandbox } from '../../src/sandbox/sandbox.ts';
import { createMigratedDatabase } from '../postgres.ts';
import { createDesk, rowsOf, writeSmallHistory } from './child.ts';

test('sync --for 30d, which is longer than a timer runs, does not stop before it has caught up', async () => {
  const [sandbox, database] = await Promise.all([startSandbox(), createMigratedDatabase()]);
  const desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
  try {
    const shown = writeSmallHistory(sandbox, 20, 50);
    const { code, out, err } = await desk.run('sync --for 30d');
    expect({ code, err }).toEqual({ code: 0, err: expect.not.stringContaining('stopped') });
    expect(out).toContain(`qstash.main: caught up: ${shown.qstash} new entries`);
    expect(out).toContain(`datadog.main: caught up: ${shown.datadog} new entries`);
    expect(await rowsOf(database, 'select distinct outcome from logkeep.run')).toEqual([{ outcome: 'done' }]);
  } finally {
    desk.clear();
    await sandbox.close();
    await database.drop();
  }
});

/** An address on which nothing listens. */
function nowhere(): Promise<string> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { readonly port: number };
      server.close(() => resolve(`http://127.0.0.1:${port}`));
    });
  });
}

test('sync --for that ends while an API is down fails with the reason, says at once that it tries again, and leaves the other streams done', async () => {
  const [sandbox, database, url] = await Promise.all([startSandbox(), createMigratedDatabase(), nowhere()]);
  const desk = createDesk({ ...sandbox.env, QSTASH_URL: url, DATABASE_URL: database.url });
  try {
    const shown = writeSmallHistory(sandbox, 0, 50);
    const { code, out, err } = await desk.run('sync --for 4s');
    expect(code).toBe(1);
    expect(out).toMatch(/^qstash\.main: failed: 0 new entries, .* \d+ requests, \d+ retr(y|ies), /m);
    expect(out).toContain(`datadog.main: caught up: ${shown.datadog} new entries`);
    expect(
      err.match(/^qstash\.main: .*retry \d+: .*ECONNREFUSED.* {2}0 entries {2}1 request /gm),
    ).toHaveLength(1);
    expect(err).toMatch(/^logkeep: qstash\.main: .*ECONNREFUSED.* \(try again later: .*\)$/m);
    expect(
      await rowsOf(database, 'select stream, outcome, error_kind from logkeep.run order by stream'),
    ).toEqual([
      { stream: 'datadog.main', outcome: 'done', error_kind: null },
      { stream: 'qstash.main', outcome: 'failed', error_kind: 'unavailable' },
    ]);
    expect((await desk.runHere('why')).out).toMatch(/^qstash\.main .*ECONNREFUSED/m);
    expect((await desk.runHere('status')).out).toMatch(/^qstash\.main: .*failed: .*ECONNREFUSED/m);
  } finally {
    desk.clear();
    await sandbox.close();
    await database.drop();
  }
});

test('sync --max-requests sends no more than that while an API is down, and fails', async () => {
  const [sandbox, database] = await Promise.all([startSandbox(), createMigratedDatabase()]);
  const desk = createDesk({ ...sandbox.env, DATABASE_URL: database.url });
  try {
    sandbox.faults.every(1, { kind: 'unavailable' });
    const { code, out } = await desk.runHere('sync --max-requests 1 --json');
    expect(code).toBe(1);
    expect(sandbox.requests()).toHaveLength(1);
    const ends = out.split('\n').filter((line) => line.includes('"event":"end"'));
    const outcomes = ends.map((line) => JSON.parse(line) as { outcome: string; requests: number });
    expect(outcomes.toSorted((a, b) => b.requests - a.requests)).toMatchObject([
      { outcome: 'failed', requests: 1, retries: 0, error: { kind: 'unavailable' } },
      { outcome: 'stopped', requests: 0, error: null },
    ]);
  } finally {
    desk.clear();
    await sandbox.close();
    await database.drop();
  }
});
