import { type Kysely, sql } from 'kysely';

/** Windows belong to a job, a sweep settles what it finds unchanged, and how late entries come is counted. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table logkeep.sync_window
    add column job text not null default 'sync',
    add column fresh bigint not null default 0`,
  `comment on column logkeep.sync_window.job is 'Who reads it: sync, sweep or backfill. Windows of all jobs never overlap.'`,
  `comment on column logkeep.sync_window.fresh is 'Rows that were really new, of this window and of one that it took the place of.'`,
  `comment on column logkeep.stream.settled is 'Covered, and re-read by a sweep after the lateness horizon without finding anything new. A window in which something new was found leaves it.'`,

  `create table logkeep.lateness (
    stream text not null,
    bucket integer not null,
    count bigint not null,
    primary key (stream, bucket)
  ) with (fillfactor = 50)`,
  `comment on table logkeep.lateness is
    'How late entries came, a histogram for each stream: from event to intake where the API tells it, else the age of what a re-read brought in, which is the most it can be.'`,
  `comment on column logkeep.lateness.bucket is
    'Up to 2 ^ (bucket / 2) seconds late, and more than the bucket before it; 0: up to a second. -1: read for the first time by an API that does not tell: taken for on time.'`,

  `drop function logkeep.checkpoint`,
  `create function logkeep.checkpoint(
    p_window bigint, p_fence bigint, p_batch integer, p_run bigint,
    p_pages integer, p_cursor text, p_cursor_at timestamptz, p_chain_at timestamptz, p_read_at timestamptz,
    p_done_to timestamptz, p_claim tstzmultirange, p_overlap interval, p_done boolean, p_settles_to timestamptz,
    p_fetched integer, p_new integer, p_quarantined integer, p_lateness jsonb default null
  ) returns integer language plpgsql as $$
  declare
    w logkeep.sync_window;
  begin
    update logkeep.sync_window set
      pages = pages + p_pages, fresh = fresh + p_new, cursor = p_cursor, cursor_at = p_cursor_at,
      chain_at = p_chain_at, done_to = coalesce(p_done_to, done_to)
    where id = p_window and fence = p_fence
    returning * into w;
    if not found then
      raise exception 'window % is not ours any more under fence %', p_window, p_fence using errcode = 'LK001';
    end if;

    update logkeep.stream s set
      covered = s.covered + c.claimed,
      settled = case
        -- An API may give what stands at the window's very end: that second is as unsettled as the window.
        when w.fresh > 0 then s.settled - tstzmultirange(tstzrange(w.from_time, w.to_time + interval '1 s'))
        when p_settles_to is null then s.settled
        else s.settled + c.claimed * tstzmultirange(tstzrange(null, p_settles_to)) end,
      expired = s.expired + ((p_claim - s.covered) * tstzmultirange(tstzrange(s.asked_from, null))) - c.claimed,
      oversize = s.oversize - c.claimed,
      young = (s.young - p_claim) + (c.claimed * tstzmultirange(tstzrange(p_chain_at - p_overlap, null))),
      read_at = greatest(s.read_at, p_read_at)
    from (select p_claim * tstzmultirange(tstzrange(t.read_at + interval '1 s' - t.retention, null)) as claimed
          from (select p_read_at as read_at, retention from logkeep.stream
                where stream = w.stream and fingerprint = w.fingerprint) t) c
    where s.stream = w.stream and s.fingerprint = w.fingerprint;

    update logkeep.run set
      batches = p_batch, last_new = p_new, fetched = fetched + p_fetched, new = new + p_new, quarantined = quarantined + p_quarantined,
      known = known + (p_fetched - p_new - p_quarantined),
      windows = windows + p_done::integer,
      window_from = least(window_from, w.from_time), window_to = greatest(window_to, w.to_time)
    where id = p_run and batches = p_batch - 1;
    if not found then
      raise exception 'run % is not at batch %', p_run, p_batch - 1 using errcode = 'LK001';
    end if;

    if p_lateness is not null then
      insert into logkeep.lateness as l (stream, bucket, count)
      select w.stream, key::integer, value::bigint from jsonb_each_text(p_lateness)
      on conflict (stream, bucket) do update set count = l.count + excluded.count;
    end if;

    if p_done then
      delete from logkeep.sync_window where id = p_window;
    end if;
    return p_new;
  end $$`,
  `comment on function logkeep.checkpoint is
    'Records how far a window got, in the transaction that stores its rows. Raises LK001 unless exactly one window under our fence and our run at the batch before are found. What is claimed but older than the retention at the answer''s Date becomes expired, never covered. What is claimed before p_settles_to becomes settled, if nothing of the window was new.'`,
];
