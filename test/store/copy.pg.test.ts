import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ColumnType, Stage, Value } from '../../src/sources/tables.ts';
import { copyRows, encodeRows } from '../../src/store/copy.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { character } from '../hostile.ts';
import { createDatabase, type TestDatabase } from '../postgres.ts';

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createDatabase();
  store = openStore(database.url);
});
afterAll(async () => {
  await store.close();
  await database.drop();
});

/** Values of one type through COPY and back, as `shown` (an expression over `value`) gives them. */
async function roundTrip(type: ColumnType, values: readonly Value[], shown = 'value'): Promise<unknown[]> {
  const stage: Stage = {
    name: 'stage_test',
    columns: [
      { name: 'value', type },
      { name: 'place', type: 'int4' },
    ],
  };
  const client = await store.pool.connect();
  try {
    await client.query(`begin; create temp table stage_test (value ${type}, place int4) on commit drop`);
    await copyRows(
      client,
      stage,
      encodeRows(
        stage,
        values.map((value, place) => [value, place]),
      ),
    );
    const { rows } = await client.query(`select ${shown} as value from stage_test order by place`);
    await client.query('commit');
    return rows.map((row: { value: unknown }) => row.value);
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

test('text keeps every character that Postgres can hold, and nothing is not empty', async () => {
  const texts = [
    '',
    'a',
    'größer als 5 €',
    '🦆',
    "quote ' and \\ and \n\t",
    '\ue0000000',
    'x'.repeat(70_000),
  ];
  expect(await roundTrip('text', [...texts, null])).toEqual([...texts, null]);
});

test('any text round-trips', async () => {
  const text = fc.string({ unit: character, maxLength: 40 }).map((value) => value.replaceAll('\0', ''));
  await fc.assert(
    fc.asyncProperty(fc.array(text, { maxLength: 20 }), async (texts) => {
      expect(await roundTrip('text', texts)).toEqual(texts);
    }),
    { numRuns: 10 },
  );
});

test('16 MiB of text arrives whole, also as three bytes a character', async () => {
  const texts = ['a'.repeat(16 * 1024 * 1024), '€'.repeat(6 * 1024 * 1024)];
  expect(await roundTrip('text', texts, `length(value) || ' ' || md5(value)`)).toEqual(
    await Promise.all(
      texts.map(
        async (text) =>
          (await store.pool.query(`select length($1::text) || ' ' || md5($1::text) as value`, [text])).rows[0]
            .value,
      ),
    ),
  );
});

test('text[] keeps empty arrays apart from nothing, empty texts, order, repetition and what looks like syntax', async () => {
  const arrays = [[], [''], ['a', 'a', 'b'], ['{', '}', ',', '"', 'NULL', 'null'], ['é'.repeat(5_000)]];
  expect(await roundTrip('text[]', [...arrays, null])).toEqual([...arrays, null]);
});

test('timestamptz keeps every millisecond from 1970 to 9999, and before', async () => {
  const times = [
    0,
    1,
    -1,
    -62_135_596_800_000,
    946_684_799_999,
    946_684_800_000,
    946_684_800_001,
    Date.UTC(2026, 4, 20, 12, 34, 56, 789),
    9_007_199_254_740_991 / 1_000 - 1,
    253_402_300_799_999,
    253_402_300_799_998,
    253_402_300_799_001,
  ].map(Math.trunc);
  const shown = 'extract(epoch from value) * 1000';
  expect(
    (await roundTrip('timestamptz', [...times, null], shown)).map((value) =>
      value === null ? null : Number(value),
    ),
  ).toEqual([...times, null]);
});

test('any millisecond of the years 1 to 9999 round-trips', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: -62_135_596_800_000, max: 253_402_300_799_999 }), {
        minLength: 50,
        maxLength: 100,
      }),
      async (times) => {
        const read = await roundTrip('timestamptz', times, 'extract(epoch from value) * 1000');
        expect(read.map(Number)).toEqual(times);
      },
    ),
    { numRuns: 10 },
  );
});

test('whole numbers keep every digit to the ends of their types', async () => {
  expect(await roundTrip('int4', [0, 1, -1, 2_147_483_647, -2_147_483_648, null])).toEqual([
    0,
    1,
    -1,
    2_147_483_647,
    -2_147_483_648,
    null,
  ]);
  const wide = [
    0,
    -1,
    9_007_199_254_740_991,
    -9_007_199_254_740_991,
    9_223_372_036_854_775_807n,
    -9_223_372_036_854_775_808n,
    null,
  ];
  expect(await roundTrip('int8', wide)).toEqual(wide.map((value) => (value === null ? null : String(value))));
});

test('bytea, uuid and bool keep every bit', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  expect(await roundTrip('bytea', [bytes, new Uint8Array(0), null])).toEqual([bytes, Buffer.alloc(0), null]);
  expect(await roundTrip('uuid', [bytes.toString('hex', 240), null])).toEqual([
    'f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff',
    null,
  ]);
  await expect(roundTrip('uuid', ['f0f1'])).rejects.toThrow('uuid f0f1: expected 32 hex digits');
  expect(await roundTrip('bool', [true, false, null])).toEqual([true, false, null]);
});

test('jsonb is sent as it is: numbers keep every digit', async () => {
  const json = ['{"a":12345678901234567890.12345678901234567890,"b":[],"c":{}}', '"text €"', 'null', '1e400'];
  const read = await roundTrip('jsonb', [...json, null], 'value::text');
  expect(read).toEqual([
    '{"a": 12345678901234567890.12345678901234567890, "b": [], "c": {}}',
    '"text €"',
    'null',
    `1${'0'.repeat(400)}`,
    null,
  ]);
});

test('many rows beyond the first buffer arrive in order', async () => {
  const texts = Array.from({ length: 20_000 }, (_, n) => `${n} ${'y'.repeat(n % 300)}`);
  expect(await roundTrip('text', texts)).toEqual(texts);
});

test('a value that Postgres refuses fails the copy with its reason, and the connection is good for more', async () => {
  await expect(roundTrip('text', ['a\0b'])).rejects.toMatchObject({ code: '22021' });
  await expect(roundTrip('jsonb', ['{"a":'])).rejects.toMatchObject({ code: '22P02' });
  const large = Array.from({ length: 3_000 }, () => 'z'.repeat(3_000));
  await expect(roundTrip('text', ['a\0b', ...large])).rejects.toMatchObject({ code: '22021' });
  expect(await roundTrip('text', ['fine'])).toEqual(['fine']);
  expect(store.pool.totalCount - store.pool.idleCount).toBe(0);
});

test('a backend that ends during a copy is an error, not a wait', async () => {
  const client = await store.pool.connect();
  client.on('error', () => {});
  await client.query('begin; create temp table stage_test (value text, place int4) on commit drop');
  const stage: Stage = {
    name: 'stage_test',
    columns: [
      { name: 'value', type: 'text' },
      { name: 'place', type: 'int4' },
    ],
  };
  const encoded = encodeRows(
    stage,
    Array.from({ length: 20_000 }, (_, n) => ['w'.repeat(2_000), n]),
  );
  const { rows } = await client.query('select pg_backend_pid() as pid');
  const copying = copyRows(client, stage, encoded);
  copying.catch(() => {});
  await store.pool.query('select pg_terminate_backend($1)', [rows[0].pid]);
  await expect(copying).rejects.toThrow();
  client.release(true);
});
