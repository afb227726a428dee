import type { SourceTables, StageColumn } from '../source.ts';

/** What normalise gives for each entry. `rank` and the names after it are for the message alone. */
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
  { name: 'rank', type: 'int4' },
  { name: 'queue_name', type: 'text' },
  { name: 'schedule_id', type: 'text' },
  { name: 'topic_name', type: 'text' },
  { name: 'endpoint_name', type: 'text' },
  { name: 'labels', type: 'text[]' },
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

const LOG_TABLE = [
  'time',
  'next_delivery_time',
  'duration_ms',
  'entry_id',
  'request_hash',
  'response_status',
  'escaped',
  'message_id',
  'state',
  'url',
  'error',
  'response_headers',
  'response_body',
  'extra',
].join(', ');

const REQUEST_TABLE = REQUEST_COLUMNS.map((column) => column.name).join(', ');

/** Descriptive columns of a message: should entries ever differ, the greatest value stays, in whatever order they come. */
const DESCRIPTIONS = ['url', 'queue_name', 'schedule_id', 'topic_name', 'endpoint_name', 'labels'] as const;

/** What becomes of a message's columns when a batch brings more of its entries: `m` is stored, `excluded` is new. */
const MESSAGE_UPDATE: readonly (readonly [column: string, expression: string])[] = [
  ['created_at', 'least(m.created_at, excluded.created_at)'],
  ['first_active_at', 'least(m.first_active_at, excluded.first_active_at)'],
  ...['state', 'state_at', 'state_rank', 'state_id', 'finished_at'].map(
    (column) => [column, `case when ${stateWins()} then excluded.${column} else m.${column} end`] as const,
  ),
  ...['last_error', 'error_at', 'error_rank', 'error_id', 'last_response_status'].map(
    (column) => [column, `case when ${errorWins()} then excluded.${column} else m.${column} end`] as const,
  ),
  ['attempts', 'm.attempts + excluded.attempts'],
  ...DESCRIPTIONS.map((column) => [column, `greatest(m.${column}, excluded.${column})`] as const),
];

/** Terminal beats open, the greater terminal the lesser, the earlier of one kind the later; open ones by time, rank, id. */
function stateWins(): string {
  const kind = (row: string) => `logkeep.qstash_terminal(${row}.state)`;
  return `(${kind('excluded')} > ${kind('m')} or ${kind('excluded')} = ${kind('m')} and case when ${kind('excluded')} > 0
    then (m.state_at, excluded.state_rank, excluded.state_id) > (excluded.state_at, m.state_rank, m.state_id)
    else (excluded.state_at, excluded.state_rank, excluded.state_id) > (m.state_at, m.state_rank, m.state_id) end)`;
}

function errorWins(): string {
  return `(excluded.error_at is not null and (m.error_at is null
    or (excluded.error_at, excluded.error_rank, excluded.error_id) > (m.error_at, m.error_rank, m.error_id)))`;
}

const NEW_ROW = `
  insert into logkeep.qstash_log (${LOG_TABLE}, stream, ingested_at)
  select ${LOG_TABLE}, batch.stream, batch.ingested_at from stage_qstash_log, batch
  order by time, entry_id
  on conflict do nothing
  returning time, entry_id, message_id, request_hash`;

const NEW_REQUEST = `
  insert into logkeep.qstash_request (${REQUEST_TABLE}, stream)
  select ${REQUEST_TABLE}, batch.stream from stage_qstash_request r, batch
  where (r.message_id, r.hash) in (select message_id, request_hash from new_row)
  order by r.message_id, r.hash
  on conflict do nothing`;

const FRESH = `
  select s.*, logkeep.qstash_terminal(s.state) as terminal
  from stage_qstash_log s join new_row n on n.entry_id = s.entry_id and n.time = s.time`;

const MESSAGE_COLUMNS = [
  'message_id',
  'created_at',
  'first_active_at',
  'attempts',
  ...DESCRIPTIONS,
  'state',
  'state_at',
  'state_rank',
  'state_id',
  'finished_at',
  'last_error',
  'error_at',
  'error_rank',
  'error_id',
  'last_response_status',
];

const MESSAGE = `
  insert into logkeep.qstash_message as m (stream, ${MESSAGE_COLUMNS.join(', ')})
  select batch.stream, ${MESSAGE_COLUMNS.map((column) => (column === 'message_id' ? 'a.message_id' : column)).join(', ')}
  from batch, (
    select message_id,
      min(time) filter (where state = 'CREATED') as created_at,
      min(time) filter (where state = 'ACTIVE') as first_active_at,
      (count(*) filter (where state = 'ACTIVE'))::integer as attempts,
      ${DESCRIPTIONS.map((column) => `max(${column}) as ${column}`).join(', ')}
    from fresh group by message_id) a
  join (
    select distinct on (message_id) message_id, state, time as state_at, rank as state_rank, entry_id as state_id,
      case when terminal > 0 then time end as finished_at
    from fresh
    order by message_id, terminal desc, case when terminal > 0 then time end, time desc, rank desc, entry_id desc) s
    using (message_id)
  left join (
    select distinct on (message_id) message_id, error as last_error, time as error_at, rank as error_rank,
      entry_id as error_id, response_status as last_response_status
    from fresh where error is not null
    order by message_id, time desc, rank desc, entry_id desc) f
    using (message_id)
  order by a.message_id
  on conflict (stream, message_id) do update set
    ${MESSAGE_UPDATE.map(([column, expression]) => `${column} = ${expression}`).join(',\n    ')}
  where (${MESSAGE_UPDATE.map(([column]) => `m.${column}`).join(', ')}) is distinct from
    (${MESSAGE_UPDATE.map(([, expression]) => expression).join(', ')})`;

/** QStash's tables: the log, what was sent (once a message), and where each message stands. */
export const tables: SourceTables = {
  stages: [
    { name: 'stage_qstash_log', columns: LOG_COLUMNS },
    { name: 'stage_qstash_request', columns: REQUEST_COLUMNS },
  ],
  partitioned: ['qstash_log'],
  merges: [
    { name: 'new_row', sql: NEW_ROW },
    { name: 'new_request', sql: NEW_REQUEST },
    { name: 'fresh', sql: FRESH },
    { name: 'message', sql: MESSAGE },
  ],
  entries: { table: 'qstash_log', time: 'time' },
};
