import { sql } from 'kysely';
import pg from 'pg';
import { LogkeepError } from '../errors.ts';
import type { Cursor, Ms, Span, Spans } from '../model.ts';
import type { Meter, Quota, Stream } from '../sources/source.ts';
import type { Batch, Lease, Ledger, Next, Outcome, Progress, Stored } from '../sync/ledger.ts';
import { isoTime, multirangeText, parseSpans, spansColumn } from './coverage.ts';
import { asDatabaseError, mayPass, type Store } from './database.ts';
import { ensurePartitions, loadBatch, type Prepared, prepareBatch } from './loader.ts';
import type { Partitions } from './partitions.ts';

/** How long a lease holds without being renewed, by the database's clock. */
export const LEASE_MS = 10_000;
const COMMIT_TRIES = 5;

export interface LedgerOptions {
  readonly store: Store;
  readonly partitions: Partitions;
  readonly stream: Stream;
  readonly askedFrom: Ms;
  readonly retentionMs: number;
  readonly overlapMs: number;
  readonly job: string;
  /** Who we are, for others to read: `host:pid:random`. */
  readonly holder: string;
}

/**
 * Opens the ledger of one stream: its row is made or brought up to date (the fingerprint in force, the earliest
 * time asked for), runs of dead processes are closed, and a run of ours begins.
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { stream } = options;
  const { id: name, fingerprint } = stream;
  try {
    const runId = await options.store.db.transaction().execute(async (tx) => {
      await sql`select pg_advisory_xact_lock(hashtextextended(${`logkeep:stream:${name}`}, 0))`.execute(tx);
      await tx
        .updateTable('stream')
        .set({ active: false })
        .where('stream', '=', name)
        .where('fingerprint', '<>', fingerprint)
        .where('active', '=', true)
        .execute();
      const retention = `${options.retentionMs} ms`;
      await tx
        .insertInto('stream')
        .values({
          stream: name,
          fingerprint,
          source: stream.source,
          asked_from: isoTime(options.askedFrom),
          retention,
        })
        .onConflict((conflict) =>
          conflict.columns(['stream', 'fingerprint']).doUpdateSet({
            active: true,
            retention,
            asked_from: sql`least(logkeep.stream.asked_from, excluded.asked_from)`,
          }),
        )
        .execute();
      await tx
        .updateTable('run')
        .set({ outcome: 'crashed', finished_at: sql`alive_until`, error: 'the process ended without a word' })
        .where('stream', '=', name)
        .where('outcome', '=', 'running')
        .where('alive_until', '<', sql<Date>`clock_timestamp()`)
        .execute();
      const run = await tx
        .insertInto('run')
        .values({ stream: name, fingerprint, job: options.job, holder: options.holder })
        .returning('id')
        .executeTakeFirstOrThrow();
      return run.id;
    });
    return new PostgresLedger(options, runId);
  } catch (error) {
    throw asDatabaseError(`${name}: open the ledger`, error);
  }
}

class PostgresLedger implements Ledger {
  readonly #options: LedgerOptions;
  readonly #runId: string;
  readonly #spent = { requests: 0, retries: 0, waits: 0, waitMs: 0, bytes: 0 };
  readonly #noted = new Set<string>();
  #batches = 0;

  constructor(options: LedgerOptions, runId: string) {
    this.#options = options;
    this.#runId = runId;
  }

  async next(plan: (progress: Progress) => Spans): Promise<Next> {
    return this.#guarded('plan windows', () =>
      this.#transaction(async (client) => {
        const progress = await this.#progress(client);
        return (
          (await this.#leaseOpen(client)) ??
          (await this.#leasePlanned(client, plan(progress))) ??
          (await this.#held(client)) ?? { status: 'caught-up' }
        );
      }),
    );
  }

  async commit(lease: Lease, batch: Batch): Promise<Stored> {
    const { stream, store, partitions } = this.#options;
    const prepared = prepareBatch(stream.tables, batch.rows, batch.rejects);
    return this.#guarded(`commit a batch of ${prepared.fetched} entries`, async () => {
      await ensurePartitions(partitions, stream.tables, prepared);
      const number = this.#batches + 1;
      const target = {
        stream: stream.id,
        runId: this.#runId,
        checkpoint: this.#checkpoint(lease, batch, number),
      };
      for (let tries = 1; ; tries++) {
        try {
          const fresh = await withClient(store.pool, (client) =>
            loadBatch(client, stream.tables, prepared, target),
          );
          this.#batches = number;
          return counts(prepared, fresh);
        } catch (error) {
          if (!mayPass(error)) throw error;
          const fresh = await this.#settle(number);
          if (fresh !== null) {
            this.#batches = number;
            return counts(prepared, fresh);
          }
          if (tries === COMMIT_TRIES) throw error;
        }
      }
    });
  }

  async replan(lease: Lease, rest: Spans, oversize: Span | null): Promise<void> {
    const { id, fingerprint } = this.#options.stream;
    await this.#guarded('plan the rest of a window anew', () =>
      this.#transaction(async (client) => {
        await this.#lockStream(client);
        const gone = await client.query('delete from logkeep.sync_window where id = $1 and fence = $2', [
          lease.windowId,
          lease.fence,
        ]);
        if (gone.rowCount !== 1) throw leaseLost(id, lease);
        await this.#insertWindows(client, rest);
        if (oversize !== null) {
          await client.query(
            'update logkeep.stream set oversize = oversize + $3::tstzmultirange where stream = $1 and fingerprint = $2',
            [id, fingerprint, multirangeText([oversize])],
          );
        }
      }),
    );
  }

  async renew(lease: Lease): Promise<boolean> {
    return this.#guarded('renew a lease', async () => {
      const { rowCount } = await this.#options.store.pool.query(
        `with alive as (update logkeep.run set alive_until = clock_timestamp() + interval '30 s' where id = $3)
        update logkeep.sync_window set lease_until = clock_timestamp() + $4::interval where id = $1 and fence = $2`,
        [lease.windowId, lease.fence, this.#runId, `${LEASE_MS} ms`],
      );
      return rowCount === 1;
    });
  }

  async release(lease: Lease): Promise<void> {
    await this.#guarded('release a lease', () =>
      this.#options.store.pool.query(
        'update logkeep.sync_window set lease_until = null, holder = null where id = $1 and fence = $2',
        [lease.windowId, lease.fence],
      ),
    );
  }

  async note(names: readonly string[]): Promise<void> {
    const fresh = names.filter((name) => !this.#noted.has(name));
    if (fresh.length === 0) return;
    await this.#guarded('note unknown names', () =>
      this.#options.store.pool.query(
        'insert into logkeep.unknown_name (stream, name) select $1, unnest($2::text[]) on conflict do nothing',
        [this.#options.stream.id, fresh],
      ),
    );
    for (const name of fresh) this.#noted.add(name);
  }

  async spend(meter: Meter, quota: Quota, skewMs: number | null): Promise<void> {
    const before = { ...this.#spent };
    Object.assign(this.#spent, meter);
    await this.#guarded('record what was spent', () =>
      this.#options.store.pool.query(
        `with spent as (update logkeep.run set requests = requests + $3, retries = retries + $4, waits = waits + $5,
          wait_ms = wait_ms + $6, bytes = bytes + $7, alive_until = clock_timestamp() + interval '30 s' where id = $8)
      update logkeep.stream set quota_limit = coalesce($9, quota_limit), quota_remaining = coalesce($10, quota_remaining),
        quota_reset_at = coalesce($11, quota_reset_at), api_skew = coalesce($12::interval, api_skew)
      where stream = $1 and fingerprint = $2`,
        [
          this.#options.stream.id,
          this.#options.stream.fingerprint,
          meter.requests - before.requests,
          meter.retries - before.retries,
          meter.waits - before.waits,
          Math.round(meter.waitMs - before.waitMs),
          meter.bytes - before.bytes,
          this.#runId,
          quota.limit,
          quota.remaining,
          quota.resetMs === null ? null : isoTime(quota.resetMs),
          skewMs === null ? null : `${Math.round(skewMs)} ms`,
        ],
      ),
    );
  }

  async end(outcome: Outcome, error: string | null): Promise<void> {
    await this.#guarded('end the run', () =>
      this.#options.store.pool.query(
        'update logkeep.run set outcome = $2, error = $3, finished_at = clock_timestamp() where id = $1',
        [this.#runId, outcome, error],
      ),
    );
  }

  /** The stream's progress, read under its lock: whoever plans, plans alone. */
  async #progress(client: pg.PoolClient): Promise<Progress> {
    const { stream, overlapMs } = this.#options;
    const row = await this.#lockStream(client);
    const open = await client.query(
      'select from_time, to_time, done_to from logkeep.sync_window where stream = $1 and fingerprint = $2',
      [stream.id, stream.fingerprint],
    );
    const covered = parseSpans(row.covered);
    const newest = covered.at(-1)?.to ?? null;
    return {
      askedFrom: Math.round(Number(row.asked_from)),
      covered,
      expired: parseSpans(row.expired),
      oversize: parseSpans(row.oversize),
      young: parseSpans(row.young),
      open: open.rows.map((window: { from_time: Date; to_time: Date }) => ({
        from: +window.from_time,
        to: +window.to_time,
      })),
      overlapEntries:
        newest === null ? 0 : await this.#countEntries(client, { from: newest - overlapMs, to: newest }),
    };
  }

  async #lockStream(
    client: pg.PoolClient,
  ): Promise<Record<'asked_from' | 'covered' | 'expired' | 'oversize' | 'young', string>> {
    const { stream } = this.#options;
    const { rows } = await client.query(
      `select extract(epoch from asked_from) * 1000 as asked_from, ${spansColumn('covered')} as covered,
        ${spansColumn('expired')} as expired, ${spansColumn('oversize')} as oversize, ${spansColumn('young')} as young
      from logkeep.stream where stream = $1 and fingerprint = $2 for update`,
      [stream.id, stream.fingerprint],
    );
    return rows[0];
  }

  async #countEntries(client: pg.PoolClient, span: Span): Promise<number> {
    const { stream } = this.#options;
    const { table, time } = stream.tables.entries;
    const { rows } = await client.query(
      `select count(*)::integer as n from (select from logkeep.${table} where stream = $1 and ${time} >= $2 and ${time} < $3 limit $4) e`,
      [stream.id, isoTime(span.from), isoTime(span.to), stream.pageSize + 1],
    );
    return rows[0].n;
  }

  /** `skip locked`: a window whose commit is under way is not free, and waiting for it here could deadlock with it. */
  async #leaseOpen(client: pg.PoolClient): Promise<Next | null> {
    const { stream } = this.#options;
    return this.#lease(
      client,
      await client.query(
        `select id from logkeep.sync_window
      where stream = $1 and fingerprint = $2 and (lease_until is null or lease_until < clock_timestamp())
      order by from_time limit 1 for update skip locked`,
        [stream.id, stream.fingerprint],
      ),
    );
  }

  async #leasePlanned(client: pg.PoolClient, windows: Spans): Promise<Next | null> {
    if (windows.length === 0) return null;
    await this.#insertWindows(client, windows);
    return this.#leaseOpen(client);
  }

  async #lease(client: pg.PoolClient, found: pg.QueryResult<{ id: string }>): Promise<Next | null> {
    const id = found.rows[0]?.id;
    if (id === undefined) return null;
    const { rows } = await client.query(
      `update logkeep.sync_window set fence = fence + 1, holder = $2, lease_until = clock_timestamp() + $3::interval
      where id = $1
      returning id, fence, from_time, to_time, done_to, cursor, chain_at, extract(epoch from clock_timestamp() - cursor_at) * 1000 as cursor_age`,
      [id, this.#options.holder, `${LEASE_MS} ms`],
    );
    const row = rows[0];
    return {
      status: 'leased',
      lease: {
        windowId: row.id,
        fence: row.fence,
        window: { from: +row.from_time, to: +row.to_time },
        doneTo: row.done_to === null ? null : +row.done_to,
        cursor: row.cursor as Cursor | null,
        cursorAgeMs: row.cursor_age === null ? null : Number(row.cursor_age),
        chainAt: row.chain_at === null ? null : +row.chain_at,
      },
    };
  }

  async #held(client: pg.PoolClient): Promise<Next | null> {
    const { stream } = this.#options;
    const { rows } = await client.query(
      `select holder, extract(epoch from lease_until - clock_timestamp()) * 1000 as for_ms from logkeep.sync_window
      where stream = $1 and fingerprint = $2 order by lease_until limit 1`,
      [stream.id, stream.fingerprint],
    );
    if (rows.length === 0) return null;
    return {
      status: 'held',
      by: rows[0].holder ?? 'a process that just let go',
      forMs: Math.max(0, Number(rows[0].for_ms ?? 0)),
    };
  }

  async #insertWindows(client: pg.PoolClient, windows: Spans): Promise<void> {
    const { stream } = this.#options;
    for (const window of windows) {
      await client.query(
        'insert into logkeep.sync_window (stream, fingerprint, from_time, to_time) values ($1, $2, $3, $4)',
        [stream.id, stream.fingerprint, isoTime(window.from), isoTime(window.to)],
      );
    }
  }

  #checkpoint(lease: Lease, batch: Batch, number: number): string {
    const time = (ms: Ms | null) => (ms === null ? 'null' : `'${isoTime(ms)}'::timestamptz`);
    return [
      lease.windowId,
      lease.fence,
      number,
      this.#runId,
      batch.pages,
      batch.cursor === null ? 'null' : pg.escapeLiteral(batch.cursor),
      batch.cursor === null ? 'null' : 'clock_timestamp()',
      time(batch.chainAt),
      time(batch.readAt),
      time(batch.doneTo),
      `'${multirangeText(batch.claim === null ? [] : [batch.claim])}'::tstzmultirange`,
      `'${this.#options.overlapMs} ms'::interval`,
      batch.done,
    ].join(', ');
  }

  /**
   * Whether batch `number` was committed although its answer was lost: how many were new, or null if it was not.
   * The load's own lock is taken first: it is free only when the lost transaction has ended.
   */
  async #settle(number: number): Promise<number | null> {
    const { rows } = await retried(() =>
      this.#transaction(async (client) => {
        await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
          `logkeep:load:${this.#options.stream.id}`,
        ]);
        return client.query('select batches, last_new from logkeep.run where id = $1', [this.#runId]);
      }),
    );
    return rows[0]?.batches === number ? rows[0].last_new : null;
  }

  async #transaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return withClient(this.#options.store.pool, async (client) => {
      await client.query('begin');
      const result = await work(client);
      await client.query('commit');
      return result;
    });
  }

  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asDatabaseError(`${this.#options.stream.id}: ${doing}`, error);
    }
  }
}

function counts(prepared: Prepared, fresh: number): Stored {
  const quarantined = prepared.rejects.length;
  return { fetched: prepared.fetched, fresh, quarantined, known: prepared.fetched - fresh - quarantined };
}

function leaseLost(stream: string, lease: Lease): LogkeepError {
  return new LogkeepError(
    'lease',
    `${stream}: window ${lease.windowId} is not ours any more under fence ${lease.fence}`,
  );
}

/** Runs `work` on a connection of its own; after a failure the transaction is rolled back or the connection thrown away. */
async function withClient<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    return await work(client);
  } catch (error) {
    await client.query('rollback').catch(onError);
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** Tries again over about fifteen seconds: a restart of Postgres takes that long. */
async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (let waitMs = 100; ; waitMs *= 2) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error) || waitMs > 8_000) throw error;
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}
