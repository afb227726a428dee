import { type Kysely, sql } from 'kysely';

const COMMENTS: readonly string[] = [
  `comment on table logkeep.migration is 'The migrations that this database has, one row each.'`,
  `comment on column logkeep.migration.name is 'Name of the migration.'`,
  `comment on column logkeep.migration.timestamp is 'When it was applied, as ISO text.'`,
  `comment on table logkeep.migration_lock is
    'One row, as the tool that applies migrations wants it: an advisory lock keeps processes apart.'`,
  `comment on column logkeep.migration_lock.id is 'Always migration_lock.'`,
  `comment on column logkeep.migration_lock.is_locked is 'Always 0.'`,
  `comment on column logkeep.redaction_key.one is 'Always true: there is one row.'`,
  `comment on column logkeep.redaction_key.key is 'Random bytes; whoever has them can tell whether a hidden value is one they guess.'`,
];

/** The tables that nobody has to query say what they are too. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const comment of COMMENTS) await sql.raw(comment).execute(db);
}
