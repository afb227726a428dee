import { type Kysely, sql } from 'kysely';

/** Datadog: one row per log. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table logkeep.datadog_log (
    timestamp timestamptz not null,
    intake_time timestamptz,
    ingested_at timestamptz not null,
    escaped boolean not null,
    stream text not null,
    event_id text not null,
    id text not null,
    host text,
    service text,
    status text,
    source text,
    message text,
    tags text[],
    attributes jsonb,
    extra jsonb,
    primary key (stream, timestamp, event_id)
  ) partition by range (timestamp)`,
  `create index datadog_log_time on logkeep.datadog_log using brin (timestamp) with (pages_per_range = 32)`,
  `create index datadog_log_error on logkeep.datadog_log (timestamp)
    where status in ('error', 'critical', 'alert', 'emergency')`,
  `comment on table logkeep.datadog_log is 'Datadog logs, one row each, partitioned by UTC day of timestamp.'`,
  `comment on column logkeep.datadog_log.event_id is 'The part of the id that stays when Datadog compacts its storage; the raw id where that does not decode.'`,
  `comment on column logkeep.datadog_log.id is 'The id as first received; the API may give the same log another one later.'`,
  `comment on column logkeep.datadog_log.status is 'Severity. Only API v2 gives it; filled when a v1 row is read again by v2.'`,
  `comment on column logkeep.datadog_log.source is 'The first source: tag.'`,
  `comment on column logkeep.datadog_log.intake_time is 'When Datadog took the log in, from its id: minus timestamp it is the lateness.'`,
  `comment on column logkeep.datadog_log.extra is 'Fields without a column, and values that did not fit theirs, as received.'`,
  `comment on column logkeep.datadog_log.escaped is 'True where text holds escapes; see logkeep.unescape().'`,
  `comment on column logkeep.datadog_log.timestamp is 'When it happened, by the log itself.'`,
  `comment on column logkeep.datadog_log.stream is 'The stream that brought it.'`,
  `comment on column logkeep.datadog_log.host is 'Host that sent it.'`,
  `comment on column logkeep.datadog_log.service is 'Service that logged it.'`,
  `comment on column logkeep.datadog_log.message is 'The log text.'`,
  `comment on column logkeep.datadog_log.tags is 'As received: with duplicates, in their order.'`,
  `comment on column logkeep.datadog_log.attributes is 'Nested attributes; every digit of every number is kept.'`,
  `comment on column logkeep.datadog_log.ingested_at is 'When logkeep stored it.'`,
];
