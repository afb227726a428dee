import { sql } from 'kysely';
import { spansColumn } from './coverage.ts';
import { FREE, UNTOUCHED } from './windows.ts';

const RUN = sql.raw(`job, holder, requests, retries, fetched, new, error,
          extract(epoch from started_at) * 1000 as started, extract(epoch from finished_at) * 1000 as finished,
          extract(epoch from waits_until) * 1000 as waits_until, extract(epoch from ready_at) * 1000 as ready_at,
          case when outcome = 'running' and alive_until < clock_timestamp() then 'crashed' else outcome end as outcome`);

/**
 * Each run that brought something new begins a stretch; the runs after it without anything new make it longer. In
 * event time that was read, so that an outage, whose time is read afterwards, is no silence.
 */
const QUIET = sql.raw(`
        select coalesce(extract(epoch from max(length) filter (where stretch = last)) * 1000, 0) as length,
          coalesce(extract(epoch from max(length) filter (where stretch < last)) * 1000, 0) as longest,
          coalesce(extract(epoch from max(read_to) - min(read_from)) * 1000, 0) as history,
          coalesce(max(last), 0) as arrivals
        from (select stretch, max(stretch) over () as last, max(window_to) as read_to, min(window_to) as read_from,
            max(window_to) - coalesce(max(window_to) filter (where new > 0), min(window_to)) as length
          from (select new, window_to, count(*) filter (where new > 0) over (order by id) as stretch
            from (select id, new, window_to from logkeep.run r
              where r.stream = s.stream and job = 'sync' and outcome = 'done' and window_to is not null
              order by id desc limit 3000) h) i
          group by stretch) l`);

/** What open backfills still miss; no row where none is open. */
const BACKFILL = sql.raw(`
        select open, extract(epoch from lower(missing)) * 1000 as missing_from,
          (select extract(epoch from sum(upper(r) - lower(r))) * 1000 from unnest(missing) r) as missing
        from (select count(*) as open, range_agg(span) - s.covered - s.expired - s.oversize as missing
          from (select tstzrange(from_time, to_time) as span from logkeep.backfill b
            where b.stream = s.stream and b.fingerprint = s.fingerprint and cancelled_at is null) w
          where not isempty(tstzmultirange(span) - s.covered - s.expired - s.oversize)) o
        where open > 0`);

/** The status of every active stream, in one query. */
export const statusQuery = sql<StatusRow>`
    select s.stream, s.source, s.fingerprint,
      extract(epoch from asked_from) * 1000 as asked_from,
      ${sql.raw(UNTOUCHED)} as untouched,
      trimmed_rows = 0 and not exists (select from logkeep.run r
        where r.stream = s.stream and r.fingerprint = s.fingerprint and job = 'sync' and outcome = 'done') as first_read,
      extract(epoch from clock_timestamp() + coalesce(api_skew, '0') - read_at) * 1000 as stored_ago,
      extract(epoch from upper(covered)) * 1000 as covered_to,
      extract(epoch from upper(settled)) * 1000 as settled_to,
      coalesce((select json_agg(l) from (
        select bucket, count from logkeep.lateness l where l.stream = s.stream order by bucket) l), '[]') as lateness,
      extract(epoch from clock_timestamp()) * 1000 as now,
      ${sql.raw(spansColumn('(tstzmultirange(tstzrange(asked_from, null)) - covered - expired - oversize)'))} as missing,
      -- What expires does so a retention after it happened.
      (select coalesce(extract(epoch from sum(upper(r) - lower(r))), 0) * 1000
        from unnest(expired * tstzmultirange(tstzrange(clock_timestamp() - retention - interval '1 d', null))
          + oversize * tstzmultirange(tstzrange(clock_timestamp() - interval '1 d', null))) r) as lost_lately,
      extract(epoch from retention) * 1000 as retention,
      quota_limit, quota_remaining, extract(epoch from quota_reset_at) * 1000 as quota_reset,
      extract(epoch from api_skew) * 1000 as skew,
      (select coalesce(sum(new), 0) from logkeep.run r where r.stream = s.stream)
        + (select sum(trimmed_rows) from logkeep.stream f where f.stream = s.stream) as rows,
      (select count(*) from logkeep.quarantine q where q.stream = s.stream) as quarantined,
      (select count(*) from logkeep.quarantine q
        where q.stream = s.stream and q.first_seen_at > clock_timestamp() - interval '1 h') as quarantined_lately,
      (select row_to_json(r) from (
        select ${RUN} from logkeep.run r where r.stream = s.stream order by id desc limit 1) r) as last_run,
      (select row_to_json(r) from (
        select ${RUN} from logkeep.run r where r.stream = s.stream and job = 'sync' order by id desc limit 1) r) as last_sync,
      coalesce((select json_agg(r order by r.job) from (
        select distinct on (job) ${RUN} from logkeep.run r
        where r.stream = s.stream and job <> 'sync' and outcome in ('done', 'failed')
        order by job, id desc) r where r.outcome = 'failed'), '[]') as failed_jobs,
      coalesce((select json_agg(r) from (
        select ${RUN} from logkeep.run r where r.stream = s.stream and r.outcome = 'running'
          and alive_until >= clock_timestamp() order by id limit 20) r), '[]') as running,
      (select row_to_json(f) from (
        select count(*) as runs, extract(epoch from min(started_at)) * 1000 as since,
          (array_agg(error_kind order by id desc))[1] as kind, (array_agg(error order by id desc))[1] as error
        from logkeep.run r where r.stream = s.stream and job = 'sync' and outcome = 'failed' and id > coalesce((
          select id from logkeep.run d where d.stream = s.stream and job = 'sync' and outcome = 'done'
          order by id desc limit 1), 0)
        having count(*) > 0) f) as failing,
      (select row_to_json(q) from (${QUIET}) q) as quiet,
      (select row_to_json(b) from (${BACKFILL}) b) as backfill,
      (select row_to_json(h) from (
        select count(*) as count, coalesce(extract(epoch from sum(upper(r) - lower(r))), 0) * 1000 as length
        from unnest(tstzmultirange(tstzrange(asked_from, greatest(asked_from, upper(covered)))) - covered - expired - oversize) r
        where not isempty(covered)) h) as owed_holes,
      coalesce((select json_agg(g) from (
        select kind, count(*) as count, extract(epoch from sum(to_time - from_time)) * 1000 as length
        from logkeep.gap g where g.stream = s.stream group by kind order by kind desc) g), '[]') as gaps,
      coalesce((select json_agg(w) from (
        select job, extract(epoch from from_time) * 1000 as "from", extract(epoch from to_time) * 1000 as "to", pages,
          extract(epoch from done_to) * 1000 as done_to,
          case when not ${sql.raw(FREE)} then holder end as holder
        from logkeep.sync_window w where w.stream = s.stream and w.fingerprint = s.fingerprint
        order by from_time limit 100) w), '[]') as windows,
      coalesce((select json_agg(u) from (
        select name, extract(epoch from first_seen_at) * 1000 as seen
        from logkeep.unknown_name u where u.stream = s.stream order by first_seen_at, name) u), '[]') as unknown
    from logkeep.stream s where active order by s.stream`;

/** A row of it. Fractions of a ms stand after some numbers. */
export interface StatusRow {
  stream: string;
  source: string;
  fingerprint: string;
  asked_from: string;
  untouched: boolean;
  first_read: boolean;
  stored_ago: string | null;
  covered_to: string | null;
  settled_to: string | null;
  lateness: readonly { bucket: number; count: number }[];
  now: string;
  missing: string;
  lost_lately: string;
  retention: string;
  quota_limit: number | null;
  quota_remaining: number | null;
  quota_reset: string | null;
  skew: string | null;
  rows: string;
  quarantined: string;
  quarantined_lately: string;
  last_run: RunRow | null;
  last_sync: RunRow | null;
  failed_jobs: readonly RunRow[];
  running: readonly RunRow[];
  failing: { runs: number; since: number; kind: string | null; error: string | null } | null;
  quiet: { length: number; longest: number; history: number; arrivals: number };
  backfill: { open: number; missing: number; missing_from: number } | null;
  owed_holes: { count: number; length: number };
  gaps: readonly { kind: string; count: number; length: number }[];
  windows: readonly {
    job: string;
    from: number;
    to: number;
    done_to: number | null;
    pages: number;
    holder: string | null;
  }[];
  unknown: readonly { name: string; seen: number }[];
}

/** A run in it. */
export type RunRow = Readonly<Record<'job' | 'holder' | 'outcome', string>> &
  Readonly<Record<'started' | 'requests' | 'retries' | 'fetched' | 'new', number>> &
  Readonly<Record<'finished' | 'waits_until' | 'ready_at', number | null>> &
  Readonly<Record<'error', string | null>>;
