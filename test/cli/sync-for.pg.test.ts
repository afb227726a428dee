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
