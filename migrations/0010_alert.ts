import { type Kysely, sql } from 'kysely';

/** What a run is at for others to see, which processes serve, and what was said about trouble. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table logkeep.run
    add column error_kind text,
    add column waits_until timestamptz,
    add column ready_at timestamptz`,
  `create index run_running on logkeep.run (stream) where outcome = 'running'`,
  `comment on column logkeep.run.error_kind is
    'The kind of failure that ended it: auth, request, unavailable, protocol, database, ... or bug.'`,
  `comment on column logkeep.run.waits_until is 'Until when it waits for quota; in the past: it does not.'`,
  `comment on column logkeep.run.ready_at is
    'When the window in hand will be read at the pace so far; null: not known.'`,

  `create table logkeep.process (
    holder text primary key,
    version text not null,
    started_at timestamptz not null default now(),
    alive_until timestamptz not null
  ) with (fillfactor = 50)`,
  `comment on table logkeep.process is
    'Processes of logkeep serve that share this database. One that stopped renewing alive_until is dead; its row goes after a day.'`,
  `comment on column logkeep.process.holder is 'host:pid:random, as in run.holder and sync_window.holder.'`,

  `create table logkeep.alert (
    stream text not null,
    kind text not null,
    receiver text not null,
    sentence text not null,
    since timestamptz not null,
    ended_at timestamptz,
    sends integer not null default 0,
    sent_at timestamptz,
    tries integer not null default 0,
    due_at timestamptz not null,
    claimed_until timestamptz,
    error text,
    primary key (stream, kind, receiver)
  )`,
  `comment on table logkeep.alert is
    'Trouble that is going on, or over and not yet said to be: one row for each receiver, so that several processes say it once and a restart does not say it again.'`,
  `comment on column logkeep.alert.kind is 'lag, gap, expiry, auth, quarantine or silence.'`,
  `comment on column logkeep.alert.receiver is 'Where it is said: webhook or slack. The address is in the settings alone.'`,
  `comment on column logkeep.alert.since is 'When it was first seen.'`,
  `comment on column logkeep.alert.ended_at is 'When it was first seen to be over; null while it lasts.'`,
  `comment on column logkeep.alert.sends is 'How often the receiver was told of it.'`,
  `comment on column logkeep.alert.tries is 'Failed tries since it was last told.'`,
  `comment on column logkeep.alert.due_at is 'When it is to be said next.'`,
  `comment on column logkeep.alert.claimed_until is 'A process is telling it; until then no other does.'`,
];
