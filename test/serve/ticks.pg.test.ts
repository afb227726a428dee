import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import type { Job } from '../../jobs/job.ts';
import { silentLog } from '../../src/log.ts';
import { migrateQueue, openQueue } from '../../src/serve/queue.ts';
import { startWorker } from '../../src/serve/worker.ts';
import { openStore } from '../../src/store/database.ts';
import { trimHistory } from '../../src/store/history.ts';
import { createMigratedDatabase } from '../postgres.ts';

/** 20,000 take minutes: `LOGKEEP_TICKS=20000 npx vitest run test/serve/ticks.pg.test.ts`. */
const TICKS = Number(process.env.LOGKEEP_TICKS ?? 1_500);
const KEEPING = { finishedS: 1, maintenanceS: 1 };
const EVERY = 250;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

test('thousands of quick ticks leave no growing table and no growing memory', async () => {
  const database = await createMigratedDatabase();
  const store = openStore(database.url);
  const { pool } = store;
  const reported = new Map<string, () => void>();
  const job: Job = {
    name: 'sync',
    perStream: false,
    schedule: '* * * * *',
    timeoutMs: 10_000,
    atOnce: 1,
    run: async () => {
      await pool.query(
        `insert into logkeep.run (stream, fingerprint, job, holder, outcome, finished_at, fetched, new)
        values ('toy.main', 'f', 'sync', 'ticks', 'done', clock_timestamp(), 2, 2)`,
      );
      return { outcome: 'done', error: null, window: null, counts: { new: 2 } };
    },
  };
  await pool.query(
    `insert into logkeep.stream (stream, fingerprint, source, asked_from, retention) values ('toy.main', 'f', 'toy', now(), '1 d')`,
  );
  await migrateQueue({ url: database.url }, [job], silentLog, KEEPING);
  const queue = await openQueue({ pool, jobs: [job], log: silentLog, keeping: KEEPING });
  const worker = startWorker({
    queue,
    jobs: [job],
    log: silentLog,
    find: () => () => job.run({} as never),
    onReport: ({ claim }) => reported.get(claim.id)?.(),
  });
  const sizes: { jobs: number; runs: number; bytes: number; heap: number }[] = [];
  try {
    for (let tick = 1; tick <= TICKS; tick++) {
      // A tick while the one before is being told is no job: it is asked for again.
      for (let id: string | null = null; id === null; ) {
        const { promise, resolve } = Promise.withResolvers<void>();
        id = await queue.send('sync', null, null);
        if (id === null) continue;
        reported.set(id, resolve);
        worker.wake('sync');
        await promise;
        reported.delete(id);
      }
      if (tick % EVERY !== 0) continue;
      await trimHistory(store, 500);
      // As autovacuum does, only sooner.
      await pool.query(
        'vacuum logkeep.run, logkeep.stream, logkeep_job.job_common, logkeep_job.queue, logkeep_job.version',
      );
      collect();
      sizes.push({ ...(await measure()), heap: process.memoryUsage().heapUsed });
    }
    // A quick machine is through before the queue's maintenance has come round: it comes by the clock.
    for (let waits = 0; waits < 150 && (await measure()).jobs > EVERY; waits++) await delay(200);
    sizes.push({ ...(await measure()), heap: process.memoryUsage().heapUsed });
    const [total] = (
      await pool.query(
        'select (select sum(new) from logkeep.run)::integer + (select trimmed_rows from logkeep.stream)::integer as rows',
      )
    ).rows;
    expect(total).toEqual({ rows: 2 * TICKS });
  } finally {
    await worker.stop();
    await queue.close();
    await store.close();
    await database.drop();
  }
  const first = sizes[1];
  const last = sizes.at(-1);
  if (first === undefined || last === undefined) throw new Error('too few ticks to compare');
  expect(last.jobs).toBeLessThanOrEqual(EVERY);
  expect(last.runs).toBeLessThan(2 * EVERY + 500);
  expect(last.bytes).toBeLessThan(1.5 * first.bytes + 500_000);
  expect(last.heap).toBeLessThan(first.heap + 4_000_000);

  async function measure(): Promise<{ jobs: number; runs: number; bytes: number }> {
    const { rows } = await pool.query(
      `select (select count(*) from logkeep_job.job)::integer as jobs, (select count(*) from logkeep.run)::integer as runs,
        (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = relnamespace
          where nspname in ('logkeep', 'logkeep_job') and relkind = 'r')::integer as bytes`,
    );
    return rows[0];
  }
}, 900_000);
