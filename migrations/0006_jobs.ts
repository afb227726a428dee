import { type Kysely, sql } from 'kysely';

/** What the scheduler needs of the tables: totals that outlive the history they were counted from. */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const statement of STATEMENTS) await sql.raw(statement).execute(db);
}

const STATEMENTS = [
  `alter table logkeep.stream add column trimmed_rows bigint not null default 0`,
  `comment on column logkeep.stream.trimmed_rows is
    'Rows stored by runs that are no longer kept: with the sum of logkeep.run.new all rows ever stored.'`,
];
