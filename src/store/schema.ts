import type { ColumnType, Generated } from 'kysely';
import type { Alert, Process, Time } from './schema-serve.ts';

/** `bigint` comes as text, so that no digit is lost. */
type Int8 = ColumnType<string, string | number | bigint, string | number | bigint>;
/** jsonb comes parsed; the library's `openStore` gives a number that no double holds as its text. */
type Json = ColumnType<unknown, string | null, string | null>;

/** Postgres multirange text, such as `{["2026-01-01 00:00:00+00","2026-01-02 00:00:00+00")}`. */
type Multirange = ColumnType<string, string, string>;

/** What QStash said of a message at one moment; partitioned by UTC day of `time`. */
export interface QstashLog {
  time: Time;
  next_delivery_time: Time | null;
  ingested_at: Time;
  duration_ms: Int8 | null;
  entry_id: string;
  request_hash: string | null;
  response_status: number | null;
  escaped: boolean;
  stream: string;
  message_id: string;
  state: string | null;
  url: string | null;
  error: string | null;
  response_headers: Json | null;
  response_body: Uint8Array | null;
  extra: Json | null;
}

/** What QStash was asked to send, once for each distinct content of a message. */
export interface QstashRequest {
  stream: string;
  message_id: string;
  hash: string;
  max_retries: number | null;
  parallelism: number | null;
  rate: number | null;
  period: number | null;
  timeout_ms: Int8 | null;
  escaped: boolean;
  method: string | null;
  header: Json | null;
  body: Uint8Array | null;
  queue_name: string | null;
  schedule_id: string | null;
  topic_name: string | null;
  endpoint_name: string | null;
  callback: string | null;
  callback_headers: Json | null;
  failure_callback: string | null;
  failure_callback_headers: Json | null;
  retry_delay_expression: string | null;
  label: string | null;
  labels: string[] | null;
  caller_ip: string | null;
  host: string | null;
  path: string | null;
  flow_control_key: string | null;
  extra: Json | null;
}

/** Where each message stands, whatever the order and repetition of its entries. */
export interface QstashMessage {
  stream: string;
  message_id: string;
  created_at: Time | null;
  first_active_at: Time | null;
  finished_at: Time | null;
  state_at: Time;
  error_at: Time | null;
  state_id: string;
  error_id: string | null;
  state_rank: number;
  error_rank: number | null;
  attempts: number;
  last_response_status: number | null;
  state: string | null;
  url: string | null;
  last_error: string | null;
  queue_name: string | null;
  schedule_id: string | null;
  topic_name: string | null;
  endpoint_name: string | null;
  labels: string[] | null;
}

/** Log and request joined: the API's full shape. */
export interface QstashEntry
  extends Omit<QstashLog, 'request_hash'>,
    Omit<QstashRequest, 'hash' | 'extra' | keyof QstashLog> {
  request_extra: Json | null;
}

/** One Datadog log; partitioned by UTC day of `timestamp`. */
export interface DatadogLog {
  timestamp: Time;
  intake_time: Time | null;
  ingested_at: Time;
  escaped: boolean;
  stream: string;
  event_id: string;
  id: string;
  host: string | null;
  service: string | null;
  status: string | null;
  source: string | null;
  message: string | null;
  tags: string[] | null;
  attributes: Json | null;
  extra: Json | null;
}

/** QStash and Datadog side by side. */
export interface LogEntry {
  time: Time;
  stream: string;
  source: 'qstash' | 'datadog';
  id: string;
  level: string | null;
  service: string | null;
  message: string | null;
  link: string | null;
}

/** Progress of a stream under one set of filters. */
export interface StreamTable {
  stream: string;
  fingerprint: string;
  source: string;
  active: Generated<boolean>;
  asked_from: Time;
  covered: Generated<Multirange>;
  settled: Generated<Multirange>;
  expired: Generated<Multirange>;
  oversize: Generated<Multirange>;
  young: Generated<Multirange>;
  retention: ColumnType<string, string, string>;
  quota_limit: number | null;
  quota_remaining: number | null;
  quota_reset_at: Time | null;
  api_skew: string | null;
  read_at: Time | null;
  trimmed_rows: Generated<Int8>;
  created_at: Generated<Date>;
}

/** A window in hand. */
export interface SyncWindow {
  id: Generated<string>;
  stream: string;
  fingerprint: string;
  from_time: Time;
  to_time: Time;
  done_to: Time | null;
  cursor: string | null;
  cursor_at: Time | null;
  chain_at: Time | null;
  pages: Generated<number>;
  job: Generated<'sync' | 'sweep' | 'backfill'>;
  fresh: Generated<Int8>;
  fence: Generated<Int8>;
  holder: string | null;
  lease_until: Time | null;
  planned_at: Generated<Date>;
}

/** How late a stream's entries came: so many of each bucket. */
export interface Lateness {
  stream: string;
  /** Up to 2 ^ (bucket / 2) seconds late; -1: not known, taken for on time. */
  bucket: number;
  count: Int8;
}

/** One execution of a job on one stream. */
export interface Run {
  id: Generated<string>;
  stream: string;
  fingerprint: string;
  job: string;
  holder: string;
  started_at: Generated<Date>;
  alive_until: Generated<Date>;
  finished_at: Time | null;
  outcome: Generated<'running' | 'done' | 'stopped' | 'failed' | 'crashed'>;
  window_from: Time | null;
  window_to: Time | null;
  windows: Generated<number>;
  batches: Generated<number>;
  last_new: Generated<number>;
  requests: Generated<number>;
  retries: Generated<number>;
  waits: Generated<number>;
  wait_ms: Generated<Int8>;
  fetched: Generated<Int8>;
  new: Generated<Int8>;
  known: Generated<Int8>;
  quarantined: Generated<Int8>;
  bytes: Generated<Int8>;
  error: string | null;
  error_kind: string | null;
  waits_until: Time | null;
  ready_at: Time | null;
}

/** An entry that could not become a row. */
export interface Quarantine {
  id: Generated<string>;
  stream: string;
  reason: string;
  time: Time | null;
  raw: string;
  raw_hash: string;
  escaped: Generated<boolean>;
  run_id: Int8 | null;
  first_seen_at: Generated<Date>;
}

/** First sight of a field or state that this version does not know. */
export interface UnknownName {
  stream: string;
  name: string;
  first_seen_at: Generated<Date>;
}

/** A span of the time asked for that is missing, and why. */
export interface Gap {
  stream: string;
  kind: 'hole' | 'expired' | 'oversize';
  from_time: Date;
  to_time: Date;
}

/** Old time that was asked for; open until nothing is missing of it, or it is cancelled. */
export interface Backfill {
  id: Generated<string>;
  stream: string;
  fingerprint: string;
  from_time: Time;
  to_time: Time;
  requested_at: Generated<Date>;
  finished_at: Time | null;
  cancelled_at: Time | null;
}

/** What all processes together may still send on one credential. */
export interface QuotaTable {
  credential: string;
  quota_limit: Int8 | null;
  remaining: Int8 | null;
  period: string | null;
  window_id: Int8 | null;
  known_since: Time | null;
  ends_at: Time | null;
  unbounded: Generated<boolean>;
  asked_by: string | null;
  asked_until: Time | null;
  paused_until: Time | null;
  live_sent: Generated<Int8>;
  live_forecast: number | null;
  live_waits_until: Time | null;
  sweep_waits_until: Time | null;
  holders: Json;
  updated_at: Generated<Date>;
}

/** Every table and view of schema `logkeep`, for Kysely: `new Kysely<Database>(...).withSchema('logkeep')`. */
export interface Database {
  qstash_log: QstashLog;
  qstash_request: QstashRequest;
  qstash_message: QstashMessage;
  qstash_entry: QstashEntry;
  datadog_log: DatadogLog;
  log_entry: LogEntry;
  stream: StreamTable;
  sync_window: SyncWindow;
  backfill: Backfill;
  lateness: Lateness;
  run: Run;
  process: Process;
  alert: Alert;
  quarantine: Quarantine;
  unknown_name: UnknownName;
  gap: Gap;
  quota: QuotaTable;
  redaction_key: { one: Generated<boolean>; key: Generated<Uint8Array> };
}
