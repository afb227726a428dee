import fc from 'fast-check';
import type pg from 'pg';
import { expect, test } from 'vitest';
import { equalJson } from '../../src/json.ts';
import { createRedactor } from '../../src/redact.ts';
import { FIELD as DATADOG_FIELD } from '../../src/sources/datadog/fields.ts';
import { createNormaliser as createDatadogNormaliser } from '../../src/sources/datadog/normalise.ts';
import { rebuildDatadog } from '../../src/sources/datadog/rebuild.ts';
import { tables as datadogTables } from '../../src/sources/datadog/table.ts';
import { FIELD as QSTASH_FIELD } from '../../src/sources/qstash/fields.ts';
import { createNormaliser as createQstashNormaliser } from '../../src/sources/qstash/normalise.ts';
import { rebuildQstash } from '../../src/sources/qstash/rebuild.ts';
import { tables as qstashTables } from '../../src/sources/qstash/table.ts';
import type { StoredRow } from '../../src/sources/rebuild.ts';
import type { Part, Stage, StageColumn, Value } from '../../src/sources/tables.ts';
import { hostileJson, hostileString, objectText } from '../hostile.ts';
import { createDatabase, withClient } from '../postgres.ts';
import { entriesOf, keeping } from './entries.ts';
import { partsOf } from './stored.ts';

const TIME = 1_777_634_400_083;
const ENTRIES = 200;
const redactor = createRedactor(Buffer.alloc(32, 7), []);

const fitting = fc.constantFrom(
  '"text"',
  '200',
  '"aGVsbG8="',
  '{"A":["b\\u0000"]}',
  '["a","\\ud800\ue000"]',
  '{"n":1e300}',
);

/** Objects of the given fields, hostile values, and some fields that nobody knows. */
function objects(names: Iterable<string>, fixed: readonly (readonly [string, string])[]): string[] {
  const taken = new Set(fixed.map(([name]) => JSON.parse(name) as string));
  const known = fc.constantFrom(
    ...[...names].filter((name) => !taken.has(name)).map((name) => JSON.stringify(name)),
  );
  const member = fc.tuple(
    fc.oneof({ weight: 4, arbitrary: known }, hostileString),
    fc.oneof(hostileJson, fitting),
  );
  const object = fc
    .array(member, { maxLength: 10 })
    .map((members) => objectText([...members.filter(([name]) => !taken.has(JSON.parse(name))), ...fixed]));
  return fc.sample(object, { numRuns: ENTRIES, seed: 7 });
}

/** What a real Postgres gives back for `part`, read as the rebuilders want it. */
async function roundTrip(
  client: pg.Client,
  stage: Stage | undefined,
  part: Part | null | undefined,
): Promise<StoredRow> {
  const { columns } = stage ?? { columns: [] };
  const given = columns.map(({ name, type }, index) => `$${index + 1}::${type} as ${name}`);
  const read = columns.map(({ name, type }) =>
    type === 'jsonb'
      ? `${name}::text`
      : type === 'timestamptz'
        ? `extract(epoch from ${name}) * 1000 as ${name}`
        : name,
  );
  const result = await client.query(
    `select ${read.join(', ')} from (select ${given.join(', ')}) as row`,
    columns.map((column, index) => parameter(column, part?.values[index] ?? null)),
  );
  const row = result.rows[0] as Record<string, never>;
  return Object.fromEntries(
    columns.map(({ name, type }) => [
      name,
      type === 'timestamptz' && row[name] !== null ? Number(row[name]) : row[name],
    ]),
  );
}

function parameter({ type }: StageColumn, value: Value): unknown {
  if (value === null) return null;
  if (type === 'timestamptz') return new Date(Number(value)).toISOString();
  return typeof value === 'bigint' ? String(value) : value;
}

test('I7: hostile QStash entries come back equal from a real Postgres', async () => {
  const database = await createDatabase();
  try {
    await withClient(database.url, async (client) => {
      const texts = objects(QSTASH_FIELD.keys(), [
        ['"messageId"', '"msg_1"'],
        ['"time"', String(TIME)],
      ]);
      const normalise = keeping(createQstashNormaliser({ redactor, nowMs: () => TIME }));
      const { rows } = normalise(entriesOf(`{"events":[${texts.join(',')}]}`, ['events']));
      expect(rows.length).toBe(ENTRIES);
      for (const [index, row] of rows.entries()) {
        const [log, request] = partsOf(row);
        const back = rebuildQstash(
          await roundTrip(client, qstashTables.stages[0], log),
          request === null ? null : await roundTrip(client, qstashTables.stages[1], request),
        );
        if (!equalJson(back, texts[index] ?? '')) throw new Error(`sent ${texts[index]}\nrebuilt ${back}`);
      }
    });
  } finally {
    await database.drop();
  }
});

test.each(['v1', 'v2'] as const)(
  'I7: hostile Datadog logs come back equal from a real Postgres (%s)',
  async (transport) => {
    const database = await createDatabase();
    try {
      await withClient(database.url, async (client) => {
        const container = transport === 'v1' ? 'content' : 'attributes';
        const texts = objects(DATADOG_FIELD.keys(), [
          ['"timestamp"', `"${new Date(TIME).toISOString()}"`],
        ]).map((log, index) => `{"id":"id-${index}\\u0000","type":"log","${container}":${log}}`);
        const normalise = keeping(createDatadogNormaliser({ redactor, nowMs: () => TIME, transport }));
        const { rows } = normalise(entriesOf(`{"logs":[${texts.join(',')}]}`, ['logs'], container));
        expect(rows.length).toBe(ENTRIES);
        for (const [index, row] of rows.entries()) {
          const back = rebuildDatadog(
            await roundTrip(client, datadogTables.stages[0], partsOf(row)[0]),
            transport,
          );
          if (!equalJson(back, texts[index] ?? '')) throw new Error(`sent ${texts[index]}\nrebuilt ${back}`);
        }
      });
    } finally {
      await database.drop();
    }
  },
);
