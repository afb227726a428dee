import type pg from 'pg';
import { LogkeepError } from '../errors.ts';
import type { Cursor, JobKind, Span, Spans } from '../model.ts';
import type { Lease, Next, Progress } from '../sync/ledger.ts';
import { isoTime, parseSpans, spansColumn } from './coverage.ts';

/** How long a lease holds without being renewed, by the database's clock. */
export const LEASE_MS = 10_000;

/** A stream under one set of filters: whose windows are meant. */
export interface StreamKey {
  readonly id: string;
  readonly fingerprint: string;
}

/** Whose windows of a stream are meant: each job leases its own, and none overlaps another's. */
export interface JobKey extends StreamKey {
  readonly job: JobKind;
}

/** A stream's entries as the store may count them. */
export interface Counting {
  readonly table: string;
  readonly time: string;
  readonly overlapMs: number;
  readonly pageSize: number;
}

/**
 * SQL for: nobody reads the window. A lease that ends later than any can was given by a clock that has been set back
 * since; whoever had it may be dead.
 */
export const FREE = `(lease_until is null
  or lease_until not between clock_timestamp() and clock_timestamp() + interval '${2 * LEASE_MS} ms')`;

/**
 * Windows that nobody reads and that make room for those of another job (`$3`): a sweep's, whose time is covered
 * already, for any; a backfill's for the live log, which else would wait for what it owes itself.
 */
const YIELDING = `(job = 'sweep' and $3 <> 'sweep' or job = 'backfill' and $3 = 'sync')`;
const YIELDS = `${YIELDING} and ${FREE}`;

/** SQL for: nothing was ever stored or covered of the stream `s` under its filters; what is asked of it is owed to nobody yet. */
export const UNTOUCHED = `(isempty(s.covered)
  and not exists (select from logkeep.sync_window w where w.stream = s.stream and w.fingerprint = s.fingerprint and w.pages > 0)
  and not exists (select from logkeep.run r where r.stream = s.stream and r.fingerprint = s.fingerprint and r.batches > 0))`;

/** Takes the stream's row lock, under which alone windows are planned and replaced, and reads its progress. */
export async function lockProgress(
  client: pg.PoolClient,
  key: JobKey,
  counting: Counting,
): Promise<Progress> {
  const { rows } = await client.query(
    `select extract(epoch from asked_from) * 1000 as asked_from, ${spansColumn('covered')} as covered,
      ${spansColumn('expired')} as expired, ${spansColumn('oversize')} as oversize, ${spansColumn('young')} as young,
      ${spansColumn('settled')} as settled
    from logkeep.stream where stream = $1 and fingerprint = $2 for update`,
    [key.id, key.fingerprint],
  );
  const open = await client.query<{ from_time: Date; to_time: Date; holder: string | null }>(
    `select from_time, to_time, holder from logkeep.sync_window where stream = $1 and fingerprint = $2 and not (${YIELDS})`,
    [key.id, key.fingerprint, key.job],
  );
  const covered = parseSpans(rows[0].covered);
  const newest = covered.at(-1)?.to;
  return {
    askedFrom: Math.round(Number(rows[0].asked_from)),
    covered,
    expired: parseSpans(rows[0].expired),
    oversize: parseSpans(rows[0].oversize),
    young: parseSpans(rows[0].young),
    settled: parseSpans(rows[0].settled),
    open: open.rows.map(({ from_time, to_time, holder }) => ({
      from: +from_time,
      to: +to_time,
      ...(holder === null ? {} : { holder }),
    })),
    overlapEntries:
      newest === undefined
        ? 0
        : await countEntries(client, key, counting, { from: newest - counting.overlapMs, to: newest }),
  };
}

async function countEntries(
  client: pg.PoolClient,
  key: StreamKey,
  counting: Counting,
  span: Span,
): Promise<number> {
  const { table, time, pageSize } = counting;
  const { rows } = await client.query(
    `select count(*)::integer as entries from
      (select from logkeep.${table} where stream = $1 and ${time} >= $2 and ${time} < $3 limit $4) e`,
    [key.id, isoTime(span.from), isoTime(span.to), pageSize + 1],
  );
  return rows[0].entries;
}

/**
 * Leases the job's oldest window that nobody holds; null if there is none. `skip locked`: a window whose commit is under
 * way is not free, and waiting for it under the stream's lock could deadlock with that commit.
 */
export async function leaseFree(client: pg.PoolClient, key: JobKey, holder: string): Promise<Next | null> {
  const { rows } = await client.query(
    `with free as (
      select id, holder from logkeep.sync_window w
      where stream = $1 and fingerprint = $2 and job = $5 and ${FREE}
      order by to_time <= (select asked_from from logkeep.stream s where s.stream = w.stream and s.fingerprint = w.fingerprint),
        from_time limit 1 for update skip locked)
    update logkeep.sync_window w set fence = fence + 1, holder = $3, lease_until = clock_timestamp() + $4::interval
    from free where w.id = free.id
    returning w.id, fence, from_time, to_time, done_to, cursor, chain_at, free.holder as before,
      (select oversize @> w.to_time from logkeep.stream s where s.stream = w.stream and s.fingerprint = w.fingerprint) as too_long_at_end,
      extract(epoch from clock_timestamp() - cursor_at) * 1000 as cursor_age`,
    [key.id, key.fingerprint, holder, `${LEASE_MS} ms`, key.job],
  );
  const row = rows[0];
  if (row === undefined) return null;
  if (!(row.to_time > row.from_time)) {
    throw new LogkeepError(
      'database',
      `${key.id}: window ${row.id} came as ${row.from_time} to ${row.to_time}: expected two times in ISO's form, one after the other; set DateStyle of the database to ISO`,
    );
  }
  // Who let a lease run out has died, or will find its run taken for dead and say otherwise at its end.
  if (row.before !== null && row.before !== holder) {
    await client.query(
      `update logkeep.run set outcome = 'crashed', finished_at = clock_timestamp(), error = 'another process took its window over'
      where stream = $1 and holder = $2 and job = $3 and outcome = 'running'`,
      [key.id, row.before, key.job],
    );
  }
  return {
    status: 'leased',
    lease: {
      windowId: row.id,
      fence: row.fence,
      window: { from: +row.from_time, to: +row.to_time },
      tooLongAtEnd: row.too_long_at_end,
      doneTo: row.done_to === null ? null : +row.done_to,
      cursor: row.cursor as Cursor | null,
      cursorAgeMs: row.cursor_age === null ? null : Number(row.cursor_age),
      chainAt: row.chain_at === null ? null : +row.chain_at,
    },
  };
}

/** Whose lease ends first; null when no window of the job is open. */
export async function firstHolder(client: pg.PoolClient, key: JobKey): Promise<Next | null> {
  const { rows } = await client.query(
    `select holder, extract(epoch from lease_until - clock_timestamp()) * 1000 as for_ms
    from logkeep.sync_window where stream = $1 and fingerprint = $2 and job = $3 order by lease_until limit 1`,
    [key.id, key.fingerprint, key.job],
  );
  const row = rows[0];
  if (row === undefined) return null;
  return {
    status: 'held',
    by: row.holder ?? 'a process that just let go',
    forMs: Math.max(0, Number(row.for_ms ?? 0)),
  };
}

/**
 * Adds planned windows, free for whoever of the job leases them first, in the place of a sweep's that nobody reads;
 * `fresh`: what was new of them already.
 */
export async function insertWindows(
  client: pg.PoolClient,
  key: JobKey,
  windows: Spans,
  fresh = '0',
): Promise<void> {
  for (const window of windows) {
    // Free when it was planned over: whoever has renewed its lease since then has lost it, lest two windows overlap.
    await client.query(
      `delete from logkeep.sync_window where stream = $1 and fingerprint = $2 and ${YIELDING} and from_time < $5 and to_time > $4`,
      [key.id, key.fingerprint, key.job, isoTime(window.from), isoTime(window.to)],
    );
    await client.query(
      'insert into logkeep.sync_window (stream, fingerprint, job, from_time, to_time, fresh) values ($1, $2, $3, $4, $5, $6)',
      [key.id, key.fingerprint, key.job, isoTime(window.from), isoTime(window.to), fresh],
    );
  }
}

/** Takes a leased window away and tells how much of it was new; null when it is not ours any more. */
export async function removeWindow(client: pg.PoolClient, lease: Lease): Promise<string | null> {
  const { rows } = await client.query<{ fresh: string }>(
    'delete from logkeep.sync_window where id = $1 and fence = $2 returning fresh',
    [lease.windowId, lease.fence],
  );
  return rows[0]?.fresh ?? null;
}
