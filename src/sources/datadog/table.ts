import type { SourceTables, StageColumn } from '../tables.ts';

const COLUMNS: readonly StageColumn[] = [
  { name: 'event_id', type: 'text' },
  { name: 'timestamp', type: 'timestamptz' },
  { name: 'id', type: 'text', volatile: true },
  { name: 'host', type: 'text' },
  { name: 'service', type: 'text' },
  { name: 'status', type: 'text' },
  { name: 'source', type: 'text' },
  { name: 'message', type: 'text' },
  { name: 'tags', type: 'text[]' },
  { name: 'attributes', type: 'jsonb' },
  { name: 'intake_time', type: 'timestamptz' },
  { name: 'extra', type: 'jsonb' },
  { name: 'escaped', type: 'bool' },
];

/**
 * What v1 could not say, v2 adds; nothing is overwritten. The bounds are for the planner, which knows nothing of
 * the stage: without them it may read whole partitions.
 */
const FILLED = `
  update logkeep.datadog_log t set status = s.status
  from stage_datadog_log s, batch
  where t.stream = batch.stream and t.timestamp = s.timestamp and t.event_id = s.event_id
    and t.timestamp >= (select min(timestamp) from stage_datadog_log)
    and t.timestamp <= (select max(timestamp) from stage_datadog_log)
    and t.status is null and s.status is not null`;

const base = {
  stages: [{ name: 'stage_datadog_log', columns: COLUMNS }],
  partitioned: ['datadog_log'],
  entries: {
    table: 'datadog_log',
    time: 'timestamp',
    key: `event_id || ':' || (extract(epoch from timestamp) * 1000)::bigint`,
    newRow: ['timestamp', 'intake_time'],
  },
  lateness: { event: 'timestamp', intake: 'intake_time' },
};

const KNOWN = `from logkeep.datadog_log t
    where t.stream = key.stream and t.timestamp = key.time and t.event_id = key.id`;

/** Datadog's table as v1 fills it. */
export const tables: SourceTables = { ...base, merges: [], known: `select true as whole ${KNOWN}` };

/** Datadog's table as v2 fills it: with the severity of rows that v1 brought. */
export const tablesV2: SourceTables = {
  ...base,
  merges: [{ name: 'filled', sql: FILLED }],
  known: `select t.status is not null as whole ${KNOWN}`,
};
