import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { silentLog } from '../../src/log.ts';
import type { Cursor, StreamId } from '../../src/model.ts';
import { qstash } from '../../src/sources/qstash/source.ts';
import type { Row, Stream } from '../../src/sources/source.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { Partitions } from '../../src/store/partitions.ts';
import { openLedger } from '../../src/store/progress.ts';
import { planWindows } from '../../src/sync/plan.ts';
import { runStream } from '../../src/sync/run.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { openStream } from '../sources/opened.ts';
import { createClock } from '../world.ts';

const AT = Date.UTC(2026, 4, 20);
let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createMigratedDatabase();
  store = openStore(database.url);
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

interface Entry {
  readonly time: number;
  readonly messageId: string;
  readonly state?: string;
  readonly url?: string;
  readonly error?: string;
  readonly responseStatus?: number;
  readonly queueName?: string;
  readonly labels?: readonly string[];
}

/** Stores batches one after the other, as a run does, for a stream of its own. */
async function load(name: string, batches: readonly (readonly Entry[])[]): Promise<void> {
  const clock = createClock(AT + 3 * 86_400_000);
  const { stream: real, http } = openStream(qstash, { token: 'none' }, clock);
  const stream: Stream = {
    ...real,
    id: name as StreamId,
    async *read() {
      for (const [n, batch] of batches.entries()) {
        const rows = batch.map((entry) => real.normalise(JSON.stringify(entry)) as Row);
        const next = n === batches.length - 1 ? null : (`${n + 1}` as Cursor);
        yield {
          entries: rows,
          unknown: [],
          bytes: 64 * 1024 * 1024,
          next,
          dateMs: clock.now(),
          readTo: null,
        };
      }
    },
  };
  const askedFrom = AT - 86_400_000;
  const partitions = new Partitions(store.pool);
  const spans = { nowMs: Date.now(), retentionMs: 30 * 86_400_000, overlapMs: 900_000 };
  const ledger = await openLedger({
    store,
    partitions,
    stream,
    askedFrom,
    ...spans,
    job: 'sync',
    holder: 'test',
  });
  const again = { from: askedFrom, to: clock.now() };
  const signal = new AbortController().signal;
  const result = await runStream({
    job: 'sync',
    plan: planWindows,
    ...{ stream, ledger, clock, again, signal, ...spans },
    ...{ log: silentLog, settleMs: 0, untilMs: null, leadMs: 0, mayRequest: () => true, watch: () => {} },
  });
  expect(result).toMatchObject({ outcome: 'done', error: null });
  await http.close();
}

const COLUMNS = `message_id, created_at, first_active_at, finished_at, state, state_at, attempts, url, last_error, last_response_status, queue_name, labels`;

async function messages(stream: string): Promise<readonly Record<string, unknown>[]> {
  const { rows } = await store.pool.query(
    `select ${COLUMNS} from logkeep.qstash_message where stream = $1 order by message_id`,
    [stream],
  );
  return rows;
}

async function entryIds(stream: string): Promise<ReadonlyMap<string, string>> {
  const { rows } = await store.pool.query(
    `select entry_id, concat_ws('|', message_id, (extract(epoch from time) * 1000)::bigint, coalesce(state, '-'), coalesce(url, '-'), coalesce(error, '-'), coalesce(response_status::text, '-')) as key from logkeep.qstash_log where stream = $1`,
    [stream],
  );
  return new Map(rows.map((row: { key: string; entry_id: string }) => [row.key, row.entry_id]));
}

const keyOf = (e: Entry) =>
  [e.messageId, e.time, e.state ?? '-', e.url ?? '-', e.error ?? '-', e.responseStatus ?? '-'].join('|');

const RANK = ['CREATED', 'ACTIVE', 'ERROR', 'RETRY', 'CANCEL_REQUESTED', 'CANCELED', 'FAILED', 'DELIVERED'];
const rankOf = (state?: string) => RANK.indexOf(state === 'CANCELLED' ? 'CANCELED' : (state ?? '')) + 1;
const terminalOf = (state?: string) =>
  ({ DELIVERED: 3, FAILED: 2, CANCELED: 1, CANCELLED: 1 })[state ?? ''] ?? 0;

function compare(a: readonly (number | string)[], b: readonly (number | string)[]): number {
  for (const [i, left] of a.entries()) {
    const right = b[i] as number | string;
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** What house rules say of a message: the words of the design as plain code, over all its entries at once. */
function fold(entries: readonly Entry[], ids: ReadonlyMap<string, string>): Record<string, unknown> {
  const id = (e: Entry) => ids.get(keyOf(e)) ?? '';
  const first = (list: readonly Entry[]) =>
    list.length === 0 ? null : new Date(Math.min(...list.map((e) => e.time)));
  const greatest = (values: readonly (string | undefined)[]) =>
    values
      .filter((v) => v !== undefined)
      .sort()
      .at(-1) ?? null;
  const order = (e: Entry) => [e.time, rankOf(e.state), id(e)];
  const winner = entries.reduce((best, e) => {
    const kinds = terminalOf(e.state) - terminalOf(best.state);
    if (kinds !== 0) return kinds > 0 ? e : best;
    if (terminalOf(e.state) > 0 && e.time !== best.time) return e.time < best.time ? e : best;
    return compare(order(e), order(best)) > 0 ? e : best;
  });
  const failed = entries.filter((e) => e.error !== undefined);
  const worst =
    failed.length === 0 ? null : failed.reduce((best, e) => (compare(order(e), order(best)) > 0 ? e : best));
  const active = entries.filter((e) => e.state === 'ACTIVE');
  const labels = entries
    .flatMap((e) => (e.labels === undefined ? [] : [[...e.labels]]))
    .sort((a, b) => compare([...a, ''], [...b, '']));
  return {
    message_id: winner.messageId,
    created_at: first(entries.filter((e) => e.state === 'CREATED')),
    first_active_at: first(active),
    finished_at: terminalOf(winner.state) > 0 ? new Date(winner.time) : null,
    state: winner.state ?? null,
    state_at: new Date(winner.time),
    attempts: active.length,
    url: greatest(entries.map((e) => e.url)),
    last_error: worst?.error ?? null,
    last_response_status: worst?.responseStatus ?? null,
    queue_name: greatest(entries.map((e) => e.queueName)),
    labels: labels.at(-1) ?? null,
  };
}

const state = fc.constantFrom(
  'CREATED',
  'ACTIVE',
  'ACTIVE',
  'ERROR',
  'RETRY',
  'CANCEL_REQUESTED',
  'CANCELED',
  'CANCELLED',
  'FAILED',
  'DELIVERED',
  'DELIVERED',
  'PAUSED',
);
const entry: fc.Arbitrary<Entry> = fc.record(
  {
    time: fc.integer({ min: 0, max: 6 }).map((n) => AT + n * 40_000_000),
    messageId: fc.constantFrom('msg_a', 'msg_b', 'msg_c'),
    state,
    url: fc.constantFrom('https://a.example/', 'https://b.example/'),
    error: fc.constantFrom('first', 'second'),
    responseStatus: fc.constantFrom(500, 503),
    queueName: fc.constantFrom('q1', 'q2'),
    labels: fc.constantFrom(['one'], ['two']),
  },
  { requiredKeys: ['time', 'messageId'] },
);
/** The same entries in another order, some of them again, cut into batches. */
const told = fc.array(entry, { minLength: 1, maxLength: 14 }).chain((entries) => {
  // Twins differ in what identifies nothing: which one is kept is the loader's affair, so there are none here.
  const distinct = [...new Map(entries.map((e) => [keyOf(e), e])).values()];
  const repeated = fc
    .array(fc.constantFrom(...distinct), { maxLength: 8 })
    .chain((again) =>
      fc.shuffledSubarray([...distinct, ...again], { minLength: distinct.length + again.length }),
    );
  return fc.tuple(
    fc.constant(distinct),
    repeated,
    fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 10 }),
  );
});

function cut(entries: readonly Entry[], sizes: readonly number[]): Entry[][] {
  const batches: Entry[][] = [];
  for (let at = 0, i = 0; at < entries.length; i++) {
    const size = sizes[i % sizes.length] as number;
    batches.push(entries.slice(at, at + size));
    at += size;
  }
  return batches;
}

let streams = 0;

test('qstash_message is the same whatever the order, repetition and batches of a message, and what the rules say', async () => {
  await fc.assert(
    fc.asyncProperty(told, async ([distinct, sequence, sizes]) => {
      const stream = `s${streams++}`;
      await load(stream, cut(sequence, sizes));
      const ids = await entryIds(stream);
      expect(ids.size).toBe(distinct.length);
      const byMessage = Map.groupBy(distinct, (e) => e.messageId);
      const wanted = [...byMessage.keys()].sort().map((name) => fold(byMessage.get(name) ?? [], ids));
      expect(await messages(stream)).toEqual(wanted);
    }),
    { numRuns: 100 },
  );
}, 120_000);

test('a cancelled message that was delivered all the same is delivered, since the first time', async () => {
  const base = { messageId: 'msg_a', url: 'https://a.example/' };
  await load('race', [
    [{ ...base, time: AT + 900, state: 'DELIVERED' }],
    [
      { ...base, time: AT + 300, state: 'CANCELED' },
      { ...base, time: AT, state: 'CREATED' },
    ],
    [
      { ...base, time: AT + 500, state: 'DELIVERED' },
      { ...base, time: AT + 999, state: 'RETRY' },
    ],
  ]);
  expect(await messages('race')).toMatchObject([
    { state: 'DELIVERED', finished_at: new Date(AT + 500), created_at: new Date(AT) },
  ]);
});

test('a message whose entries bring nothing new is not written', async () => {
  const entries = [
    { messageId: 'msg_a', time: AT, state: 'CREATED' },
    { messageId: 'msg_a', time: AT + 1, state: 'ACTIVE' },
  ];
  const place = () =>
    store.pool.query(`select ctid, xmin, xmax from logkeep.qstash_message where stream = 'quiet'`);
  await load('quiet', [entries]);
  const before = (await place()).rows;
  await load('quiet', [entries, entries.slice(1)]);
  expect((await place()).rows).toEqual(before);
});
