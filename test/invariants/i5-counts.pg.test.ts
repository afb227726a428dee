import { afterEach, beforeEach, expect, test } from 'vitest';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeEach(async () => {
  world = await createWorld({
    settings: { since: { agoMs: 2 * HOUR } },
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } } },
  });
});
afterEach(() => world.close());

test('I5: each entry fetched is exactly one of new, known and quarantined, and the tables hold as many', async () => {
  const at = START - HOUR;
  const entry = (fields: Record<string, unknown>) => ({
    entry: { time: at, messageId: 'msg_1', state: 'CREATED', url: 'https://a.example/', ...fields },
    atMs: at,
  });
  world.sandbox.qstash.add([
    // The last written comes first and is the row: the very same once more is known, another method clashes.
    entry({ method: 'PUT' }),
    entry({}),
    entry({ state: 'ACTIVE' }),
    entry({}),
    // No time, no id, no object, a time that is none.
    entry({ time: null }),
    entry({ messageId: 7 }),
    { entry: '"text"', atMs: at },
    entry({ time: 1 }),
  ]);
  const [result] = await world.sync();
  expect(result).toMatchObject({
    outcome: 'done',
    totals: { fetched: 8, fresh: 2, known: 1, quarantined: 5 },
  });
  expect(await world.query('select reason from logkeep.quarantine order by 1')).toEqual(
    ['identity_clash', 'no_id', 'no_time', 'not_an_object', 'time_out_of_bounds'].map((reason) => ({
      reason,
    })),
  );
  const [counted] = await world.query(
    `select fetched::integer, new::integer, known::integer, quarantined::integer, requests, windows, outcome from logkeep.run`,
  );
  expect(counted).toEqual({
    fetched: 8,
    new: 2,
    known: 1,
    quarantined: 5,
    requests: 1,
    windows: 1,
    outcome: 'done',
  });
  const again = { from: START - 2 * HOUR, to: START - HOUR + 1_000 };
  const [second] = await world.sync({ again });
  expect(second?.totals).toMatchObject({ fetched: 8, fresh: 0, quarantined: 5, known: 3 });
  expect(await world.query('select count(*)::integer as n from logkeep.quarantine')).toEqual([{ n: 5 }]);
});

test('I5: a run whose counts do not add up cannot be written', async () => {
  await expect(
    world.query(
      `insert into logkeep.run (stream, fingerprint, job, holder, fetched, new) values ('a', 'b', 'sync', 'x', 2, 1)`,
    ),
  ).rejects.toMatchObject({ code: '23514' });
});

test('I5: whatever the way a run ends, it is recorded, with what it cost', async () => {
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 100 });
  world.sandbox.faults.next('qstash', { kind: 'unavailable' });
  let requests = 2;
  await world.sync({ mayRequest: () => requests-- > 0 });
  world.sandbox.faults.next('qstash', { kind: 'refuse' });
  await world.sync();
  await world.sync();
  const runs = await world.query<{ error: string }>(
    'select outcome, requests, retries, error, finished_at is not null as ended from logkeep.run order by id',
  );
  expect(runs).toMatchObject([
    { outcome: 'stopped', requests: 2, retries: 1, error: null, ended: true },
    { outcome: 'failed', requests: 1, retries: 0, ended: true },
    { outcome: 'done', error: null, ended: true },
  ]);
  expect(runs[1]?.error).toContain('401');
});

test('I5: what is unknown is noted once, with the entry stored all the same', async () => {
  world.sandbox.faults.next('qstash', { kind: 'unknown_entry' });
  await world.sync();
  await world.sync();
  const names = await world.query<{ name: string }>('select name from logkeep.unknown_name order by name');
  expect(names.map(({ name }) => name)).toEqual(['field:pausedBy', 'state:PAUSED']);
  expect(await world.query('select state from logkeep.qstash_log')).toEqual([{ state: 'PAUSED' }]);
});
