import type { SourceTables } from '../../src/sources/tables.ts';

/** What the toy's migration would hold. */
export const DDL: readonly string[] = [
  `create table logkeep.toy_reading (
    time timestamptz not null,
    ingested_at timestamptz not null,
    stream text not null,
    reading_id text not null,
    reading jsonb not null,
    primary key (stream, time, reading_id)
  ) partition by range (time)`,
  `comment on table logkeep.toy_reading is 'Readings, one row each, partitioned by UTC day of time.'`,
];

/** The toy's one table, as data. */
export const tables: SourceTables = {
  stages: [
    {
      name: 'stage_toy_reading',
      columns: [
        { name: 'reading_id', type: 'text' },
        { name: 'time', type: 'timestamptz' },
        { name: 'reading', type: 'jsonb' },
      ],
    },
  ],
  partitioned: ['toy_reading'],
  merges: [],
  entries: {
    table: 'toy_reading',
    time: 'time',
    key: `reading_id || ':' || (extract(epoch from time) * 1000)::bigint`,
    newRow: ['time'],
  },
  known: `select true as whole from logkeep.toy_reading t
    where t.stream = key.stream and t.time = key.time and t.reading_id = key.id`,
};
