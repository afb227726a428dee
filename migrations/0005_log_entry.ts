import { type Kysely, sql } from 'kysely';

/** Both worlds in one view. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create view logkeep.log_entry as
    select l.time, l.stream, 'qstash' as source, l.entry_id::text as id,
      case when l.state in ('ERROR', 'FAILED') then 'error'
        when l.state in ('RETRY', 'CANCEL_REQUESTED', 'CANCELED', 'CANCELLED') then 'warn'
        else 'info' end as level,
      l.url as service,
      concat_ws(' ', l.state, l.message_id, l.error) as message,
      l.message_id as link
    from logkeep.qstash_log l
    union all
    select d.timestamp, d.stream, 'datadog', d.event_id, d.status, coalesce(d.service, d.host), d.message, d.id
    from logkeep.datadog_log d`,
  `comment on view logkeep.log_entry is
    'QStash and Datadog entries side by side. (stream, time, id) is the key of the row behind; link is what the service knows it by (message id, log id).'`,
  `comment on column logkeep.log_entry.time is 'When it happened.'`,
  `comment on column logkeep.log_entry.stream is 'The stream that brought it.'`,
  `comment on column logkeep.log_entry.source is 'qstash or datadog.'`,
  `comment on column logkeep.log_entry.id is 'entry_id of qstash_log, event_id of datadog_log.'`,
  `comment on column logkeep.log_entry.level is 'Severity; for QStash error (ERROR, FAILED), warn (RETRY, cancelled) or info.'`,
  `comment on column logkeep.log_entry.service is 'Datadog: service or else host. QStash: the destination.'`,
  `comment on column logkeep.log_entry.message is 'Datadog: the text. QStash: state, message id and error.'`,
  `comment on column logkeep.log_entry.link is 'What the service knows it by: message id or log id.'`,
];
