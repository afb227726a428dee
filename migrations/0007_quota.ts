import { type Kysely, sql } from 'kysely';

/** One row per credential, and the one statement by which all processes take from it and correct it. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of [TABLE, ...COMMENTS, TAKE, TAKE_COMMENT]) await sql.raw(statement).execute(db);
}

const TABLE = `create table logkeep.quota (
    credential text primary key,
    quota_limit bigint,
    remaining bigint,
    period interval,
    window_id bigint,
    known_since timestamptz,
    ends_at timestamptz,
    unbounded boolean not null default false,
    asked_by text,
    asked_until timestamptz,
    paused_until timestamptz,
    live_sent bigint not null default 0,
    live_forecast double precision,
    live_waits_until timestamptz,
    sweep_waits_until timestamptz,
    holders jsonb not null default '{}',
    updated_at timestamptz not null default now()
  ) with (fillfactor = 20)`;

const COMMENTS = [
  `comment on table logkeep.quota is
    'What all processes together may still send on one credential, in the quota window that the API told last.'`,
  `comment on column logkeep.quota.credential is 'Source and a hash of host and account; never the secret.'`,
  `comment on column logkeep.quota.quota_limit is 'Requests that the window allows, as told; all users of the account together.'`,
  `comment on column logkeep.quota.remaining is 'The least that any answer of this window told, less the requests that went unanswered.'`,
  `comment on column logkeep.quota.window_id is 'Names the window where the API gives its end as a time.'`,
  `comment on column logkeep.quota.unbounded is 'The last answers told of no quota.'`,
  `comment on column logkeep.quota.asked_until is 'Until then asked_by asks what a new window allows, and the others wait for its answer.'`,
  `comment on column logkeep.quota.paused_until is 'Until then nobody sends: the API refused a request of some process.'`,
  `comment on column logkeep.quota.live_sent is 'Requests of the live log in this window.'`,
  `comment on column logkeep.quota.live_forecast is 'Requests that the live log needs in a window, from the last windows; null: no window seen to its end.'`,
  `comment on column logkeep.quota.live_waits_until is 'The live log waits for requests: until then sweep and backfill take none.'`,
  `comment on column logkeep.quota.sweep_waits_until is 'A sweep waits for requests: until then backfill takes none.'`,
  `comment on column logkeep.quota.holders is
    'By process: at (ms, when it was heard last), live (ms, when it last sent for the live log), promised (requests given to it that are not answered yet).'`,
];

const TAKE = `create function logkeep.take_quota(
    p_credential text, p_holder text, p_now timestamptz, p_rank integer, p_need integer, p_holding integer,
    p_reserve double precision, p_live integer, p_unanswered integer, p_pause double precision, p_unbounded boolean,
    p_limit bigint, p_remaining bigint, p_rest double precision, p_age double precision, p_window_id bigint,
    p_period double precision, p_leaves boolean,
    out granted integer, out wait double precision, out paused double precision, out unbounded boolean,
    out quota_limit bigint, out remaining bigint, out rest double precision, out window_id bigint,
    out period double precision, out others integer, out others_live integer
  ) language plpgsql as $$
  declare
    q logkeep.quota;
    t timestamptz;
    ms constant interval := interval '1 ms';
    ends timestamptz;
    same boolean;
    known boolean;
    kept bigint;
    live_at double precision;
    promised bigint;
    spare double precision;
    needed double precision := 0;
  begin
    insert into logkeep.quota (credential) values (p_credential) on conflict do nothing;
    select * into q from logkeep.quota where credential = p_credential for update;
    t := coalesce(p_now, clock_timestamp());

    -- A time that lies farther away than it can is of a clock that was wrong.
    if abs(extract(epoch from q.ends_at - t)) > 2 * extract(epoch from coalesce(q.period, interval '1 hour')) + 5
    then q.ends_at := null; end if;
    if q.paused_until > t + interval '61 min' then q.paused_until := null; end if;
    if q.asked_until > t + interval '11 s' then q.asked_until := null; end if;
    if q.live_waits_until > t + interval '61 min' then q.live_waits_until := null; end if;
    if q.sweep_waits_until > t + interval '61 min' then q.sweep_waits_until := null; end if;

    -- What the process learnt.
    if p_unbounded then q.unbounded := true; end if;
    if q.asked_by = p_holder and p_holding = 0 then q.asked_until := null; end if;
    if p_remaining is not null then
      ends := t + p_rest * ms;
      same := q.ends_at is not null and case
        when q.window_id is not null and p_window_id is not null then q.window_id = p_window_id
        else abs(extract(epoch from ends - q.ends_at)) <= least(1.5, coalesce(p_period, 3000) / 2000) end;
      if same then
        -- Answers overtake each other: within a window the least is the truth.
        q.remaining := least(q.remaining, p_remaining);
      elsif q.ends_at is null or ends > q.ends_at or t - p_age * ms >= q.known_since then
        if q.known_since is not null and q.ends_at is not null then
          -- What was seen of the window that ended stands for all of it.
          needed := q.live_sent * case when q.period is null then 1 else greatest(1, least(4,
            extract(epoch from q.period) / greatest(1e-3, extract(epoch from q.ends_at - q.known_since)))) end;
          q.live_forecast := (coalesce(q.live_forecast, needed) + needed) / 2;
        end if;
        q.live_sent := 0;
        q.known_since := t;
        q.ends_at := ends;
        q.window_id := p_window_id;
        q.remaining := p_remaining;
      end if;
      q.quota_limit := p_limit;
      q.period := p_period * ms;
      q.unbounded := false;
    end if;
    q.live_sent := q.live_sent + p_live;
    q.remaining := greatest(0, q.remaining - p_unanswered);
    if p_pause > 0 then
      q.paused_until := greatest(q.paused_until, t + least(p_pause, 3600000) * ms);
    end if;

    -- Who else is there; who was not heard of for a minute holds nothing any more.
    live_at := case when p_live > 0 or (p_rank = 0 and p_need > 0) then extract(epoch from t) * 1000
      else coalesce((q.holders->p_holder->>'live')::double precision, 0) end;
    select coalesce(jsonb_object_agg(key, value), '{}'), coalesce(sum((value->>'promised')::integer), 0),
      count(*) filter (where abs(heard) < 15000),
      count(*) filter (where abs(heard) < 15000 and abs(live) < 15000)
    into q.holders, promised, others, others_live
    from (select key, value, extract(epoch from t) * 1000 - (value->>'at')::double precision as heard,
        extract(epoch from t) * 1000 - (value->>'live')::double precision as live
      from jsonb_each(q.holders) where key <> p_holder) h
    where abs(heard) < 60000;

    -- What is given.
    granted := 0;
    wait := 0;
    known := q.ends_at is not null and q.ends_at > t;
    unbounded := q.unbounded or coalesce(q.period <= interval '5 s', false);
    if p_need > 0 and not p_leaves then
      if q.paused_until > t then
        wait := extract(epoch from q.paused_until - t) * 1000;
      elsif unbounded then
        null;
      elsif (p_rank > 0 and q.live_waits_until > t) or (p_rank > 1 and q.sweep_waits_until > t) then
        wait := 1000;
      elsif not known then
        -- One request tells what the new window allows.
        if q.asked_until > t then
          wait := 250;
        else
          granted := 1;
          q.asked_by := p_holder;
          q.asked_until := t + interval '10 s';
        end if;
      else
        kept := case when q.quota_limit is null then 0
          else greatest(0, least(ceil(q.quota_limit * p_reserve)::bigint, q.quota_limit - 1)) end;
        spare := q.remaining - kept - promised - p_holding;
        if p_rank > 0 then
          -- What live will need of the rest: as in the last windows (a quarter before one was seen), or as it goes now.
          needed := extract(epoch from q.ends_at - t) * greatest(
            coalesce(q.live_forecast, q.quota_limit / 4.0, 0)
              / greatest(1e-3, extract(epoch from coalesce(q.period, q.ends_at - t))),
            q.live_sent / greatest(1e-3, extract(epoch from t - q.known_since),
              extract(epoch from coalesce(q.period, t - q.known_since)) / 10));
          needed := least(needed, coalesce(q.quota_limit, needed));
          spare := spare - ceil(needed);
        end if;
        granted := greatest(0, least(floor(spare), greatest(p_need, least(1024, floor(spare / 256)))))::integer;
        if granted = 0 then
          wait := case
            when q.remaining - kept < 1 then extract(epoch from q.ends_at - t) * 1000
            -- Other processes may give back what they do not send.
            when promised > 0 or needed <= 0 then 1000
            else least(extract(epoch from q.ends_at - t) * 1000,
              greatest(1000, (1 - spare) * extract(epoch from q.ends_at - t) * 1000 / needed)) end;
        end if;
      end if;
      if p_rank = 0 then
        q.live_waits_until := case when wait > 0 then t + (least(wait, 3600000) + 2500) * ms end;
      elsif p_rank = 1 then
        q.sweep_waits_until := case when wait > 0 then t + (least(wait, 3600000) + 2500) * ms end;
      end if;
    end if;
    if not p_leaves then
      q.holders := q.holders || jsonb_build_object(p_holder, jsonb_build_object(
        'at', round(extract(epoch from t) * 1000), 'live', round(live_at), 'promised', p_holding + granted));
    end if;

    update logkeep.quota set quota_limit = q.quota_limit, remaining = q.remaining, period = q.period,
      window_id = q.window_id, known_since = q.known_since, ends_at = q.ends_at, unbounded = q.unbounded,
      asked_by = q.asked_by, asked_until = q.asked_until, paused_until = q.paused_until, live_sent = q.live_sent,
      live_forecast = q.live_forecast, live_waits_until = q.live_waits_until,
      sweep_waits_until = q.sweep_waits_until, holders = q.holders, updated_at = t
    where credential = p_credential;

    paused := greatest(0, extract(epoch from q.paused_until - t) * 1000);
    period := extract(epoch from q.period) * 1000;
    if known then
      quota_limit := q.quota_limit;
      remaining := q.remaining;
      rest := extract(epoch from q.ends_at - t) * 1000;
      window_id := q.window_id;
    end if;
  end $$`;

const TAKE_COMMENT = `comment on function logkeep.take_quota is
  'Takes requests of a credential''s quota and corrects it by what the process learnt since its last call. Times in ms. Never gives more than the window allows, less the reserve, less what other processes were given and have not used; sweep (rank 1) and backfill (rank 2) leave what live is expected to need. Without p_now the database''s clock counts.'`;
