import { type Kysely, sql } from 'kysely';

/** What columns mean of which nothing was said yet, or not well. */
const COMMENTS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  qstash_log: {
    response_status: "HTTP status of the destination's answer.",
    response_body: 'Body of the answer, decoded from base64; cut by QStash at the size of the plan.',
  },
  qstash_request: {
    stream: 'The stream that brought it.',
    message_id: 'The message it was sent with.',
    method: 'HTTP method of the delivery.',
    header: 'Headers of the delivery: name to list of values; those that redaction names are hidden.',
    max_retries: 'How often QStash retries a failed delivery.',
    retry_delay_expression: 'Expression for the delay between retries.',
    timeout_ms: 'How long QStash waits for the destination, in ms.',
    queue_name: 'Queue that the message was sent to.',
    schedule_id: 'Schedule that made the message.',
    topic_name: 'URL group that the message was sent to.',
    endpoint_name: 'Endpoint within the URL group.',
    label: 'The one label, where the API gives one.',
    labels: 'The labels, where the API gives a list.',
    callback: 'URL that gets the answer.',
    callback_headers: 'Headers of the callback.',
    failure_callback: 'URL that is called when all retries have failed.',
    failure_callback_headers: 'Headers of the failure callback.',
    caller_ip: 'Address that published the message.',
    host: 'Host of the destination.',
    path: 'Path of the destination.',
    flow_control_key: 'Messages of one key share its rate and parallelism.',
    parallelism: 'Deliveries of the flow control key at the same time.',
    rate: 'Deliveries of the flow control key in one period.',
    period: 'Period of the rate, in seconds.',
    extra: 'Fields without a column, or whose value does not fit its column exactly.',
    escaped: 'True where text holds what Postgres cannot store, in an escaped form.',
  },
  qstash_message: {
    queue_name: 'Queue that the message was sent to.',
    schedule_id: 'Schedule that made the message.',
    topic_name: 'URL group that the message was sent to.',
    endpoint_name: 'Endpoint within the URL group.',
    labels: 'Its labels; a single label is a list of one.',
    state_at: 'Time of the entry that gave state.',
    state_rank: 'Rank of state within one millisecond: a later stage has a higher one; 0: unknown state.',
    state_id: 'entry_id of the entry that gave state.',
    error_at: 'Time of the entry that gave last_error.',
    error_rank: 'As state_rank, of the entry that gave last_error.',
    error_id: 'entry_id of the entry that gave last_error.',
  },
  quarantine: {
    id: 'Number of the entry in quarantine.',
    stream: 'The stream that brought it.',
    time: 'Its time, if it has one that can be stored.',
    raw: 'The entry as it came, as JSON text where it was JSON.',
    raw_hash: 'Tells entries of one stream and reason apart.',
    escaped: 'True where raw holds what Postgres cannot store, in an escaped form.',
    run_id: 'The run that met it first.',
    first_seen_at: 'When logkeep met it first.',
  },
  unknown_name: {
    stream: 'The stream that brought it.',
    name: 'What is unknown, such as field:retryAfter or state:PAUSED.',
    first_seen_at: 'When logkeep met it first.',
  },
  stream: {
    source: 'qstash or datadog.',
    active: 'True for the set of filters in force; one for each stream.',
    quota_limit: 'Requests that the quota window allows, as the API told last.',
    quota_remaining: 'Requests left in it, as the API told last.',
    quota_reset_at: 'When it ends, as the API told last.',
    created_at: 'When the stream was read for the first time with these filters.',
  },
  sync_window: {
    id: 'Number of the window.',
    stream: 'The stream it belongs to.',
    fingerprint: 'The set of filters it is read with.',
    from_time: 'Begin, inclusive.',
    to_time: 'End, exclusive.',
    cursor_at: 'When the API gave the cursor.',
    pages: 'Pages stored so far.',
    holder: 'Process that reads it; null: nobody.',
    lease_until: 'Until then the holder has it to itself; renewed while it reads.',
    planned_at: 'When it was planned.',
  },
  run: {
    id: 'Number of the run.',
    stream: 'The stream that was read.',
    fingerprint: 'The set of filters it was read with.',
    job: 'What read it: sync, sweep or backfill.',
    holder: 'Process that read it.',
    started_at: 'When it began.',
    alive_until: 'A run that is still running renews this; past it, the process is gone.',
    finished_at: 'When it ended; null while it runs.',
    outcome: 'running, done, stopped (before the end, in good order), failed or crashed.',
    window_from: 'Begin of the time that its windows span; null: it had none.',
    window_to: 'End of the time that its windows span.',
    windows: 'Windows that it read to the end.',
    batches: 'Transactions that stored entries.',
    last_new: 'New entries of the last batch.',
    requests: 'Requests sent, retries included.',
    retries: 'Requests sent once more after a failure that may pass.',
    waits: 'How often it waited for quota.',
    wait_ms: 'How long it waited for quota, in ms.',
    new: 'Entries that were stored.',
    known: 'Entries that were stored already.',
    quarantined: 'Entries that went to quarantine.',
    bytes: "Bytes of the answers' bodies.",
    error: 'Why it failed.',
  },
  gap: {
    stream: 'The stream it belongs to.',
    from_time: 'Begin, inclusive.',
    to_time: 'End, exclusive.',
  },
  lateness: {
    stream: 'The stream it belongs to.',
    count: 'Entries of the bucket.',
  },
  backfill: {
    id: 'Number of the backfill.',
    stream: 'The stream it belongs to.',
    fingerprint: 'The set of filters it is read with.',
    from_time: 'Begin, inclusive.',
    to_time: 'End, exclusive.',
    requested_at: 'When it was asked for.',
    cancelled_at: 'When it was cancelled; what was read stays.',
  },
  quota: {
    period: 'Length of the quota window.',
    known_since: 'When an answer told of this window first.',
    ends_at: 'When the window ends.',
    asked_by: 'Process that asks what a new window allows.',
    updated_at: 'When the row changed last.',
  },
  process: {
    version: 'Version of logkeep.',
    started_at: 'When it started.',
    alive_until: 'Renewed while it lives.',
  },
  alert: {
    stream: 'The stream it is about.',
    sentence: 'What is said.',
    sent_at: 'When it was said last.',
    error: 'Why it could not be said, the last time.',
  },
};

/** A view's columns say what the columns of the same name say that they are made of. */
const OF_ENTRY = sql`do $$
  declare
    of_column record;
  begin
    for of_column in
      select distinct on (v.attname) v.attname as name,
        case v.attname
          when 'request_extra' then 'As extra, of what was sent.'
          when 'escaped' then 'True where text of either holds what Postgres cannot store, in an escaped form.'
          else col_description(t.attrelid, t.attnum) end as said
      from pg_attribute v
      left join pg_attribute t on t.attname = v.attname
        and t.attrelid in ('logkeep.qstash_log'::regclass, 'logkeep.qstash_request'::regclass)
      where v.attrelid = 'logkeep.qstash_entry'::regclass and v.attnum > 0
      order by v.attname, t.attrelid = 'logkeep.qstash_log'::regclass desc
    loop
      execute format('comment on column logkeep.qstash_entry.%I is %L', of_column.name, of_column.said);
    end loop;
  end
$$`;

/** Every column of a public table says what it holds. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const [table, columns] of Object.entries(COMMENTS))
    for (const [column, said] of Object.entries(columns))
      await sql`comment on column ${sql.table(`logkeep.${table}`)}.${sql.ref(column)} is ${sql.lit(said)}`.execute(
        db,
      );
  await OF_ENTRY.execute(db);
}
