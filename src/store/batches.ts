import type pg from 'pg';
import type { Stream } from '../sources/source.ts';
import type { Batch, BatchContent, Lease, Stored } from '../sync/ledger.ts';
import { checkpointArguments } from './checkpoint.ts';
import { inTransaction, retried, withClient } from './connection.ts';
import { StageBuffer } from './copy.ts';
import { mayPass, naming } from './database.ts';
import { KnownGuess } from './guess.ts';
import {
  askKnown,
  ensurePartitions,
  type Known,
  type LoadTarget,
  loadBatch,
  loadLock,
  sealBatch,
  wasKnown,
  whereverPlaced,
} from './loader.ts';
import type { Partitions } from './partitions.ts';
import { StagedBatch } from './staging.ts';

const COMMIT_TRIES = 5;

/** Whose batches, and how they are recorded. */
export interface BatchOptions {
  readonly pool: pg.Pool;
  readonly partitions: Partitions;
  readonly stream: Stream;
  readonly runId: string;
  readonly overlapMs: number;
  readonly settlesAfterMs?: number | null;
}

/** A batch gives its connection back, which the one before it may need; nothing of it was stored. */
class GivesWay extends Error {}

/** A batch under way, as the one after it sees it. */
class UnderWay {
  /** Ends when it is stored, or fails as it does. */
  stored: Promise<unknown> = Promise.resolve();
  readonly #begun = Promise.withResolvers<void>();
  readonly #failed = Promise.withResolvers<never>();
  hasFailed = false;

  constructor() {
    this.#failed.promise.catch(() => {});
  }

  /** It has its server connection, and needs no other unless it fails. */
  begin(): void {
    this.#begun.resolve();
  }

  /** It failed, and is tried again over another connection, if at all. */
  fail(): void {
    this.hasFailed = true;
    this.#failed.reject(new GivesWay());
  }

  /** Until the next one may take a connection and hold it while this one is stored. */
  async mayBeFollowed(): Promise<void> {
    await (this.hasFailed ? this.stored : Promise.race([this.stored, this.#begun.promise]));
  }

  /** Until it is stored; throws `GivesWay` once it fails. */
  isOver(): Promise<unknown> {
    return Promise.race([this.stored, this.#failed.promise]);
  }
}

/**
 * Stores a run's batches, one after the other. The next one may be begun before the last is stored: it is copied
 * meanwhile, over a connection of its own, so that neither the server nor the reader waits for the other. It holds one
 * only while the last does: behind a pooler there may be no more than that.
 */
export class BatchStore {
  readonly #options: BatchOptions;
  /** Buffers of batches that are stored: they have grown to what a batch needs. */
  readonly #spare: (readonly StageBuffer[])[] = [];
  /** Batches that are stored. */
  #batches = 0;
  /** Batches that are stored or under way. */
  #begun = 0;
  /** The batch that was begun last; its failure is the next one's too. */
  #last = new UnderWay();
  readonly #guess = new KnownGuess();

  constructor(options: BatchOptions) {
    this.#options = options;
  }

  /** An empty batch to fill; it is given back to `commit`. */
  open(): BatchContent {
    const { tables } = this.#options.stream;
    const buffers = this.#spare.pop() ?? tables.stages.map((stage) => new StageBuffer(stage));
    // Where many entries were known already, rows are made only once it is known which are not.
    return new StagedBatch(tables, buffers, { waits: this.#guess.next === null, isFirst: this.#begun === 0 });
  }

  /** As `Ledger.commit`. */
  async commit(lease: Lease, batch: Batch): Promise<Stored> {
    this.#begun += 1;
    const before = this.#last;
    const own = new UnderWay();
    const stored = this.#store(lease, batch, this.#begun, before, own);
    own.stored = stored;
    this.#last = own;
    try {
      return await stored;
    } catch (error) {
      // No batch ends before the one before it, and whatever was begun after this one has failed with it.
      await before.stored.catch(() => {});
      this.#begun = this.#batches;
      this.#last = new UnderWay();
      throw error;
    }
  }

  async #store(lease: Lease, batch: Batch, number: number, before: UnderWay, own: UnderWay): Promise<Stored> {
    const { stream, partitions, pool, runId } = this.#options;
    const content = batch.content as StagedBatch;
    before.stored.catch(() => {});
    // Copying ahead takes a second connection, which others of the pool may need more.
    if (!this.#hasRoom) await before.stored;
    const guess = this.#guess;
    const guessed = content.waits ? null : (guess.next ?? 'some');
    const known = guessed ?? (await this.#resolve(content));
    const prepared = sealBatch(content);
    let surprised = false;
    const target: LoadTarget = {
      stream: stream.id,
      runId,
      // Asked only when its turn comes: a wrong guess about the batch before counts for this one too.
      expects: () =>
        known === 'none' && !surprised && !(guessed !== null && guess.surprised) ? 'none' : 'some',
      record: {
        checkpoint: checkpointArguments(runId, lease, batch, { number, ...this.#options }),
        windowId: lease.windowId,
        fence: lease.fence,
      },
    };
    await naming(`${stream.id}: make partitions`, () =>
      retried(() => ensurePartitions(partitions, stream.tables, prepared)),
    );
    const load = async () => {
      await (own.hasFailed ? before.stored : before.mayBeFollowed());
      return withClient(pool, (client) =>
        loadBatch(client, stream.tables, prepared, target, {
          begin: () => own.begin(),
          come: () => before.isOver(),
        }).catch((error: unknown) => {
          own.fail();
          throw error;
        }),
      );
    };
    const fresh = await naming(`${stream.id}: commit a batch of ${prepared.fetched} entries`, async () => {
      for (let failures = 0; ; ) {
        try {
          return await whereverPlaced(partitions, stream.tables, prepared, load);
        } catch (error) {
          if (error instanceof GivesWay) continue;
          if (!surprised && wasKnown(error)) {
            guess.surprise();
            surprised = true;
            continue;
          }
          if (!mayPass(error)) throw error;
          const settled = await retried(() => this.#settle(number));
          if (settled !== null) return settled;
          failures += 1;
          if (failures === COMMIT_TRIES) throw error;
        }
      }
    });
    this.#batches = number;
    guess.learn(fresh, prepared.fetched - prepared.rejects.length);
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

  /** Asks which of a batch's rows are stored, and makes them unless all are. */
  async #resolve(content: StagedBatch): Promise<Exclude<Known, 'all'>> {
    const { stream, pool } = this.#options;
    const keys = content.keys();
    const known = await naming(`${stream.id}: ask what is known`, () =>
      retried(() => withClient(pool, (client) => askKnown(client, stream.tables, keys, stream.id))),
    );
    // Whether twins clash is seen when they are made.
    if (known === 'all' && new Set(keys).size === keys.length) content.forget();
    else content.make();
    return known === 'none' ? 'none' : 'some';
  }

  /**
   * Whether batch `number` was committed although its answer was lost: how many were new, or null if it was not.
   * The load's own lock is taken first: it is free only when the lost transaction has ended.
   */
  #settle(number: number): Promise<number | null> {
    return inTransaction(this.#options.pool, async (client) => {
      await client.query(loadLock(this.#options.stream.id));
      const { rows } = await client.query<{ batches: number; last_new: number }>(
        'select batches, last_new from logkeep.run where id = $1',
        [this.#options.runId],
      );
      return rows[0]?.batches === number ? rows[0].last_new : null;
    });
  }

  get #hasRoom(): boolean {
    const { totalCount, idleCount, waitingCount, options } = this.#options.pool;
    return totalCount - idleCount + waitingCount < (options.max ?? 0) / 2;
  }
}
