import type pg from 'pg';
import type { Ms } from '../model.ts';
import { inTransaction } from './connection.ts';

const DAY_MS = 86_400_000;

/** Makes day partitions before they are needed, outside the loading transaction; each is asked for once a process. */
export class Partitions {
  readonly #pool: pg.Pool;
  readonly #known = new Set<string>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /** Returns when every UTC day that `times` (ms) fall on has its partition of `logkeep.<table>`. */
  async ensure(table: string, times: Iterable<Ms>): Promise<void> {
    const missing = new Set<number>();
    for (const ms of times) {
      const day = Math.floor(ms / DAY_MS);
      if (!this.#known.has(`${table} ${day}`)) missing.add(day);
    }
    for (const day of [...missing].sort((a, b) => a - b)) {
      await createDay(this.#pool, table, day);
      this.#known.add(`${table} ${day}`);
    }
  }
}

/** Name of the partition of `table` that holds the UTC day of `ms`. */
export function partitionName(table: string, ms: Ms): string {
  return `${table}_${new Date(Math.floor(ms / DAY_MS) * DAY_MS).toISOString().slice(0, 10).replaceAll('-', '')}`;
}

/**
 * Attaching takes a weaker lock on the parent than `create table ... partition of`: readers and loaders of other
 * days are not held up. The advisory lock lets several processes ask for the same day. One day a transaction: what it
 * locks is let go before the next, however many are asked for.
 */
async function createDay(pool: pg.Pool, table: string, day: number): Promise<void> {
  const name = partitionName(table, day * DAY_MS);
  const exists = await pool.query('select 1 from pg_class where oid = to_regclass($1)', [`logkeep.${name}`]);
  if (exists.rowCount !== 0) return;
  const from = new Date(day * DAY_MS).toISOString();
  const to = new Date((day + 1) * DAY_MS).toISOString();
  await inTransaction(pool, async (client) => {
    await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
      `logkeep:partition:${table}`,
    ]);
    const now = await client.query('select 1 from pg_class where oid = to_regclass($1)', [`logkeep.${name}`]);
    if (now.rowCount !== 0) return;
    await client.query(
      `create table logkeep.${name} (like logkeep.${table} including defaults including constraints)`,
    );
    await client.query(
      `alter table logkeep.${table} attach partition logkeep.${name} for values from ('${from}') to ('${to}')`,
    );
  });
}
