import { expect, test } from 'vitest';
import type { Row } from '../../src/sources/source.ts';
import type { Part, SourceTables, StageColumn } from '../../src/sources/tables.ts';
import { withClient as withPooled } from '../../src/store/connection.ts';
import { openStore } from '../../src/store/database.ts';
import { loadBatch, prepareBatch } from '../../src/store/loader.ts';
import { createMigratedDatabase } from '../postgres.ts';

/** Tables of one version or another of a source: the stage keeps its name and changes its columns. */
function tablesOf(columns: readonly StageColumn[]): SourceTables {
  return {
    stages: [{ name: 'stage_shape', columns }],
    partitioned: [],
    merges: [],
    entries: { table: 'shape', time: 'time', key: 'id', newRow: ['a'] },
    known: 'select true as whole where false',
  };
}

const rowOf = (values: Part['values']): Row => ({
  timeMs: 0,
  key: String(values[0]),
  parts: () => ({ entry: values, shared: [] }),
  rawText: () => '{}',
});

test('two versions that share a connection behind a pooler do not get into each other`s stages', async () => {
  const database = await createMigratedDatabase();
  // One connection: the temp tables that one version made are still there for the other.
  const store = openStore(database.url, { max: 1 });
  try {
    await store.pool.query(
      'create table logkeep.shape (a text, b text, n integer, stream text, ingested_at timestamptz)',
    );
    const { rows } = await store.pool.query<{ id: string }>(
      `insert into logkeep.run (stream, fingerprint, job, holder) values ('a', 'f', 'sync', 'test') returning id`,
    );
    const runId = rows[0]?.id as string;
    const load = (tables: SourceTables, values: Part['values']) =>
      withPooled(store.pool, (client) =>
        loadBatch(client, tables, prepareBatch(tables, [rowOf(values)], []), {
          stream: 'a',
          runId,
          expects: () => 'none',
          record: { returned: [] },
        }),
      );
    const old = tablesOf([{ name: 'a', type: 'text' }]);
    const wider = tablesOf([
      { name: 'a', type: 'text' },
      { name: 'b', type: 'text' },
    ]);
    const retyped = tablesOf([
      { name: 'a', type: 'text' },
      { name: 'n', type: 'int4' },
    ]);
    const renamed = tablesOf([
      { name: 'a', type: 'text' },
      { name: 'n', type: 'int4', volatile: true },
    ]);
    expect(await load(old, ['1'])).toBe(1);
    expect(await load(wider, ['2', 'x'])).toBe(1);
    expect(await load(retyped, ['3', 7])).toBe(1);
    expect(await load(old, ['4'])).toBe(1);
    expect(await load(renamed, ['5', 8])).toBe(1);
    const stored = await store.pool.query('select a, b, n from logkeep.shape order by a');
    expect(stored.rows).toEqual([
      { a: '1', b: null, n: null },
      { a: '2', b: 'x', n: null },
      { a: '3', b: null, n: 7 },
      { a: '4', b: null, n: null },
      { a: '5', b: null, n: 8 },
    ]);
    const temporary = await store.pool.query(
      `select relname from pg_class where relpersistence = 't' and relkind = 'r'`,
    );
    expect(temporary.rows).toHaveLength(3);
  } finally {
    await store.close();
    await database.drop();
  }
});
