import { afterEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import type { Row } from '../../src/sources/source.ts';
import { createMeter } from '../../src/sources/stream.ts';
import { withClient } from '../../src/store/connection.ts';
import { prepareBatch, withoutKnown } from '../../src/store/loader.ts';
import { keep } from '../sources/entries.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const WINDOW = { from: START - 2 * HOUR, to: START - 120_000 };
let world: World;
let app: App | null = null;

afterEach(async () => {
  await app?.close();
  app = null;
  await world.close();
});

/** How many of these rows the store asks for once it has looked which of them it knows. */
async function asked({ store, streams }: App, rows: readonly Row[]): Promise<number> {
  const stream = streams[0]?.stream as App['streams'][number]['stream'];
  const batch = prepareBatch(stream.tables, rows, []);
  const left = await withClient(store.pool, (client) =>
    withoutKnown(client, stream.tables, batch, stream.id),
  );
  expect(left.fetched).toBe(rows.length);
  const nothing = left.stages.every(({ encoded }) => encoded === null);
  expect(nothing).toBe(left.days.length === 0);
  return nothing ? 0 : rows.length;
}

async function rowsOf({ streams }: App): Promise<Row[]> {
  const rows: Row[] = [];
  const signal = new AbortController().signal;
  const pages = streams[0]?.stream.read({ window: WINDOW, cursor: null, signal, meter: createMeter() }) ?? [];
  for await (const page of pages) rows.push(...keep(page.entries).rows);
  return rows;
}

test.each(['qstash.main', 'datadog.main'] as const)(
  'a batch of %s whose rows are all stored is not copied; one unknown row has all of it copied',
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
    expect(await asked(app, rows)).toBe(rows.length);
    await world.sync();
    expect(await asked(app, rows)).toBe(0);
    expect(await asked(app, [])).toBe(0);
    const table = stream === 'qstash.main' ? 'qstash_log' : 'datadog_log';
    await world.query(
      `delete from logkeep.${table} where ctid in (select ctid from logkeep.${table} limit 1)`,
    );
    expect(await asked(app, rows)).toBe(rows.length);
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
  expect(await asked(app, rows)).toBe(20);
  await world.sync({ again: WINDOW }, own);
  expect(await asked(app, rows)).toBe(0);
});
