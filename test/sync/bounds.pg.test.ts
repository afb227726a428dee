import { afterEach, expect, test } from 'vitest';
import { isRow, type Reject, type Row, type Stream } from '../../src/sources/source.ts';
import { beginReturn, readWaiting } from '../../src/store/quarantine.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const OLDEST = Date.UTC(2001, 0, 1);
let world: World;
afterEach(() => world.close());

const absurd = (n: number) =>
  `{"time":${OLDEST + n * DAY},"messageId":"far-${n}","state":"CREATED","url":"https://a.example/"}`;

/** The stream, which answers every window with 400 entries more: one a day from 2001 on. */
const wild = (stream: Stream): Stream => ({
  ...stream,
  async *read(options) {
    for await (const page of stream.read(options)) {
      const more = (): (Row | Reject)[] => Array.from({ length: 400 }, (_, n) => stream.normalise(absurd(n)));
      yield { ...page, entries: [...more(), ...page.entries] };
    }
  },
});

const counts = async () =>
  (
    await world.query(
      `select (select count(*)::integer from logkeep.qstash_log) as rows,
        (select count(*)::integer from logkeep.quarantine where reason = 'time_out_of_bounds') as waiting,
        (select count(*)::integer from pg_inherits where inhparent = 'logkeep.qstash_log'::regclass) as days`,
    )
  )[0];

test('entries from outside the window that was asked wait in quarantine with their raw text and make no partition; whoever insists brings one back', async () => {
  world = await createWorld({
    settings: { since: { agoMs: HOUR } },
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } } },
    wrap: wild,
  });
  world.sandbox.qstash.history({ from: START - HOUR / 2, to: START - 60_000, messages: 5 });
  const shown = world.sandbox.qstash.truth().length;
  const [result] = await world.sync();
  expect(result).toMatchObject({ outcome: 'done', totals: { fresh: shown, quarantined: 400 } });
  expect(await counts()).toEqual({ rows: shown, waiting: 400, days: 1 });
  const [entry] = await world.query<{ id: string; raw: string; ms: number }>(
    `select id, raw, (extract(epoch from time) * 1000)::float8 as ms from logkeep.quarantine where raw like '%far-7"%'`,
  );
  expect(entry).toMatchObject({ raw: absurd(7), ms: OLDEST + 7 * DAY });
  const app = await world.open();
  try {
    const stream = app.streams[0]?.stream as Stream;
    const id = entry?.id as string;
    const text = (await readWaiting(app.store.db, [id])).get(id) as string;
    const made = stream.normalise(text);
    if (!isRow(made)) throw new Error(`expected a row, got ${made.reason}`);
    const run = await beginReturn(app.store, app.partitions, stream, app.holder);
    expect(await run.load([made], [id])).toBe(1);
    await run.end('done', null);
  } finally {
    await app.close();
  }
  expect(await counts()).toEqual({ rows: shown + 1, waiting: 399, days: 2 });
});
