/** A question that the demo answers, and the SQL that answers it in anybody's database. */
export interface Question {
  readonly title: string;
  readonly sql: string;
}

/** What people ask first of the two logs. */
export const QUESTIONS: readonly Question[] = [
  {
    title: 'How did the messages end?',
    sql: `select state, count(*) as messages, round(avg(attempts), 2) as attempts,
  round((percentile_cont(0.5) within group (order by extract(epoch from finished_at - created_at)))::numeric, 2)
    as median_seconds
from logkeep.qstash_message
group by state order by messages desc`,
  },
  {
    title: 'Which destinations fail most, and how slow are they?',
    sql: `select m.url, count(*) as messages,
  count(*) filter (where m.state = 'FAILED') as failed,
  round(100.0 * count(*) filter (where m.state = 'FAILED') / count(*), 1) as failed_percent,
  (select round(percentile_cont(0.95) within group (order by l.duration_ms)) from logkeep.qstash_log l
    where l.url = m.url) as p95_ms
from logkeep.qstash_message m
group by m.url order by failed_percent desc limit 5`,
  },
  {
    title: 'How many delivery attempts failed, hour by hour?',
    sql: `select to_char(date_trunc('hour', time at time zone 'UTC'), 'YYYY-MM-DD HH24:MI') as hour_utc,
  count(*) filter (where state = 'ACTIVE') as attempts,
  count(*) filter (where state = 'ERROR') as errors,
  round(100.0 * count(*) filter (where state = 'ERROR')
    / nullif(count(*) filter (where state = 'ACTIVE'), 0), 1) as error_percent
from logkeep.qstash_log
group by 1 order by 1 desc limit 6`,
  },
  {
    title: 'What did the application log (Datadog) for the messages that failed (QStash)?',
    sql: `select left(m.message_id, 14) || '...' as message, m.last_response_status as answered,
  to_char(d.timestamp at time zone 'UTC', 'MM-DD HH24:MI:SS') as logged_utc, d.service,
  left(d.message, 40) as log_message
from logkeep.qstash_message m
join logkeep.datadog_log d on d.attributes -> 'upstash' ->> 'message_id' = m.message_id
where m.state = 'FAILED'
order by d.timestamp desc limit 5`,
  },
];
