import { type Kysely, sql } from 'kysely';

/** Chosen old windows that are to be read; what is missing of them shows in `gap`. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table logkeep.backfill (
    id bigint generated always as identity primary key,
    stream text not null,
    fingerprint text not null,
    from_time timestamptz not null,
    to_time timestamptz not null check (to_time > from_time),
    requested_at timestamptz not null default now(),
    finished_at timestamptz,
    cancelled_at timestamptz,
    foreign key (stream, fingerprint) references logkeep.stream on delete cascade
  )`,
  `create index backfill_stream on logkeep.backfill (stream, fingerprint)`,
  `comment on table logkeep.backfill is
    'Old time that was asked for with logkeep backfill. It is open until all of it is covered or known lost, or it is cancelled.'`,
  `comment on column logkeep.backfill.finished_at is
    'When nothing was left of it. A longer retention, which makes expired time readable again, opens it again.'`,

  `create or replace view logkeep.gap as
    with active as (
      select s.stream, asked_from, covered, expired, oversize, coalesce((select range_agg(tstzrange(b.from_time, b.to_time)) from logkeep.backfill b
        where b.stream = s.stream and b.fingerprint = s.fingerprint and b.cancelled_at is null), '{}') as chosen
      from logkeep.stream s where s.active)
    select stream, 'hole' as kind, lower(span) as from_time, upper(span) as to_time
    from active, unnest(
      chosen + case when isempty(covered) then '{}'::tstzmultirange
        else tstzmultirange(tstzrange(least(asked_from, upper(covered)), upper(covered))) end
      - covered - expired - oversize) as span
    union all
    select stream, 'expired', lower(span), upper(span) from active, unnest(expired) as span
    union all
    select stream, 'oversize', lower(span), upper(span) from active, unnest(oversize) as span`,
  `comment on view logkeep.gap is
    'What is missing of the time asked for, by sync or by backfill: hole (not read), expired (no longer shown by the API), oversize (an entry beyond the body cap).'`,
];
