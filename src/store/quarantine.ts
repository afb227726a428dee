import type { Kysely } from 'kysely';
import { unescapeText } from '../escape.ts';
import type { Ms, StreamId } from '../model.ts';
import type { Row } from '../sources/source.ts';
import type { SourceTables } from '../sources/tables.ts';
import { withClient } from './connection.ts';
import type { Store } from './database.ts';
import { ensurePartitions, loadBatch, prepareBatch, whereverPlaced } from './loader.ts';
import type { Partitions } from './partitions.ts';
import { endRun } from './runs.ts';
import type { Database } from './schema.ts';

/** An entry in quarantine. */
export interface Waiting {
  /** A whole number, as text. */
  readonly id: string;
  readonly stream: string;
  readonly reason: string;
  readonly timeMs: Ms | null;
  readonly firstSeenMs: Ms;
  /** Length of the raw text, in characters as stored. */
  readonly chars: number;
}

/** Which entries; `[]` and null: all. */
export interface WaitingQuery {
  readonly ids: readonly string[];
  readonly streams: readonly string[];
  readonly reason: string | null;
}

/** Entries in quarantine, newest first, without their text: that can be long. */
export async function listWaiting(
  db: Kysely<Database>,
  { ids, streams, reason }: WaitingQuery,
  limit: number,
): Promise<readonly Waiting[]> {
  let query = db
    .selectFrom('quarantine')
    .select((q) => [
      'id',
      'stream',
      'reason',
      'time',
      'first_seen_at',
      q.fn<number>('length', ['raw']).as('chars'),
    ])
    .orderBy('id', 'desc')
    .limit(limit);
  if (ids.length > 0) query = query.where('id', 'in', ids);
  if (streams.length > 0) query = query.where('stream', 'in', streams);
  if (reason !== null) query = query.where('reason', '=', reason);
  return (await query.execute()).map(({ id, stream, reason, time, first_seen_at, chars }) => ({
    id,
    stream,
    reason,
    timeMs: time === null ? null : +time,
    firstSeenMs: +first_seen_at,
    chars,
  }));
}

/** The JSON texts of entries in quarantine as the API gave them (but for what redaction hid), by id. */
export async function readWaiting(
  db: Kysely<Database>,
  ids: readonly string[],
): Promise<ReadonlyMap<string, string>> {
  if (ids.length === 0) return new Map();
  const rows = await db.selectFrom('quarantine').select(['id', 'raw']).where('id', 'in', ids).execute();
  return new Map(rows.map(({ id, raw }) => [id, unescapeText(raw)]));
}

/** A run of job `retry`, whose counts say what came of the entries. */
export interface ReturnRun {
  /** Loads rows and takes the entries they came from out of quarantine, in one transaction; how many were new. */
  load(rows: readonly Row[], ids: readonly string[]): Promise<number>;
  end(outcome: 'done' | 'failed', error: Error | null): Promise<void>;
}

/** Begins to bring entries of one stream back from quarantine. */
export async function beginReturn(
  { db, pool }: Store,
  partitions: Partitions,
  stream: { readonly id: StreamId; readonly fingerprint: string; readonly tables: SourceTables },
  holder: string,
): Promise<ReturnRun> {
  const { id: runId } = await db
    .insertInto('run')
    .values({ stream: stream.id, fingerprint: stream.fingerprint, job: 'retry', holder })
    .returning('id')
    .executeTakeFirstOrThrow();
  return {
    async load(rows, ids) {
      const prepared = prepareBatch(stream.tables, rows, []);
      await ensurePartitions(partitions, stream.tables, prepared);
      return whereverPlaced(partitions, stream.tables, prepared, () =>
        withClient(pool, (client) =>
          loadBatch(client, stream.tables, prepared, {
            stream: stream.id,
            runId,
            expects: () => 'some',
            record: { returned: ids },
          }),
        ),
      );
    },
    end: (outcome, error) => endRun(pool, runId, outcome, error),
  };
}
