import { afterEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import type { Row } from '../../src/sources/source.ts';
import { createMeter } from '../../src/sources/source.ts';
import { withClient } from '../../src/store/connection.ts';
import { askKnown, type Known } from '../../src/store/loader.ts';
import { keep } from '../sources/entries.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const WINDOW = { from: START - 2 * HOUR, to: START - 120_000 };
let world: World;
let app: App | null = null;

afterEach(async () => {
  await app?.close();
  app = null;
  await world.close();
});

/** How many of these rows are stored, by the store's own asking. */
async function known({ store, streams }: App, rows: readonly Row[]): Promise<Known> {
  const stream = streams[0]?.stream as App['streams'][number]['stream'];
  const keys = rows.map((row) => row.key);
  return withClient(store.pool, (client) => askKnown(client, stream.tables, keys, stream.id));
}

async function rowsOf({ streams }: App): Promise<Row[]> {
  const rows: Row[] = [];
  const signal = new AbortController().signal;
  const pages = streams[0]?.stream.read({ window: WINDOW, cursor: null, signal, meter: createMeter() }) ?? [];
  for await (const page of pages) rows.push(...keep(page.entries).rows);
  return rows;
}

test.each(['qstash.main', 'datadog.main'] as const)(
  'of a batch of %s all rows, some or none are known, and none of an empty one',
  async (stream) => {
    const prompt = { lateness: { minMs: 0, maxMs: 0 } };
    world = await createWorld({
      streams: [stream],
      settings: { since: { agoMs: 2 * HOUR } },
      sandbox: { qstash: prompt, datadog: prompt },
    });
    world.sandbox.qstash.history({ from: START - HOUR, to: START - 150_000, messages: 30 });
    world.sandbox.datadog.history({ from: START - HOUR, to: START - 150_000, logs: 90 });
    app = await world.open();
    const rows = await rowsOf(app);
    expect(rows.length).toBeGreaterThan(80);
    expect(await known(app, rows)).toBe('none');
    await world.sync();
    expect(await known(app, rows)).toBe('all');
    expect(await known(app, [])).toBe('none');
    const table = stream === 'qstash.main' ? 'qstash_log' : 'datadog_log';
    await world.query(
      `delete from logkeep.${table} where ctid in (select ctid from logkeep.${table} limit 1)`,
    );
    expect(await known(app, rows)).toBe('some');
  },
);

test('rows of v1 that v2 can give their severity are not taken for known', async () => {
  world = await createWorld({ streams: ['datadog.main'], settings: { since: { agoMs: 2 * HOUR } } });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 30 * 60_000, logs: 20 });
  await world.sync();
  const own = { settings: { own: { api: 'v2' } as never } };
  app = await world.open(own);
  const rows = await rowsOf(app);
  expect(rows.length).toBe(20);
  expect(await known(app, rows)).toBe('some');
  await world.sync({ again: WINDOW }, own);
  expect(await known(app, rows)).toBe('all');
});

/** Transactions of the world's database that were given up, once every connection has told. */
async function rollbacks(): Promise<number> {
  for (let last = -1; ; ) {
    await world.query('select pg_stat_clear_snapshot()');
    const [row] = await world.query<{ count: string; others: string }>(
      `select xact_rollback as count, (select count(*) from pg_stat_activity a
        where a.datname = d.datname and a.pid <> pg_backend_pid()) as others
      from pg_stat_database d where datname = current_database()`,
    );
    const count = Number(row?.count);
    if (row?.others === '0' && count === last) return count;
    last = row?.others === '0' ? count : -1;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

test.each(['qstash.main', 'datadog.main'] as const)(
  'entries of %s that are known between new ones are stored once, and a run wastes one batch at most to find that out',
  async (stream) => {
    const prompt = { lateness: { minMs: 0, maxMs: 0 } };
    world = await createWorld({
      streams: [stream],
      settings: { since: { agoMs: 2 * HOUR }, pageSize: 50 },
      sandbox: { qstash: prompt, datadog: prompt },
      wrap: pageIsBatch,
    });
    world.sandbox.qstash.history({ from: START - HOUR, to: START - 150_000, messages: 150 });
    world.sandbox.datadog.history({ from: START - HOUR, to: START - 150_000, logs: 700 });
    await world.sync();
    const [table, time, id] =
      stream === 'qstash.main'
        ? ['qstash_log', 'time', 'entry_id']
        : ['datadog_log', 'timestamp', 'event_id'];
    const stored = () => world.query(`select ${id}::text as id from logkeep.${table} order by 1`);
    const all = await stored();
    // Spans longer than two batches, in turn stored and not: each has a batch that is all new, or all known.
    const gone = await world.query(
      `delete from logkeep.${table} t using (select stream, ${time}, ctid as place, tableoid as part,
          row_number() over (order by ${time} desc) / 130 as span from logkeep.${table}) o
        where t.ctid = o.place and t.tableoid = o.part and o.span % 2 = 0 returning 1`,
    );
    const before = await rollbacks();
    const [result] = await world.sync({ again: WINDOW });
    expect(result?.totals).toMatchObject({ fresh: gone.length, known: all.length - gone.length });
    expect(await stored()).toEqual(all);
    // The batch itself, and mostly the copy of the one behind it, which gives its connection back.
    expect([1, 2]).toContain((await rollbacks()) - before);
  },
);

test('rows of v1 read again by v2 are merged without a batch wasted', async () => {
  const settings = { since: { agoMs: 2 * HOUR }, pageSize: 50 };
  world = await createWorld({
    streams: ['datadog.main'],
    settings,
    sandbox: { datadog: { lateness: { minMs: 0, maxMs: 0 } } },
    wrap: pageIsBatch,
  });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 150_000, logs: 400 });
  await world.sync();
  const before = await rollbacks();
  await world.sync({ again: WINDOW }, { settings: { ...settings, own: { api: 'v2' } as never } });
  expect(
    await world.query('select count(*)::integer as n from logkeep.datadog_log where status is null'),
  ).toEqual([{ n: 0 }]);
  expect((await rollbacks()) - before).toBe(0);
});
