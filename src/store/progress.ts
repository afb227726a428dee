import type pg from 'pg';
import { LogkeepError } from '../errors.ts';
import { escapeText } from '../escape.ts';
import type { JobKind, Ms, Span, Spans } from '../model.ts';
import type { Meter, Quota, Stream } from '../sources/source.ts';
import type {
  Batch,
  BatchContent,
  Lease,
  Ledger,
  Next,
  Outcome,
  Pace,
  Progress,
  Stored,
} from '../sync/ledger.ts';
import { BatchStore } from './batches.ts';
import { inTransaction, retried } from './connection.ts';
import { isoTime, multirangeText } from './coverage.ts';
import { asDatabaseError, naming, type Store } from './database.ts';
import type { Partitions } from './partitions.ts';
import { CLOSE_DEAD_RUNS, endRun, recordSpent } from './runs.ts';
import {
  firstHolder,
  insertWindows,
  type JobKey,
  LEASE_MS,
  leaseFree,
  lockProgress,
  removeWindow,
  UNTOUCHED,
} from './windows.ts';

/** SQL of the time: the later of what this machine and the API's last answer say. */
const TIME = `greatest($7::timestamptz, s.read_at)`;
/** SQL of where what is asked for begins, by that time. */
const BEGINNING = `coalesce(date_trunc('second', ${TIME} - ($7 - $4::timestamptz)), excluded.asked_from)`;

/** $3: where it begins by an answer; $4: which came behind our clock; $5: how far back the setting asks for. */
const MOVE_BEGINNING = `update logkeep.stream s set asked_from = case
    when $4 then least(asked_from, greatest($3, date_trunc('second', read_at - $5::interval)))
    when ${UNTOUCHED} then greatest(asked_from, $3) else least(asked_from, $3) end
  where stream = $1 and fingerprint = $2`;

/** A first answer that comes as soon as this, by the API's clock, leaves the beginning where it is. */
const PROMPT_MS = 5_000;

/** Whose ledger, and how far back it is to go. */
export interface LedgerOptions {
  readonly store: Store;
  readonly partitions: Partitions;
  readonly stream: Stream;
  readonly askedFrom: Ms;
  /** True: `askedFrom` is a length back from now, so a clock that is wrong for a while must not make it earlier. */
  readonly rolling?: boolean;
  readonly retentionMs: number;
  readonly nowMs: Ms;
  readonly overlapMs: number;
  readonly job: JobKind;
  /** The age from which on what is read and found unchanged becomes settled; null: what is read settles nothing. */
  readonly settlesAfterMs?: number | null;
  /** Who we are, for others to read: `host:pid:random`. */
  readonly holder: string;
}

/**
 * Opens the ledger of one stream: its row is made or brought up to date (the fingerprint in force, the earliest
 * time asked for, what can be read after all: because the retention is longer now, or because an answer with a wrong
 * Date declared it lost), runs of dead processes are closed, and a run of ours begins. Until something is stored, a
 * sync whose beginning is so long before now moves the one on record along: nothing is lost of what was never begun.
 */
export async function openLedger(options: LedgerOptions): Promise<Ledger> {
  const { stream, store } = options;
  const key = [stream.id, stream.fingerprint];
  let begun: string | null = null;
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
          asked_from = case when $8 and ${UNTOUCHED} then ${BEGINNING} else least(s.asked_from, ${BEGINNING}) end,
          expired = s.expired - tstzmultirange(tstzrange($6, null))`,
          [
            ...key,
            stream.source,
            isoTime(options.askedFrom),
            `${options.retentionMs} ms`,
            isoTime(options.nowMs - options.retentionMs),
            options.rolling === true ? isoTime(options.nowMs) : null,
            options.rolling === true && options.job === 'sync',
          ],
        );
        await client.query(`${CLOSE_DEAD_RUNS} and stream = $1`, [stream.id]);
        // The answer to the COMMIT of a try before this one may have been lost.
        const known = 'select from logkeep.run where id = $1';
        if (begun !== null && (await client.query(known, [begun])).rowCount === 1) return begun;
        const { rows } = await client.query<{ id: string }>(
          'insert into logkeep.run (stream, fingerprint, job, holder) values ($1, $2, $3, $4) returning id',
          [...key, options.job, options.holder],
        );
        begun = (rows[0] as { id: string }).id;
        return begun;
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
  /** How far back the setting asks for. */
  readonly #reachMs: number;
  readonly #runId: string;
  readonly #noted = new Set<string>();
  readonly #batches: BatchStore;
  #askedFrom: Ms = Number.NEGATIVE_INFINITY;
  #begun: Promise<void> | null = null;

  constructor(options: LedgerOptions, runId: string) {
    this.#options = options;
    this.#reachMs = options.nowMs - options.askedFrom;
    this.#runId = runId;
    this.#batches = new BatchStore({ ...options, pool: options.store.pool, runId });
  }

  next(plan: (progress: Progress) => Spans, see?: (progress: Progress) => void): Promise<Next> {
    const { stream, overlapMs, holder } = this.#options;
    const key = this.#jobKey;
    const counting = { ...stream.tables.entries, overlapMs, pageSize: stream.pageSize };
    return this.#repeat('plan windows', () =>
      inTransaction(this.#pool, async (client) => {
        const progress = await lockProgress(client, key, counting);
        this.#askedFrom = progress.askedFrom;
        see?.(progress);
        const free = await leaseFree(client, key, holder);
        if (free !== null) return free;
        await insertWindows(client, key, plan(progress));
        return (
          (await leaseFree(client, key, holder)) ??
          (await firstHolder(client, key)) ?? { status: 'caught-up' }
        );
      }),
    );
  }

  openBatch(): BatchContent {
    return this.#batches.open();
  }

  async commit(lease: Lease, batch: Batch): Promise<Stored> {
    this.#begun ??= this.#begin(batch.chainAt);
    await this.#begun;
    return this.#batches.commit(lease, batch);
  }

  /**
   * Before a run stores anything: a beginning that is a length of time counts from when the API answered, where our
   * clock was behind or ahead, or we waited. Of a first run, what lies further back was never asked for, and must not
   * become expired; of a later one, what an answer with a wrong Date made of the beginning is put right. An answer from
   * before the last one has a wrong Date itself.
   */
  async #begin(answeredMs: Ms): Promise<void> {
    const { nowMs } = this.#options;
    const isAhead = nowMs - answeredMs >= PROMPT_MS;
    const begins = this.#beginsAt(isAhead ? answeredMs : Math.max(answeredMs, nowMs));
    const late = answeredMs - nowMs >= PROMPT_MS;
    if (begins === null || !(late || begins < this.#askedFrom)) return;
    await this.#repeat('move the beginning', () =>
      this.#pool.query(MOVE_BEGINNING, [...this.#key, isoTime(begins), isAhead, `${this.#reachMs} ms`]),
    );
  }

  /** Where what is asked for begins by this time; null: where the setting says, or not ours to say. */
  #beginsAt(nowMs: Ms): Ms | null {
    const { rolling, job } = this.#options;
    return rolling === true && job === 'sync' ? Math.floor((nowMs - this.#reachMs) / 1000) * 1000 : null;
  }

  replan(lease: Lease, rest: Spans, oversize: Span | null): Promise<void> {
    const { id, fingerprint } = this.#options.stream;
    return this.#repeat('plan the rest of a window anew', () =>
      inTransaction(this.#pool, async (client) => {
        await client.query(
          // It may have come late, into time that was covered, and that no claim would take out of "young" any more.
          `update logkeep.stream set oversize = oversize + $3::tstzmultirange,
            covered = covered - $3, young = young - $3, settled = settled - $3
          where stream = $1 and fingerprint = $2`,
          [id, fingerprint, multirangeText(oversize === null ? [] : [oversize])],
        );
        const fresh = await removeWindow(client, lease);
        if (fresh === null) {
          throw new LogkeepError(
            'lease',
            `${id}: window ${lease.windowId} is not ours any more under fence ${lease.fence}`,
          );
        }
        await insertWindows(client, this.#jobKey, rest, fresh);
      }),
    );
  }

  retract(nowMs: Ms): Promise<void> {
    const { retentionMs } = this.#options;
    const begins = this.#beginsAt(nowMs);
    return this.#repeat('take a claim of the future back', async () => {
      // From where the first of those runs began to read; where none is on record any more, from all that can be read again.
      await this.#pool.query(
        `update logkeep.stream s set covered = covered - doubtful, settled = settled - doubtful, young = young - doubtful, read_at = $3,
          asked_from = least(asked_from, $5::timestamptz)
        from (select tstzmultirange(tstzrange(coalesce(min(window_from), $4), null)) as doubtful from logkeep.run
          where stream = $1 and fingerprint = $2 and window_to > $3) r
        where stream = $1 and fingerprint = $2`,
        [
          ...this.#key,
          isoTime(nowMs),
          isoTime(nowMs - retentionMs),
          begins === null ? null : isoTime(begins),
        ],
      );
    });
  }

  renew(lease: Lease): Promise<boolean> {
    return this.#repeat('renew a lease', async () => {
      const { rowCount } = await this.#pool.query(
        `with alive as (update logkeep.run set alive_until = clock_timestamp() + interval '30 s' where id = $3)
        update logkeep.sync_window set lease_until = clock_timestamp() + $4::interval
        where id = $1 and fence = $2 and holder is not null`,
        [lease.windowId, lease.fence, this.#runId, `${LEASE_MS} ms`],
      );
      return rowCount === 1;
    });
  }

  async release(lease: Lease, once = false): Promise<void> {
    const work = () =>
      this.#pool.query(
        'update logkeep.sync_window set lease_until = null, holder = null where id = $1 and fence = $2',
        [lease.windowId, lease.fence],
      );
    await (once ? this.#named('release a lease', work) : this.#repeat('release a lease', work));
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

  async spend(meter: Meter, quota: Quota, skewMs: number | null, pace: Pace): Promise<void> {
    await this.#repeat('record what was spent', () =>
      recordSpent(this.#pool, this.#runId, this.#key, { meter, quota, skewMs, pace }),
    );
  }

  async end(outcome: Outcome, error: Error | null): Promise<void> {
    await this.#repeat('end the run', () => endRun(this.#pool, this.#runId, outcome, error));
  }

  get #pool(): pg.Pool {
    return this.#options.store.pool;
  }

  get #key(): readonly [string, string] {
    return [this.#options.stream.id, this.#options.stream.fingerprint];
  }

  get #jobKey(): JobKey {
    const { stream, job } = this.#options;
    return { id: stream.id, fingerprint: stream.fingerprint, job };
  }

  #repeat<T>(doing: string, work: () => Promise<T>): Promise<T> {
    return this.#named(doing, () => retried(work));
  }

  #named<T>(doing: string, work: () => Promise<T>): Promise<T> {
    return naming(`${this.#options.stream.id}: ${doing}`, work);
  }
}
