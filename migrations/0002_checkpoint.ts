import { type Kysely, sql } from 'kysely';

/** The statement that makes a batch count: it raises, and so undoes the batch, unless the lease is ours. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql.raw(CHECKPOINT).execute(db);
  await sql.raw(COMMENT).execute(db);
}

const CHECKPOINT = `create function logkeep.checkpoint(
    p_window bigint, p_fence bigint, p_batch integer, p_run bigint,
    p_pages integer, p_cursor text, p_cursor_at timestamptz, p_chain_at timestamptz, p_read_at timestamptz,
    p_done_to timestamptz, p_claim tstzmultirange, p_overlap interval, p_done boolean,
    p_fetched integer, p_new integer, p_quarantined integer
  ) returns integer language plpgsql as $$
  declare
    w logkeep.sync_window;
  begin
    update logkeep.sync_window set
      pages = pages + p_pages, cursor = p_cursor, cursor_at = p_cursor_at,
      chain_at = p_chain_at, done_to = coalesce(p_done_to, done_to)
    where id = p_window and fence = p_fence
    returning * into w;
    if not found then
      raise exception 'window % is not ours any more under fence %', p_window, p_fence using errcode = 'LK001';
    end if;

    update logkeep.stream s set
      covered = s.covered + c.claimed,
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

    if p_done then
      delete from logkeep.sync_window where id = p_window;
    end if;
    return p_new;
  end $$`;

const COMMENT = `comment on function logkeep.checkpoint is
  'Records how far a window got, in the transaction that stores its rows. Raises LK001 unless exactly one window under our fence and our run at the batch before are found. What is claimed but older than the retention at the answer''s Date becomes expired, never covered.'`;
