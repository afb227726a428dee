import type pg from 'pg';
import { DAY_MS } from '../clock.ts';
import { LogkeepError } from '../errors.ts';
import type { Ms } from '../model.ts';
import { inTransaction } from './connection.ts';
import { databaseCode } from './database.ts';

const CHECK_VIOLATION = '23514';
/** Of a partition whose bounds overlap another's. */
const INVALID_OBJECT = '42P17';

/** Makes day partitions before they are needed, outside the loading transaction; each is asked for once a process. */
export class Partitions {
  readonly #pool: pg.Pool;
  readonly #known = new Set<string>();

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  /**
   * Returns when every UTC day that `times` (ms) fall on has a place in `logkeep.<table>`, whoever made it: of a day
   * that others' partitions take in part, what they leave gets one of ours.
   */
  async ensure(table: string, times: Iterable<Ms>): Promise<void> {
    const asked = new Set<number>();
    for (const ms of times) {
      const day = Math.floor(ms / DAY_MS);
      if (!this.#known.has(`${table} ${day}`)) asked.add(day);
    }
    if (asked.size === 0) return;
    const days = [...asked].sort((a, b) => a - b);
    const free = await inTransaction(this.#pool, (client) => readFree(client, table, days));
    const missing = new Set(free.map(({ day }) => day));
    for (const day of days) {
      if (missing.has(day)) await createDay(this.#pool, table, day);
      this.#known.add(`${table} ${day}`);
    }
  }

  /** Forgets which partitions were there: others may drop and detach partitions, or restore an older database. */
  forget(): void {
    this.#known.clear();
  }
}

/** Whether a row found no partition of `table`, which was taken to be there: nothing of the statement was stored. */
export function lacksPartition(error: unknown, tables: readonly string[]): boolean {
  const { code, table, constraint } = error as pg.DatabaseError;
  return code === CHECK_VIOLATION && constraint === undefined && tables.includes(table ?? '');
}

/** A part of a UTC day (days since 1970) that no partition takes; its edges as Postgres reads them. */
interface Free {
  readonly day: number;
  readonly from: string;
  readonly to: string;
}

/**
 * Attaching takes a weaker lock on the parent than `create table ... partition of`: readers and loaders of other
 * days are not held up. The advisory lock lets several processes ask for the same day. One day a transaction: what it
 * locks is let go before the next, however many are asked for.
 */
async function createDay(pool: pg.Pool, table: string, day: number): Promise<void> {
  try {
    await inTransaction(pool, async (client) => {
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
        `logkeep:partition:${table}`,
      ]);
      for (const { from, to } of await readFree(client, table, [day])) {
        const name = await freeName(client, table, day);
        await client.query(
          `create table logkeep.${name} (like logkeep.${table} including defaults including constraints)`,
        );
        await client.query(
          `alter table logkeep.${table} attach partition logkeep.${name} for values from ('${from}') to ('${to}')`,
        );
      }
    });
  } catch (error) {
    const code = databaseCode(error);
    // A default partition has rows of that day already, so none of the day's own can come beside it: it takes them all.
    if (code === CHECK_VIOLATION) return;
    if (code !== INVALID_OBJECT) throw error;
    throw new LogkeepError(
      'database',
      `${table}: a partition of ${dateOf(day)} is being detached, and has its place until that has ended: if it was broken off, end it with \`alter table logkeep.${table} detach partition ... finalize\``,
      { cause: error },
    );
  }
}

/**
 * What of these days no partition of `table` takes. Asked of the partitions' bounds, since a table's name tells
 * nothing: one that was detached keeps it. One that is being detached takes no rows any more.
 */
async function readFree(
  client: pg.PoolClient,
  table: string,
  days: readonly number[],
): Promise<readonly Free[]> {
  // Bounds are printed as the session prints times, which in other styles cannot always be read back.
  await client.query('set local datestyle = iso');
  const { rows } = await client.query<Free>(
    `with bound as (
      select pg_get_expr(c.relpartbound, c.oid) as said
      from pg_inherits i join pg_class c on c.oid = i.inhrelid
      where i.inhparent = to_regclass($1) and not i.inhdetachpending
    ), taken as (
      select coalesce(range_agg(tstzrange(${edge('FROM')}, ${edge('TO')})), '{}'::tstzmultirange) as spans
      from bound where said <> 'DEFAULT'
    )
    select day, ${utc('lower(span)')} as from, ${utc('upper(span)')} as to
    from taken, unnest($2::integer[]) as day,
      lateral (select to_timestamp(day * 86400.0) as start) as d,
      lateral unnest(tstzmultirange(tstzrange(start, start + interval '24 hours')) - spans) as span
    order by 1, 2`,
    [`logkeep.${table}`, days],
  );
  return rows;
}

/** The edge of a bound such as `FOR VALUES FROM ('2026-05-20 00:00:00+00') TO (MAXVALUE)`; null where it has none. */
function edge(side: 'FROM' | 'TO'): string {
  return `substring(said from '${side} \\(''([^'']*)''\\)')::timestamptz`;
}

function utc(time: string): string {
  return `to_char(${time} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
}

/**
 * The first of `table_20260520`, `table_20260520_2` and so on that nothing bears. What bears the name but is no
 * partition was taken out by somebody, who may rely on what is in it and on that staying so: it is left alone.
 */
async function freeName(client: pg.PoolClient, table: string, day: number): Promise<string> {
  const plain = `${table}_${dateOf(day).replaceAll('-', '')}`;
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? plain : `${plain}_${number}`;
    const { rows } = await client.query<{ taken: boolean }>('select to_regclass($1) is not null as taken', [
      `logkeep.${name}`,
    ]);
    if (rows[0]?.taken !== true) return name;
  }
}

function dateOf(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}
