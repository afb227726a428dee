import type { Store } from './database.ts';
import { asDatabaseError } from './database.ts';
import { CLOSE_DEAD_RUNS } from './runs.ts';

/** Runs taken away in one transaction: a long history must not hold up the streams' rows. */
const MOST_AT_ONCE = 5_000;

/** What a trim did. */
export interface Trimmed {
  readonly runs: number;
  /** Runs of processes that died without reporting, closed now. */
  readonly closed: number;
}

/**
 * Takes runs away that finished more than `keepMs` ago, but the last of each stream and job; their counts of rows
 * move to `stream.trimmed_rows`, so that totals stay. Closes the runs of dead processes. Throws `database`.
 */
export async function trimHistory({ pool }: Store, keepMs: number, signal?: AbortSignal): Promise<Trimmed> {
  try {
    const { rowCount: closed } = await pool.query(CLOSE_DEAD_RUNS);
    let runs = 0;
    for (;;) {
      const { rows } = await pool.query<{ runs: number }>(TRIM, [`${keepMs} ms`, MOST_AT_ONCE]);
      const gone = rows[0]?.runs ?? 0;
      runs += gone;
      if (gone < MOST_AT_ONCE || signal?.aborted === true) return { runs, closed: closed ?? 0 };
    }
  } catch (error) {
    throw asDatabaseError('trim the history of runs', error);
  }
}

const TRIM = `
  with old as (
    select id from logkeep.run r
    where outcome <> 'running' and finished_at < clock_timestamp() - $1::interval
      and id < (select max(id) from logkeep.run n where n.stream = r.stream and n.job = r.job)
    order by id limit $2 for update skip locked),
  gone as (delete from logkeep.run r using old where r.id = old.id returning r.stream, r.fingerprint, r.new),
  counted as (select stream, fingerprint, sum(new) as rows from gone group by 1, 2),
  kept as (
    update logkeep.stream s set trimmed_rows = s.trimmed_rows + counted.rows
    from counted where s.stream = counted.stream and s.fingerprint = counted.fingerprint and counted.rows > 0
    returning 1)
  select (select count(*) from gone)::integer as runs, (select count(*) from kept) as streams`;
