import { afterEach, beforeEach, expect, test } from 'vitest';
import { trimHistory } from '../../src/store/history.ts';
import { readStatus } from '../../src/store/status.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeEach(async () => {
  world = await createWorld();
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
});
afterEach(() => world.close());

async function rows(): Promise<number | undefined> {
  const app = await world.open();
  try {
    return (await readStatus(app.store.db))[0]?.rows;
  } finally {
    await app.close();
  }
}

test('runs older than the history go, but the last of each stream and job, and totals stay the same', async () => {
  for (let run = 0; run < 4; run++) await world.sync({ since: { agoMs: HOUR / (4 - run) } });
  await world.query(
    `update logkeep.run set finished_at = finished_at - interval '2 h' where id < (select max(id) from logkeep.run)`,
  );
  await world.query(
    `insert into logkeep.run (stream, fingerprint, job, holder, outcome, finished_at, fetched, new)
    select stream, fingerprint, 'sweep', 'other', 'done', now() - interval '3 h', 5, 5 from logkeep.stream`,
  );
  const before = await rows();
  expect(before).toBeGreaterThan(50);
  const app = await world.open();
  expect(await trimHistory(app.store, HOUR)).toEqual({ runs: 3, closed: 0 });
  expect(await trimHistory(app.store, HOUR)).toEqual({ runs: 0, closed: 0 });
  await app.close();
  expect(await rows()).toBe(before);
  const left = await world.query('select job from logkeep.run order by job');
  expect(left).toEqual([{ job: 'sweep' }, { job: 'sync' }]);
});

test('the run of a process that died is closed, that of one that lives is not', async () => {
  await world.sync();
  await world.query(
    `insert into logkeep.run (stream, fingerprint, job, holder, alive_until)
    select stream, fingerprint, 'sync', holder, now() + alive from logkeep.stream,
      (values ('dead', interval '-1 s'), ('living', interval '20 s')) as v (holder, alive)`,
  );
  const app = await world.open();
  expect(await trimHistory(app.store, HOUR)).toEqual({ runs: 0, closed: 1 });
  await app.close();
  expect(
    await world.query(
      `select holder, outcome from logkeep.run where holder in ('dead', 'living') order by holder`,
    ),
  ).toEqual([
    { holder: 'dead', outcome: 'crashed' },
    { holder: 'living', outcome: 'running' },
  ]);
});
