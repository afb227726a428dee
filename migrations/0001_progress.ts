import { type Kysely, sql } from 'kysely';

/** Progress, history and rejects: what every source shares. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`create schema if not exists logkeep`.execute(db);
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `create table logkeep.redaction_key (
    one boolean primary key default true check (one),
    key bytea not null default uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
  )`,
  `insert into logkeep.redaction_key default values`,
  `comment on table logkeep.redaction_key is
    'The HMAC key of this database: hidden values stay comparable, and nobody else can guess them. Made once.'`,

  `create table logkeep.stream (
    stream text not null,
    fingerprint text not null,
    source text not null,
    active boolean not null default true,
    asked_from timestamptz not null,
    covered tstzmultirange not null default '{}',
    settled tstzmultirange not null default '{}',
    expired tstzmultirange not null default '{}',
    oversize tstzmultirange not null default '{}',
    young tstzmultirange not null default '{}',
    retention interval not null,
    quota_limit integer,
    quota_remaining integer,
    quota_reset_at timestamptz,
    api_skew interval,
    read_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (stream, fingerprint)
  )`,
  `create unique index stream_active on logkeep.stream (stream) where active`,
  `comment on table logkeep.stream is
    'One row for each stream and each set of filters it ever had (fingerprint); active marks the set in force. Progress is what covered holds.'`,
  `comment on column logkeep.stream.asked_from is 'The earliest time ever asked for.'`,
  `comment on column logkeep.stream.covered is 'Event time that was read to the end of a window.'`,
  `comment on column logkeep.stream.settled is 'Covered, and re-read after the lateness horizon without finding anything new. Empty as long as no sweep has run.'`,
  `comment on column logkeep.stream.expired is 'Asked for, but the API could no longer show it: known lost, never covered.'`,
  `comment on column logkeep.stream.oversize is 'Milliseconds that hold an entry larger than the body cap: known missing, never covered.'`,
  `comment on column logkeep.stream.young is 'Covered, but last read at an age below the overlap: due for a second read.'`,
  `comment on column logkeep.stream.retention is 'How long the API shows an entry, as configured when last read.'`,
  `comment on column logkeep.stream.api_skew is 'The API''s Date minus the clock of the machine that read it last.'`,
  `comment on column logkeep.stream.read_at is 'The API''s Date of the newest answer that was stored.'`,

  `create table logkeep.sync_window (
    id bigint generated always as identity primary key,
    stream text not null,
    fingerprint text not null,
    from_time timestamptz not null,
    to_time timestamptz not null check (to_time > from_time),
    done_to timestamptz,
    cursor text,
    cursor_at timestamptz,
    chain_at timestamptz,
    pages integer not null default 0,
    fence bigint not null default 0,
    holder text,
    lease_until timestamptz,
    planned_at timestamptz not null default now(),
    foreign key (stream, fingerprint) references logkeep.stream on delete cascade
  )`,
  `create index sync_window_stream on logkeep.sync_window (stream, fingerprint)`,
  `comment on table logkeep.sync_window is
    'Windows in hand: planned and not yet read to the end. A window that ends joins stream.covered and its row goes.'`,
  `comment on column logkeep.sync_window.done_to is 'Ascending streams: everything of the window before this is stored and covered.'`,
  `comment on column logkeep.sync_window.cursor is 'Where the next page begins: a resume hint within exactly this window.'`,
  `comment on column logkeep.sync_window.chain_at is 'The API''s Date at the first answer of the chain that the cursor belongs to.'`,
  `comment on column logkeep.sync_window.fence is 'Rises with each lease; a commit under an older number raises.'`,

  `create table logkeep.run (
    id bigint generated always as identity primary key,
    stream text not null,
    fingerprint text not null,
    job text not null,
    holder text not null,
    started_at timestamptz not null default now(),
    alive_until timestamptz not null default now() + interval '30 s',
    finished_at timestamptz,
    outcome text not null default 'running' check (outcome in ('running', 'done', 'stopped', 'failed', 'crashed')),
    window_from timestamptz,
    window_to timestamptz,
    windows integer not null default 0,
    batches integer not null default 0,
    last_new integer not null default 0,
    requests integer not null default 0,
    retries integer not null default 0,
    waits integer not null default 0,
    wait_ms bigint not null default 0,
    fetched bigint not null default 0,
    new bigint not null default 0,
    known bigint not null default 0,
    quarantined bigint not null default 0,
    bytes bigint not null default 0,
    error text,
    check (fetched = new + known + quarantined)
  )`,
  `create index run_stream on logkeep.run (stream, id desc)`,
  `comment on table logkeep.run is
    'History: one row for each time a job read a stream. Each entry fetched is exactly one of new, known or quarantined.'`,

  `create table logkeep.quarantine (
    id bigint generated always as identity primary key,
    stream text not null,
    reason text not null,
    time timestamptz,
    raw text not null,
    raw_hash uuid not null,
    escaped boolean not null default false,
    run_id bigint,
    first_seen_at timestamptz not null default now(),
    unique (stream, reason, raw_hash)
  )`,
  `comment on table logkeep.quarantine is
    'Entries that cannot become a row, with the reason and the raw text (header values that redaction names are hidden).'`,

  `create table logkeep.unknown_name (
    stream text not null,
    name text not null,
    first_seen_at timestamptz not null default now(),
    primary key (stream, name)
  )`,
  `comment on table logkeep.unknown_name is
    'First sight of fields and states that this version does not know. They are stored all the same, in extra.'`,

  `create function logkeep.unescape(escaped text) returns text language sql immutable strict parallel safe as $$
    select replace(
      regexp_replace(escaped, U&'\\E000(0000|d[89a-f][0-9a-f][0-9a-f])', '\\u\\1', 'g'),
      U&'\\E000e000', U&'\\E000')
  $$`,
  `comment on function logkeep.unescape(text) is
    'Shows what Postgres cannot store: a NUL or lone surrogate, kept as U+E000 and four hex digits, becomes \\uXXXX; U+E000 becomes itself.'`,

  `create view logkeep.gap as
    with active as (select * from logkeep.stream where active)
    select stream, 'hole' as kind, lower(span) as from_time, upper(span) as to_time
    from active, unnest(
      case when isempty(covered) then '{}'::tstzmultirange
      else tstzmultirange(tstzrange(least(asked_from, upper(covered)), upper(covered))) - covered - expired - oversize end) as span
    union all
    select stream, 'expired', lower(span), upper(span) from active, unnest(expired) as span
    union all
    select stream, 'oversize', lower(span), upper(span) from active, unnest(oversize) as span`,
  `comment on view logkeep.gap is
    'What is missing of the time asked for: hole (not read), expired (no longer shown by the API), oversize (an entry beyond the body cap).'`,
  `comment on column logkeep.stream.stream is 'Name from the settings, such as qstash.main.'`,
  `comment on column logkeep.stream.fingerprint is 'Hash of what decides which entries the API shows: host, account, filters, tier.'`,
  `comment on column logkeep.run.fetched is 'Entries that the API gave; each is exactly one of new, known and quarantined.'`,
  `comment on column logkeep.quarantine.reason is 'Why it could not become a row: no_time, no_id, time_out_of_bounds, identity_clash, not_an_object or too_large.'`,
  `comment on column logkeep.gap.kind is 'hole, expired or oversize.'`,
];
