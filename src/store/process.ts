import { type Kysely, sql } from 'kysely';
import type { Ms } from '../model.ts';
import { naming } from './database.ts';
import type { Database } from './schema.ts';

/** A process of `logkeep serve` that gives signs of life. */
export interface ProcessStatus {
  readonly holder: string;
  readonly version: string;
  readonly sinceMs: Ms;
}

/** Says that `holder` lives for `aliveMs` more, and forgets those that died more than a day ago. Throws `database`. */
export function beatProcess(
  db: Kysely<Database>,
  {
    holder,
    version,
    aliveMs,
  }: { readonly holder: string; readonly version: string; readonly aliveMs: number },
): Promise<void> {
  return naming('record that this process is alive', async () => {
    await sql`with gone as (delete from logkeep.process where alive_until < clock_timestamp() - interval '1 d')
      insert into logkeep.process (holder, version, alive_until)
      values (${holder}, ${version}, clock_timestamp() + ${`${aliveMs} ms`}::interval)
      on conflict (holder) do update set alive_until = excluded.alive_until`.execute(db);
  });
}

/** Takes `holder` off the list: it ends. Throws `database`. */
export function endProcess(db: Kysely<Database>, holder: string): Promise<void> {
  return naming('remove this process from the list', async () => {
    await sql`delete from logkeep.process where holder = ${holder}`.execute(db);
  });
}

/** Processes that live, oldest first. Throws `database`. */
export function readProcesses(db: Kysely<Database>): Promise<readonly ProcessStatus[]> {
  return naming('read the processes', async () => {
    const rows = await db
      .selectFrom('process')
      .select(['holder', 'version', 'started_at'])
      .where('alive_until', '>', sql<Date>`clock_timestamp()`)
      .orderBy('started_at')
      .execute();
    return rows.map(({ holder, version, started_at }) => ({ holder, version, sinceMs: +started_at }));
  });
}
