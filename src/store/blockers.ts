import type pg from 'pg';
import type { Ms } from '../model.ts';

const MOST_NAMED = 5;
/** SQL of the key of the advisory lock that whoever migrates has. */
export const MIGRATING_KEY = '1819240299, 1';

/**
 * Who has had locks on logkeep's tables, or has been migrating them, for `sinceMs` or longer, for people: `pid 4711
 * (psql of postgres, idle in transaction for 12 s)`. Of other roles' sessions a role without `pg_read_all_stats` sees
 * only who they are.
 */
export async function nameBlockers(pool: pg.Pool, sinceMs: Ms): Promise<string> {
  const { rows } = await pool.query<Blocker>(
    `select pid, usename as role, application_name as application, state,
      extract(epoch from clock_timestamp() - xact_start)::integer as seconds
    from pg_stat_activity
    where pid in (select l.pid from pg_locks l left join pg_class c on c.oid = l.relation
        join pg_database d on d.oid = l.database and d.datname = current_database()
        where l.granted and (c.relnamespace = to_regnamespace('logkeep')
          or l.locktype = 'advisory' and (l.classid, l.objid) = (${MIGRATING_KEY})))
      and pid <> pg_backend_pid() and coalesce(xact_start <= clock_timestamp() - $1 * interval '1 ms', true)
    order by xact_start limit ${MOST_NAMED}`,
    [sinceMs],
  );
  return rows.map(blockerText).join(', ') || 'a transaction that has ended since, or a prepared one';
}

interface Blocker {
  readonly pid: number;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  readonly seconds: number | null;
}

function blockerText({ pid, role, application, state, seconds }: Blocker): string {
  const who = [application || null, role === null ? null : `of ${role}`].filter((word) => word !== null);
  const what = state === null ? [] : [`${state}${seconds === null ? '' : ` for ${seconds} s`}`];
  return `pid ${pid} (${[who.join(' '), ...what].join(', ')})`;
}
