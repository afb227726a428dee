import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { datadog } from '../../src/sources/datadog/source.ts';
import { qstash } from '../../src/sources/qstash/source.ts';
import { isRow, type Row, type Source } from '../../src/sources/source.ts';
import { withClient } from '../../src/store/connection.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { ensurePartitions, type Known, loadBatch, prepareBatch } from '../../src/store/loader.ts';
import { Partitions } from '../../src/store/partitions.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { drafts, makeDatadog } from '../property/entries.ts';
import { openStream } from '../sources/opened.ts';
import { createClock } from '../world.ts';

const AT = Date.UTC(2026, 4, 20);
const HOUR = 3_600_000;
let database: TestDatabase;
let store: Store;
let streams = 0;

beforeAll(async () => {
  database = await createMigratedDatabase();
  store = openStore(database.url);
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** Stores batches of a stream of its own, half of whose time was read before; returns what the tables hold then. */
async function load(
  source: Source,
  own: Record<string, unknown>,
  batches: readonly (readonly string[])[],
  expects: Exclude<Known, 'all'>,
): Promise<Record<string, readonly unknown[]>> {
  const name = `s${streams++}`;
  const query = async <T>(text: string, values: readonly unknown[]) =>
    (await store.pool.query(text, [...values])).rows as T[];
  const { stream, http } = openStream(source, own, createClock(AT + 72 * HOUR));
  await query(
    `insert into logkeep.stream (stream, fingerprint, source, asked_from, retention, covered)
      values ($1, 'f', $2, $3, '30 d', tstzmultirange(tstzrange($4, null)))`,
    [name, source.name, new Date(AT - HOUR), new Date(AT + 24 * HOUR)],
  );
  const [window] = await query<{ id: string }>(
    `insert into logkeep.sync_window (stream, fingerprint, from_time, to_time) values ($1, 'f', $2, $3) returning id`,
    [name, new Date(AT - HOUR), new Date(AT + 72 * HOUR)],
  );
  const [run] = await query<{ id: string }>(
    `insert into logkeep.run (stream, fingerprint, job, holder) values ($1, 'f', 'sync', 'test') returning id`,
    [name],
  );
  const [windowId, runId] = [window?.id ?? '', run?.id ?? ''];
  for (const [n, texts] of batches.entries()) {
    const rows = texts.map((text) => stream.normalise(text)).filter((made): made is Row => isRow(made));
    const prepared = prepareBatch(stream.tables, rows, []);
    await ensurePartitions(new Partitions(store.pool), stream.tables, prepared);
    const checkpoint = `${windowId}, 0, ${n + 1}, ${runId}, 1, null, null, now(), now(), null, '{}', '0 s', false, null`;
    const record = { checkpoint, windowId, fence: 0 as never };
    await withClient(store.pool, (client) =>
      loadBatch(client, stream.tables, prepared, { stream: name, runId, expects: () => expects, record }),
    );
  }
  await http.close();
  const held: Record<string, readonly unknown[]> = {};
  for (const table of ['qstash_log', 'qstash_request', 'qstash_message', 'datadog_log', 'lateness']) {
    held[table] = await query(
      `select to_jsonb(t) - '{stream,ingested_at}'::text[] as row from logkeep.${table} t where stream = $1 order by 1`,
      [name],
    );
  }
  held.fresh = await query('select fresh from logkeep.sync_window where id = $1', [windowId]);
  return held;
}

function cut<T>(entries: readonly T[], sizes: readonly number[]): T[][] {
  const batches: T[][] = [];
  for (let at = 0, i = 0; at < entries.length; i++) {
    const size = sizes[i % sizes.length] as number;
    batches.push(entries.slice(at, at + size));
    at += size;
  }
  return batches;
}

const told = fc.record(
  {
    time: fc.integer({ min: 0, max: 6 }).map((n) => AT + n * 11 * HOUR),
    messageId: fc.constantFrom('msg_a', 'msg_b', 'msg_c', 'msg_d'),
    state: fc.constantFrom(
      'CREATED',
      'ACTIVE',
      'ACTIVE',
      'ERROR',
      'RETRY',
      'CANCELLED',
      'FAILED',
      'DELIVERED',
      'PAUSED',
    ),
    url: fc.constantFrom('https://a.example/', 'https://b.example/'),
    error: fc.constantFrom('first', 'second'),
    responseStatus: fc.constantFrom(500, 503),
    queueName: fc.constantFrom('q1', 'q2'),
    labels: fc.constantFrom(['one'], ['two', 'more']),
    body: fc.constantFrom('QQ==', 'Qg=='),
    header: fc.constantFrom({ 'Content-Type': ['text/plain'] }, { A: ['1', '2'] }),
  },
  { requiredKeys: ['time', 'messageId'] },
);
const ofQstash = fc
  .uniqueArray(told, {
    minLength: 1,
    maxLength: 20,
    selector: (e) => JSON.stringify([e.time, e.messageId, e.state, e.url, e.error, e.responseStatus]),
  })
  .map((entries) => entries.map((entry) => JSON.stringify(entry)));
const ofDatadog = fc
  .array(fc.tuple(drafts('datadog'), fc.integer({ min: 0, max: 60 })), { minLength: 1, maxLength: 12 })
  .map((made) =>
    made.map(([draft, hours], slot) => {
      const [input] = makeDatadog(slot, draft, AT + hours * HOUR, 0).inputs;
      return String(input?.log);
    }),
  );
const sizes = fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 6 });

test.each([
  ['qstash', qstash, { token: 'none' }, ofQstash],
  ['datadog', datadog, { api_key: 'none', app_key: 'none' }, ofDatadog],
] as const)(
  'entries of %s leave the same tables whether their batches are taken to be new or looked up, in any order, once or twice',
  async (name, source, own, entries) => {
    let stored = 0;
    await fc.assert(
      fc.asyncProperty(entries, sizes, sizes, fc.nat(), async (texts, first, second, seed) => {
        const taken = await load(source, own, cut(texts, first), 'none');
        const turned = texts.toSorted((a, b) => mixed(a, seed) - mixed(b, seed));
        const batches = cut(turned, second);
        expect(await load(source, own, [...batches, ...batches.slice(-2)], 'some')).toEqual(taken);
        stored += taken[`${name}_log`]?.length ?? 0;
      }),
      { numRuns: 60 },
    );
    expect(stored).toBeGreaterThan(60);
  },
  120_000,
);

/** A number that puts texts into another order for each seed. */
function mixed(text: string, seed: number): number {
  let hash = seed;
  for (const char of text) hash = (Math.imul(hash, 31) + (char.codePointAt(0) ?? 0)) | 0;
  return hash;
}
