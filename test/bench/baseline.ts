import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Span } from '../../src/model.ts';
import { beChild, childTask } from './child.ts';
import { type Effort, startEffort } from './effort.ts';
import type { SourceName } from './pages.ts';
import { partitionDdl, WIDE } from './wide.ts';

/** What most would write first: fetch, zod, and Kysely's `values()` of 1000 rows into one wide table. */
export interface BaselineTask {
  readonly source: SourceName;
  readonly api: string;
  readonly database: string;
  readonly span: Span;
}

/** What came of it. */
export interface Baseline extends Effort {
  readonly fetched: number;
  readonly stored: number;
}

const ROWS_A_STATEMENT = 1000;

const task = childTask<BaselineTask>();
const wide = WIDE[task.source];
const pool = new pg.Pool({ connectionString: task.database });
const db = new Kysely<Record<string, Record<string, unknown>>>({
  dialect: new PostgresDialect({ pool }),
}).withSchema('logkeep');
for (const statement of [
  'create schema if not exists logkeep',
  ...wide.ddl,
  ...partitionDdl(wide, task.span),
]) {
  await pool.query(statement);
}

await beChild('ready', async (): Promise<Baseline> => {
  const effort = startEffort();
  let rows: Record<string, unknown>[] = [];
  let fetched = 0;
  for (let cursor: string | null = ''; cursor !== null; ) {
    const response = await fetch(wide.request(task.api, task.span, cursor));
    if (response.status !== 200) throw new Error(`status ${response.status}: ${await response.text()}`);
    // Postgres refuses NUL, and entries hold it: whoever writes this for long takes it out.
    const page = wide.read(JSON.parse((await response.text()).replaceAll('\\u0000', '')));
    rows.push(...page.rows);
    fetched += page.rows.length;
    cursor = page.next;
    if (rows.length >= ROWS_A_STATEMENT || cursor === null) {
      await db
        .insertInto(wide.table)
        .values(rows)
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      rows = [];
    }
  }
  const spent = effort();
  const { rows: counted } = await pool.query(`select count(*)::integer as n from logkeep.${wide.table}`);
  return { ...spent, fetched, stored: counted[0].n };
});
await db.destroy();
