import { expect, test } from 'vitest';
import { openStore } from '../../src/library.ts';
import { withClient } from '../postgres.ts';
import { createWorld, START } from '../world.ts';

for (const style of ['SQL, DMY', 'German', 'Postgres, MDY']) {
  test(`a database whose times are written as ${style} is loaded and read like any other`, async () => {
    const world = await createWorld({ streams: ['qstash.main', 'datadog.main'] });
    try {
      await withClient(world.url, (client) =>
        client.query(`alter database "${new URL(world.url).pathname.slice(1)}" set datestyle to '${style}'`),
      );
      world.sandbox.qstash.history({ from: START - 3_600_000, to: START - 1_800_000, messages: 10 });
      world.sandbox.datadog.history({ from: START - 3_600_000, to: START - 1_800_000, logs: 30 });
      let requests = 0;
      const results = await world.sync({
        mayRequest: () => {
          requests += 1;
          return requests < 50;
        },
      });
      expect(results.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
      const { db, close } = openStore(world.url);
      try {
        const times = await db.selectFrom('log_entry').select('time').execute();
        expect(times).toHaveLength(
          world.sandbox.qstash.truth().length + world.sandbox.datadog.truth().length,
        );
        for (const { time } of times) {
          expect(+(time as Date)).toBeGreaterThanOrEqual(START - 3_600_000);
          expect(+(time as Date)).toBeLessThan(START);
        }
      } finally {
        await close();
      }
    } finally {
      await world.close();
    }
  });
}
