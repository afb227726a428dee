import pg from 'pg';
import { LogkeepError } from '../errors.ts';
import { escapeText, needsEscape } from '../escape.ts';
import type { Ms, Span, Spans } from '../model.ts';
import type { Meter, Quota, Stream } from '../sources/source.ts';
import type { Batch, BatchContent, Lease, Ledger, Next, Outcome, Progress, Stored } from '../sync/ledger.ts';
import { inTransaction, retried, withClient } from './connection.ts';
import { StageBuffer } from './copy.ts';
import { isoTime, multirangeText } from './coverage.ts';
import { asDatabaseError, mayPass, type Store } from './database.ts';
import { ensurePartitions, loadBatch, loadLock, sealBatch } from './loader.ts';
import type { Partitions } from './partitions.ts';
import { StagedBatch } from './staging.ts';
import { firstHolder, insertWindows, LEASE_MS, leaseFree, lockProgress, removeWindow } from './windows.ts';

const COMMIT_TRIES = 5;

/** Whose ledger, and how far back it is to go. */
export interface LedgerOptions {
  readonly store: Store;
  readonly partitions: Partitions;
  readonly stream: Stream;
  readonly askedFrom: Ms;
  readonly retentionMs: number;
  readonly nowMs: Ms;
  readonly overlapMs: number;
  readonly job: string;
  /** Who we are, for others to read: `host:pid:random`. */
  readonly holder: string;
}

/**
 * Opens the ledger of one stream: its row is made or brought up to date (the fingerprint in force, the earliest
 * time asked for, what a longer retention makes readable again), runs of dead processes are closed, and a run of ours begins.
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { stream, store } = options;
  const key = [stream.id, stream.fingerprint];
  try {
    const runId = await retried(() =>
      inTransaction(store.pool, async (client) => {
        await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [
          `logkeep:stream:${stream.id}`,
        ]);
        await client.query(
          'update logkeep.stream set active = false where stream = $1 and fingerprint <> $2 and active',
          key,
        );
        await client.query(
          `insert into logkeep.stream as s (stream, fingerprint, source, asked_from, retention)
        values ($1, $2, $3, date_trunc('second', $4::timestamptz), $5)
        on conflict (stream, fingerprint) do update set active = true, retention = excluded.retention,
          asked_from = least(s.asked_from, excluded.asked_from),
          expired = s.expired - tstzmultirange(tstzrange($6, null))`,
          [
            ...key,
            stream.source,
            isoTime(options.askedFrom),
            `${options.retentionMs} ms`,
            isoTime(options.nowMs - options.retentionMs),
          ],
        );
        await client.query(
          `update logkeep.run set outcome = 'crashed', finished_at = alive_until, error = 'the process ended without a word'
        where stream = $1 and outcome = 'running' and alive_until < clock_timestamp()`,
          [stream.id],
        );
        const { rows } = await client.query<{ id: string }>(
          'insert into logkeep.run (stream, fingerprint, job, holder) values ($1, $2, $3, $4) returning id',
          [...key, options.job, options.holder],
        );
        return (rows[0] as { id: string }).id;
      }),
    );
    return new PostgresLedger(options, runId);
  } catch (error) {
    throw asDatabaseError(`${stream.id}: open the ledger`, error);
  }
}

/** Every call but `commit` is safe to repeat, and is repeated while a new connection may cure what failed. */
class PostgresLedger implements Ledger {
  readonly #options: LedgerOptions;
  readonly #runId: string;
  readonly #noted = new Set<string>();
  /** Buffers of batches that are stored: they have grown to what a batch needs. */
  readonly #spare: (readonly StageBuffer[])[] = [];
  #batches = 0;

  constructor(options: LedgerOptions, runId: string) {
    this.#options = options;
    this.#runId = runId;
  }

  next(plan: (progress: Progress) => Spans): Promise<Next> {
    const { stream, overlapMs, holder } = this.#options;
    const counting = { ...stream.tables.entries, overlapMs, pageSize: stream.pageSize };
    return this.#repeat('plan windows', () =>
      inTransaction(this.#pool, async (client) => {
        const progress = await lockProgress(client, stream, counting);
        const free = await leaseFree(client, stream, holder);
        if (free !== null) return free;
        await insertWindows(client, stream, plan(progress));
        return (
          (await leaseFree(client, stream, holder)) ??
          (await firstHolder(client, stream)) ?? { status: 'caught-up' }
        );
      }),
    );
  }

  openBatch(): BatchContent {
    const { tables } = this.#options.stream;
    const buffers = this.#spare.pop() ?? tables.stages.map((stage) => new StageBuffer(stage));
    return new StagedBatch(tables, buffers);
  }

  async commit(lease: Lease, batch: Batch): Promise<Stored> {
    const { stream, partitions } = this.#options;
    const content = batch.content as StagedBatch;
    const prepared = sealBatch(content);
    const number = this.#batches + 1;
    const target = {
      stream: stream.id,
      runId: this.#runId,
      record: { checkpoint: this.#checkpoint(lease, batch, number) },
    };
    await this.#repeat('make partitions', () => ensurePartitions(partitions, stream.tables, prepared));
    const fresh = await this.#named(`commit a batch of ${prepared.fetched} entries`, async () => {
      for (let tries = 1; ; tries++) {
        try {
          return await withClient(this.#pool, (client) => loadBatch(client, stream.tables, prepared, target));
        } catch (error) {
          if (!mayPass(error)) throw error;
          const settled = await retried(() => this.#settle(number));
          if (settled !== null) return settled;
          if (tries === COMMIT_TRIES) throw error;
        }
      }
    });
    this.#batches = number;
    for (const buffer of content.buffers) buffer.clear();
    this.#spare.push(content.buffers);
    const quarantined = prepared.rejects.length;
    return {
      fetched: prepared.fetched,
      fresh,
      quarantined,
      known: prepared.fetched - fresh - quarantined,
    };
  }

  replan(lease: Lease, rest: Spans, oversize: Span | null): Promise<void> {
    const { id, fingerprint } = this.#options.stream;
    return this.#repeat('plan the rest of a window anew', () =>
      inTransaction(this.#pool, async (client) => {
        await client.query(
          'update logkeep.stream set oversize = oversize + $3::tstzmultirange where stream = $1 and fingerprint = $2',
          [id, fingerprint, multirangeText(oversize === null ? [] : [oversize])],
        );
        if (!(await removeWindow(client, lease))) {
          throw new LogkeepError(
            'lease',
            `${id}: window ${lease.windowId} is not ours any more under fence ${lease.fence}`,
          );
        }
        await insertWindows(client, this.#options.stream, rest);
      }),
    );
  }

  renew(lease: Lease): Promise<boolean> {
    return this.#repeat('renew a lease', async () => {
      const { rowCount } = await this.#pool.query(
        `with alive as (update logkeep.run set alive_until = clock_timestamp() + interval '30 s' where id = $3)
        update logkeep.sync_window set lease_until = clock_timestamp() + $4::interval where id = $1 and fence = $2`,
        [lease.windowId, lease.fence, this.#runId, `${LEASE_MS} ms`],
      );
      return rowCount === 1;
    });
  }

  async release(lease: Lease): Promise<void> {
    await this.#repeat('release a lease', () =>
      this.#pool.query(
        'update logkeep.sync_window set lease_until = null, holder = null where id = $1 and fence = $2',
        [lease.windowId, lease.fence],
      ),
    );
  }

  async note(names: readonly string[]): Promise<void> {
    const fresh = names.filter((name) => !this.#noted.has(name));
    if (fresh.length === 0) return;
    await this.#repeat('note unknown names', () =>
      this.#pool.query(
        'insert into logkeep.unknown_name (stream, name) select $1, unnest($2::text[]) on conflict do nothing',
        [this.#options.stream.id, fresh.map(escapeText)],
      ),
    );
    for (const name of fresh) this.#noted.add(name);
  }

  async spend(meter: Meter, quota: Quota, skewMs: number | null): Promise<void> {
    const { requests, retries, waits, waitMs, bytes } = meter;
    await this.#repeat('record what was spent', () =>
      this.#pool.query(
        `with spent as (update logkeep.run set requests = $3, retries = $4, waits = $5, wait_ms = $6, bytes = $7,
            alive_until = clock_timestamp() + interval '30 s' where id = $8)
        update logkeep.stream set quota_limit = coalesce($9, quota_limit), quota_remaining = coalesce($10, quota_remaining),
          quota_reset_at = coalesce($11, quota_reset_at), api_skew = coalesce($12::interval, api_skew)
        where stream = $1 and fingerprint = $2`,
        [
          ...this.#key,
          requests,
          retries,
          waits,
          Math.round(waitMs),
          bytes,
          this.#runId,
          wholeOrNull(quota.limit),
          wholeOrNull(quota.remaining),
          quota.resetMs === null ? null : isoTime(quota.resetMs),
          skewMs === null ? null : `${Math.round(skewMs)} ms`,
        ],
      ),
    );
  }

  async end(outcome: Outcome, error: string | null): Promise<void> {
    await this.#repeat('end the run', () =>
      this.#pool.query(
        'update logkeep.run set outcome = $2, error = $3, finished_at = clock_timestamp() where id = $1',
        [this.#runId, outcome, error],
      ),
    );
  }

  get #pool(): pg.Pool {
    return this.#options.store.pool;
  }

  get #key(): readonly [string, string] {
    return [this.#options.stream.id, this.#options.stream.fingerprint];
  }

  /** Arguments of `logkeep.checkpoint` up to `p_done`. */
  #checkpoint(lease: Lease, batch: Batch, number: number): string {
    const time = (ms: Ms | null) => (ms === null ? 'null' : `'${isoTime(ms)}'::timestamptz`);
    // A cursor that Postgres cannot hold is given up: that costs a re-read after an interruption, and only then.
    const cursor = batch.cursor === null || needsEscape(batch.cursor) ? null : batch.cursor;
    return [
      lease.windowId,
      lease.fence,
      number,
      this.#runId,
      batch.pages,
      cursor === null ? 'null' : pg.escapeLiteral(cursor),
      cursor === null ? 'null' : 'clock_timestamp()',
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
  #settle(number: number): Promise<number | null> {
    return inTransaction(this.#pool, async (client) => {
      await client.query(loadLock(this.#options.stream.id));
      const { rows } = await client.query<{ batches: number; last_new: number }>(
        'select batches, last_new from logkeep.run where id = $1',
        [this.#runId],
      );
      return rows[0]?.batches === number ? rows[0].last_new : null;
    });
  }

  #repeat<T>(doing: string, work: () => Promise<T>): Promise<T> {
    return this.#named(doing, () => retried(work));
  }

  async #named<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw asDatabaseError(`${this.#options.stream.id}: ${doing}`, error);
    }
  }
}

/** A count as the column can hold it: headers may say anything. */
function wholeOrNull(count: number | null): number | null {
  return count === null ? null : Math.min(Math.floor(count), 2_147_483_647);
}
