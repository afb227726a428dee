import { type Kysely, sql } from 'kysely';

/** A message is found by its id alone: the id comes first in the key. */
export async function up(db: Kysely<unknown>): Promise<void> {
  await sql`alter table logkeep.qstash_message
    drop constraint qstash_message_pkey,
    add constraint qstash_message_pkey primary key (message_id, stream)`.execute(db);
}
