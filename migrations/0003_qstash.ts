import { type Kysely, sql } from 'kysely';

/** QStash: log, request, message, and the view that gives the API's shape back. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table logkeep.qstash_log (
    time timestamptz not null,
    next_delivery_time timestamptz,
    ingested_at timestamptz not null,
    duration_ms bigint,
    entry_id uuid not null,
    request_hash uuid,
    response_status integer,
    escaped boolean not null,
    stream text not null,
    message_id text not null,
    state text,
    url text,
    error text,
    response_headers jsonb,
    response_body bytea,
    extra jsonb,
    primary key (stream, time, entry_id)
  ) partition by range (time)`,
  `create index qstash_log_message on logkeep.qstash_log using hash (message_id)`,
  `create index qstash_log_time on logkeep.qstash_log using brin (time) with (pages_per_range = 32)`,
  `create index qstash_log_error on logkeep.qstash_log (time) where error is not null`,
  `comment on table logkeep.qstash_log is
    'QStash log entries, one row each, partitioned by UTC day of time. What was sent is in qstash_request, once.'`,
  `comment on column logkeep.qstash_log.entry_id is 'From the entry''s stable fields alone: the same entry read again has the same id.'`,
  `comment on column logkeep.qstash_log.state is 'As received: CREATED, ACTIVE, RETRY, ERROR, DELIVERED, FAILED, CANCEL_REQUESTED, CANCELED or CANCELLED, or one that is new.'`,
  `comment on column logkeep.qstash_log.request_hash is 'Which of the message''s rows in qstash_request this entry showed.'`,
  `comment on column logkeep.qstash_log.extra is 'Fields without a column, and values that did not fit theirs, as received.'`,
  `comment on column logkeep.qstash_log.escaped is 'True where text holds escapes; see logkeep.unescape().'`,

  `create table logkeep.qstash_request (
    stream text not null,
    message_id text not null,
    hash uuid not null,
    max_retries integer,
    parallelism integer,
    rate integer,
    period integer,
    timeout_ms bigint,
    escaped boolean not null,
    method text,
    header jsonb,
    body bytea,
    queue_name text,
    schedule_id text,
    topic_name text,
    endpoint_name text,
    callback text,
    callback_headers jsonb,
    failure_callback text,
    failure_callback_headers jsonb,
    retry_delay_expression text,
    label text,
    labels text[],
    caller_ip text,
    host text,
    path text,
    flow_control_key text,
    extra jsonb,
    primary key (stream, message_id, hash)
  )`,
  `comment on table logkeep.qstash_request is
    'What QStash was asked to send: once for each distinct content of a message, though the API repeats it in every entry. Never changes.'`,
  `comment on column logkeep.qstash_request.hash is 'HMAC of the unredacted content.'`,
  `comment on column logkeep.qstash_request.body is 'Decoded from base64. A body that does not decode back to the same text is in extra.'`,

  `create table logkeep.qstash_message (
    stream text not null,
    message_id text not null,
    created_at timestamptz,
    first_active_at timestamptz,
    finished_at timestamptz,
    state_at timestamptz not null,
    error_at timestamptz,
    state_id uuid not null,
    error_id uuid,
    state_rank integer not null,
    error_rank integer,
    attempts integer not null,
    last_response_status integer,
    state text,
    url text,
    last_error text,
    queue_name text,
    schedule_id text,
    topic_name text,
    endpoint_name text,
    labels text[],
    primary key (stream, message_id)
  ) with (fillfactor = 85)`,
  `comment on table logkeep.qstash_message is
    'Where each message stands: the same whatever the order and repetition of its entries.'`,
  `comment on column logkeep.qstash_message.state is
    'A terminal state beats an open one; DELIVERED over FAILED over CANCELED; else the latest by time, rank within the millisecond, entry_id.'`,
  `comment on column logkeep.qstash_message.finished_at is 'The earliest entry of the winning terminal state; null while open.'`,
  `comment on column logkeep.qstash_message.attempts is 'Deliveries tried: the number of ACTIVE entries.'`,
  `comment on column logkeep.qstash_message.last_response_status is 'Of the entry that gave last_error.'`,
  `comment on column logkeep.qstash_message.url is 'Where it was sent; like queue, schedule, topic, endpoint and labels the greatest value, should a message ever show several.'`,

  `create function logkeep.qstash_terminal(state text) returns integer language sql immutable parallel safe as $$
    select case state when 'DELIVERED' then 3 when 'FAILED' then 2 when 'CANCELED' then 1 when 'CANCELLED' then 1 else 0 end
  $$`,
  `comment on function logkeep.qstash_terminal(text) is 'Greater wins among terminal states; 0 is open.'`,

  `create view logkeep.qstash_entry as
    select l.stream, l.time, l.entry_id, l.message_id, l.state, l.url, l.error, l.response_status, l.response_headers,
      l.response_body, l.next_delivery_time, l.duration_ms, r.method, r.header, r.body, r.queue_name, r.schedule_id,
      r.topic_name, r.endpoint_name, r.callback, r.callback_headers, r.failure_callback, r.failure_callback_headers,
      r.max_retries, r.timeout_ms, r.retry_delay_expression, r.label, r.labels, r.caller_ip, r.host, r.path,
      r.flow_control_key, r.parallelism, r.rate, r.period, r.extra as request_extra, l.extra,
      l.escaped or coalesce(r.escaped, false) as escaped, l.ingested_at
    from logkeep.qstash_log l
    left join logkeep.qstash_request r
      on r.stream = l.stream and r.message_id = l.message_id and r.hash = l.request_hash`,
  `comment on view logkeep.qstash_entry is 'Each entry in the API''s full shape: log and request joined.'`,
  `comment on column logkeep.qstash_log.time is 'When it happened, by QStash.'`,
  `comment on column logkeep.qstash_log.stream is 'The stream that brought it.'`,
  `comment on column logkeep.qstash_log.message_id is 'The message it is about.'`,
  `comment on column logkeep.qstash_log.url is 'Destination.'`,
  `comment on column logkeep.qstash_log.error is 'Error text, on ERROR.'`,
  `comment on column logkeep.qstash_log.response_status is 'HTTP status of the destinations answer.'`,
  `comment on column logkeep.qstash_log.response_headers is 'Headers of the answer: name to list of values; those that redaction names are hidden.'`,
  `comment on column logkeep.qstash_log.response_body is 'Body of the answer, decoded from base64; cut by QStash at the plans size.'`,
  `comment on column logkeep.qstash_log.next_delivery_time is 'When QStash means to deliver next.'`,
  `comment on column logkeep.qstash_log.duration_ms is 'How long the delivery took, in ms.'`,
  `comment on column logkeep.qstash_log.ingested_at is 'When logkeep stored it.'`,
  `comment on column logkeep.qstash_message.stream is 'The stream that brought it.'`,
  `comment on column logkeep.qstash_message.message_id is 'The message.'`,
  `comment on column logkeep.qstash_message.created_at is 'Its earliest CREATED entry.'`,
  `comment on column logkeep.qstash_message.first_active_at is 'Its earliest ACTIVE entry.'`,
  `comment on column logkeep.qstash_message.last_error is 'Error of its latest entry that has one.'`,
];
