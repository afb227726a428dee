import type { Merge, SourceTables, StageColumn } from '../tables.ts';
import { MESSAGE_MERGE, MESSAGE_STAGE } from './message.ts';

/** What normalise gives for each entry. */
const LOG_COLUMNS: readonly StageColumn[] = [
  { name: 'entry_id', type: 'uuid' },
  { name: 'time', type: 'timestamptz' },
  { name: 'message_id', type: 'text' },
  { name: 'state', type: 'text' },
  { name: 'url', type: 'text' },
  { name: 'error', type: 'text' },
  { name: 'response_status', type: 'int4' },
  { name: 'response_headers', type: 'jsonb' },
  { name: 'response_body', type: 'bytea' },
  { name: 'next_delivery_time', type: 'timestamptz' },
  { name: 'duration_ms', type: 'int8' },
  { name: 'request_hash', type: 'uuid' },
  { name: 'extra', type: 'jsonb' },
  { name: 'escaped', type: 'bool' },
];

const REQUEST_COLUMNS: readonly StageColumn[] = [
  { name: 'message_id', type: 'text' },
  { name: 'hash', type: 'uuid' },
  { name: 'method', type: 'text' },
  { name: 'header', type: 'jsonb' },
  { name: 'body', type: 'bytea' },
  { name: 'queue_name', type: 'text' },
  { name: 'schedule_id', type: 'text' },
  { name: 'topic_name', type: 'text' },
  { name: 'endpoint_name', type: 'text' },
  { name: 'callback', type: 'text' },
  { name: 'callback_headers', type: 'jsonb' },
  { name: 'failure_callback', type: 'text' },
  { name: 'failure_callback_headers', type: 'jsonb' },
  { name: 'max_retries', type: 'int4' },
  { name: 'timeout_ms', type: 'int8' },
  { name: 'retry_delay_expression', type: 'text' },
  { name: 'labels', type: 'text[]' },
  { name: 'label', type: 'text' },
  { name: 'caller_ip', type: 'text' },
  { name: 'host', type: 'text' },
  { name: 'path', type: 'text' },
  { name: 'flow_control_key', type: 'text' },
  { name: 'parallelism', type: 'int4' },
  { name: 'rate', type: 'int4' },
  { name: 'period', type: 'int4' },
  { name: 'extra', type: 'jsonb' },
  { name: 'escaped', type: 'bool' },
];

const REQUEST_TABLE = REQUEST_COLUMNS.map((column) => column.name).join(', ');

/** In no order: one transaction at a time merges a stream's rows, so that there is nobody to deadlock with. */
const insertRequests = (which: string) => `
  insert into logkeep.qstash_request (${REQUEST_TABLE}, stream)
  select ${REQUEST_TABLE}, batch.stream from stage_qstash_request r, batch
  ${which}
  on conflict do nothing`;

const NEW_REQUEST: Merge = {
  name: 'new_request',
  sql: insertRequests('where (r.message_id, r.hash) in (select message_id, request_hash from new_row)'),
  allNew: insertRequests(''),
};

/** QStash's tables: the log, what was sent (once a message), and where each message stands. */
export const tables: SourceTables = {
  stages: [
    { name: 'stage_qstash_log', columns: LOG_COLUMNS },
    { name: 'stage_qstash_request', columns: REQUEST_COLUMNS },
    MESSAGE_STAGE,
  ],
  partitioned: ['qstash_log'],
  merges: [NEW_REQUEST, MESSAGE_MERGE],
  entries: {
    table: 'qstash_log',
    time: 'time',
    key: `replace(entry_id::text, '-', '') || ':' || (extract(epoch from time) * 1000)::bigint`,
    newRow: ['time', 'message_id', 'state', 'request_hash'],
  },
  known: `select true as whole from logkeep.qstash_log t
    where t.stream = key.stream and t.time = key.time and t.entry_id = key.id::uuid`,
  lateness: { event: 'time' },
};
