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

/**
 * Stores a run's batches, one after the other. The next one may be begun before the last is stored: it is copied
 * meanwhile, over a connection of its own, so that neither the server nor the reader waits for the other.
 */
export class BatchStore {
  readonly #options: BatchOptions;
  /** Buffers of batches that are stored: they have grown to what a batch needs. */
  readonly #spare: (readonly StageBuffer[])[] = [];
  /** Batches that are stored. */
  #batches = 0;
  /** Batches that are stored or under way. */
  #begun = 0;
  /** Ends when the batch that was begun last has; its failure is the next one's too. */
  #last: Promise<unknown> = Promise.resolve();
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
    const stored = this.#store(lease, batch, this.#begun, before);
    this.#last = stored;
    try {
      return await stored;
    } catch (error) {
      // No batch ends before the one before it, and whatever was begun after this one has failed with it.
      await before.catch(() => {});
      this.#begun = this.#batches;
      this.#last = Promise.resolve();
      throw error;
    }
  }

  async #store(lease: Lease, batch: Batch, number: number, before: Promise<unknown>): Promise<Stored> {
    const { stream, partitions, pool, runId } = this.#options;
    const content = batch.content as StagedBatch;
    before.catch(() => {});
    // Copying ahead takes a second connection, which the batch before may need if its own breaks.
    if (!this.#hasRoom) await before;
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
    const fresh = await naming(`${stream.id}: commit a batch of ${prepared.fetched} entries`, async () => {
      for (let failures = 0; ; ) {
        try {
          return await whereverPlaced(partitions, stream.tables, prepared, () =>
            withClient(pool, (client) => loadBatch(client, stream.tables, prepared, target, before)),
          );
        } catch (error) {
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
