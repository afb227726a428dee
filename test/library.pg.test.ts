import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openStore, type Store } from '../src/index.ts';
import { createMigratedDatabase, type TestDatabase } from './postgres.ts';

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await createMigratedDatabase();
  store = openStore(database.url, { max: 1 });
  await sql`create table logkeep.any_day partition of logkeep.datadog_log default`.execute(store.db);
});

afterAll(async () => {
  await store?.close();
  await database?.drop();
});

test('a trace id of 64 bits in the attributes of a log comes back to its last digit', async () => {
  const attributes = '{"dd.trace_id": 12858628035442739367, "took": [1.5, 9007199254740993], "n": 7}';
  await store.db
    .insertInto('datadog_log')
    .values({
      timestamp: '2026-05-01T00:00:00Z',
      ingested_at: '2026-05-01T00:00:01Z',
      escaped: false,
      stream: 'datadog.main',
      event_id: '00000000-0000-0000-0000-000000000001',
      id: 'id',
      attributes,
    })
    .execute();
  const row = await store.db.selectFrom('datadog_log').select('attributes').executeTakeFirstOrThrow();
  expect(row.attributes).toEqual({
    'dd.trace_id': '12858628035442739367',
    took: [1.5, '9007199254740993'],
    n: 7,
  });
});

/** JSON text, and the value that it is to be read as. */
const READ: readonly (readonly [string, unknown])[] = [
  ['12858628035442739367', '12858628035442739367'],
  ['-9007199254740993', '-9007199254740993'],
  ['9007199254740992', 9007199254740992],
  ['[9007199254740993,1]', ['9007199254740993', 1]],
  ['{"a": {"b":-12345678901234567890 }}', { a: { b: '-12345678901234567890' } }],
  ['0.1000000000000000000001', '0.1000000000000000000001'],
  ['0.30000000000000004', 0.30000000000000004],
  ['100000000000000000000000', 1e23],
  ['"12858628035442739367"', '12858628035442739367'],
  [
    '{"12858628035442739367":"\\": 12858628035442739367,"}',
    { '12858628035442739367': '": 12858628035442739367,' },
  ],
  ['{"a":"\\\\","b":12858628035442739367}', { a: '\\', b: '12858628035442739367' }],
  ['{"a":null,"b":true,"c":[],"d":{},"e":"x"}', { a: null, b: true, c: [], d: {}, e: 'x' }],
];

test.each(READ)('%s is read as a double holds it, or else as its text', async (text, value) => {
  const { rows } = await sql<Record<string, unknown>>`
    select ${text}::json as json, ${text}::jsonb as jsonb, array[null::json, ${text}::json] as jsons,
      array[[${text}::jsonb], [null::jsonb]] as jsonbs`.execute(store.db);
  expect(rows).toEqual([{ json: value, jsonb: value, jsons: [null, value], jsonbs: [[value], [null]] }]);
});

test('what a double spells otherwise is still a number, and one beyond all doubles its text', async () => {
  const { rows } = await sql`
    select '[1e3, 1.50, -0.0, 1E+20, 1e400]'::json as json, '[1.50, 1e20, 1e22]'::jsonb as jsonb`.execute(
    store.db,
  );
  expect(rows).toEqual([{ json: [1000, 1.5, -0, 1e20, '1e400'], jsonb: [1.5, 1e20, 1e22] }]);
});

test('a key __proto__ stays a key of its own, whatever the numbers beside it', async () => {
  for (const number of ['1', '12858628035442739367']) {
    const { rows } = await sql<{ value: object }>`
      select ${`{"__proto__":${number}}`}::jsonb as value`.execute(store.db);
    expect(Object.entries(rows[0]?.value ?? {})).toEqual([['__proto__', number === '1' ? 1 : number]]);
  }
});
