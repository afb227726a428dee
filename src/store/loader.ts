import { createHash } from 'node:crypto';
import pg from 'pg';
import { escapeText } from '../escape.ts';
import type { Reject, Row } from '../sources/source.ts';
import type { SourceTables, Stage } from '../sources/tables.ts';
import { copyRows } from './copy.ts';
import { latenessSql } from './lateness.ts';
import { lacksPartition, type Partitions } from './partitions.ts';
import { StagedBatch } from './staging.ts';

/** A batch made ready for Postgres: encoded stages and rejects, each entry counted once. */
export interface Prepared {
  readonly stages: readonly { readonly stage: Stage; readonly encoded: Buffer | null }[];
  readonly rejects: readonly Reject[];
  readonly days: readonly number[];
  readonly fetched: number;
}

/** How many of a batch's entries are stored already. */
export type Known = 'none' | 'some' | 'all';

/** A batch of rows that are all at hand. */
export function prepareBatch(
  tables: SourceTables,
  rows: readonly Row[],
  rejects: readonly Reject[],
): Prepared {
  const batch = new StagedBatch(tables);
  for (const made of [...rows, ...rejects]) batch.add(made);
  return sealBatch(batch);
}

/** Ends a batch that was staged as its pages came. */
export function sealBatch(batch: StagedBatch): Prepared {
  const { rejects, fetched } = batch;
  return { stages: batch.seal(), rejects, days: [...batch.days], fetched };
}

/** SQL that waits until no other transaction loads the stream; held until our own ends. */
export function loadLock(stream: string): string {
  return `select pg_advisory_xact_lock(hashtextextended(${pg.escapeLiteral(`logkeep:load:${stream}`)}, 0))`;
}

/** Whose batch it is, and what is recorded with it. */
export interface LoadTarget {
  readonly stream: string;
  readonly runId: string;
  /** `none`: the load fails (see `wasKnown`) if an entry is stored after all, and costs less than for `some`. */
  readonly expects: () => Exclude<Known, 'all'>;
  /**
   * A window's progress (`checkpoint`: SQL of its arguments up to `p_settles_to`; the loader adds what was counted), or
   * the entries of quarantine (ids) that the batch came from: they leave it.
   */
  readonly record:
    | { readonly checkpoint: string; readonly windowId: string; readonly fence: string }
    | { readonly returned: readonly string[] };
}

/** Where a load stands among those of its run. */
export interface Turn {
  /** The load has its server connection, and needs no other one from here on. */
  begin(): void;
  /** Until the load may go on; it fails as this does. */
  come(): Promise<unknown>;
}

/**
 * Stores a prepared batch and its checkpoint in one transaction on `client`; returns how many entries were new.
 * When it throws, either nothing was stored or, if the connection broke at the COMMIT, the checkpoint tells.
 * One transaction merges a stream's rows at a time: two would deadlock now and then, and are slower together. The
 * rows are copied before its `turn` comes (default: at once).
 */
export async function loadBatch(
  client: pg.PoolClient,
  tables: SourceTables,
  prepared: Prepared,
  target: LoadTarget,
  turn?: Turn,
): Promise<number> {
  await client.query(openingSql(tables));
  turn?.begin();
  for (const { stage, encoded } of prepared.stages) {
    if (encoded !== null) await copyRows(client, { ...stage, name: physicalName(stage) }, encoded);
  }
  await turn?.come();
  const results = (await client.query(closingSql(tables, prepared, target))) as unknown as pg.QueryResult[];
  const counted = results.findLast((result) => result.command === 'SELECT')?.rows[0] as { new: number };
  return counted.new;
}

/**
 * Whether a load failed because an entry is stored that was taken to be new: nothing of the batch was stored. No other
 * key can be taken twice by a load; the error names the partition, which may bear any name.
 */
export function wasKnown(error: unknown): boolean {
  return (error as pg.DatabaseError).code === '23505';
}

/**
 * How many of the entries of these keys (as a `Row` has them) are stored already; all: with nothing left to fill. A key
 * costs a look into an index, a row its making, its way through the stage and into the merge: for what is read again,
 * this is.
 */
export async function askKnown(
  client: pg.PoolClient,
  tables: SourceTables,
  keys: readonly string[],
  stream: string,
): Promise<Known> {
  if (keys.length === 0) return 'none';
  const ids = keys.map((key) => key.slice(0, key.lastIndexOf(':')));
  const times = keys.map((key) => key.slice(key.lastIndexOf(':') + 1));
  // Lateral with a limit: one look for each key, whatever the planner thinks of arrays.
  const { rows } = await client.query<{ stored: number; whole: number }>(
    `select count(*)::integer as stored, (count(*) filter (where found.whole))::integer as whole from
      unnest($1::text[], $2::bigint[]) as k (id, ms),
      lateral (select $3::text as stream, k.id, to_timestamp(k.ms / 1000.0) as time offset 0) as key,
      lateral (${tables.known} limit 1) as found`,
    [ids, times, stream],
  );
  const { stored = 0, whole = 0 } = rows[0] ?? {};
  return stored === 0 ? 'none' : whole === keys.length ? 'all' : 'some';
}

/** Makes the partitions that a prepared batch needs; outside its transaction. */
export async function ensurePartitions(
  partitions: Partitions,
  tables: SourceTables,
  prepared: Prepared,
): Promise<void> {
  for (const table of tables.partitioned) await partitions.ensure(table, prepared.days);
}

/** `load`, which stores a prepared batch; once more where its partitions, which were there before, are gone. */
export async function whereverPlaced<T>(
  partitions: Partitions,
  tables: SourceTables,
  prepared: Prepared,
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!lacksPartition(error, tables.partitioned)) throw error;
    partitions.forget();
    await ensurePartitions(partitions, tables, prepared);
    return load();
  }
}

/**
 * The stages are temp tables of whichever server connection this transaction got (PgBouncer may give another one
 * each time), so they are asked for in every transaction; the name tells one version's shape from another's.
 */
function openingSql(tables: SourceTables): string {
  const stages = tables.stages.map((stage) => {
    const columns = stage.columns.map((column) => `${column.name} ${column.type}`).join(', ');
    return `create temp table if not exists ${physicalName(stage)} (${columns}) on commit delete rows`;
  });
  return ['begin', 'set local jit = off', 'set local client_min_messages = warning', ...stages].join(';\n');
}

const physicalNames = new WeakMap<Stage, string>();

/**
 * Name of a stage's temp table: with a hash of its columns, since behind a pooler a connection may still have the
 * table of another version.
 */
function physicalName(stage: Stage): string {
  let name = physicalNames.get(stage);
  if (name === undefined) {
    const shape = stage.columns.map((column) => `${column.name} ${column.type}`).join();
    name = `${stage.name}_${createHash('md5').update(shape).digest('hex').slice(0, 8)}`;
    physicalNames.set(stage, name);
  }
  return name;
}

function withPhysicalNames(tables: SourceTables, sql: string): string {
  return tables.stages.reduce(
    (text, stage) => text.replaceAll(new RegExp(`\\b${stage.name}\\b`, 'g'), physicalName(stage)),
    sql,
  );
}

function closingSql(tables: SourceTables, prepared: Prepared, target: LoadTarget): string {
  // Not before: from here to the commit nothing waits for us, so a process that stalls holds up no other.
  const statements: string[] = [loadLock(target.stream)];
  if (prepared.rejects.length > 0) statements.push(quarantineSql(prepared.rejects, target));
  const empty = prepared.stages.every(({ encoded }) => encoded === null);
  const relations = [
    // Not materialized: what is one value for all rows need not be joined to each.
    `batch as not materialized (select ${pg.escapeLiteral(target.stream)}::text as stream, now() as ingested_at)`,
    ...(empty ? [] : mergesSql(tables, target.expects())),
    `counted as (select ${empty ? '0' : '(select count(*) from new_row)::integer'} as new)`,
  ];
  const { record } = target;
  if ('checkpoint' in record) {
    statements.push(
      `with ${relations.join(',\n')}
    select logkeep.checkpoint(${record.checkpoint}, ${prepared.fetched}, counted.new, ${prepared.rejects.length}, ${empty ? 'null' : latenessSql(tables)}) as new from counted`,
    );
  } else {
    statements.push(
      `delete from logkeep.quarantine where id = any('{${record.returned.join(',')}}'::bigint[])`,
      `with ${[...relations, recordedSql(prepared, target.runId)].join(',\n')} select new from counted`,
    );
  }
  return [...statements, 'commit'].join(';\n');
}

/**
 * Takes the first stage into its table, and the others into theirs. Where every row is new nothing need be looked for
 * before it is inserted, nor handed on from there: half as much work, all in all.
 */
function mergesSql(tables: SourceTables, known: Exclude<Known, 'all'>): readonly string[] {
  const { name, columns } = tables.stages[0] as Stage;
  const { table, newRow } = tables.entries;
  const names = columns.map((column) => column.name).join(', ');
  const insert = `insert into logkeep.${table} (${names}, stream, ingested_at)
    select ${names}, batch.stream, batch.ingested_at from ${name}, batch`;
  const asked = newRow.length === 0 ? '1' : newRow.join(', ');
  const allNew = known === 'none';
  const relations = allNew
    ? [`stored as (${insert})`, `new_row as not materialized (select ${asked} from ${name})`]
    : [`new_row as (${insert} on conflict do nothing returning ${asked})`];
  for (const merge of tables.merges) {
    relations.push(`${merge.name} as (${(allNew ? merge.allNew : undefined) ?? merge.sql})`);
  }
  return relations.map((sql) => withPhysicalNames(tables, sql));
}

function recordedSql({ fetched, rejects }: Prepared, runId: string): string {
  return `recorded as (update logkeep.run set batches = batches + 1, last_new = counted.new,
      alive_until = clock_timestamp() + interval '30 s', fetched = fetched + ${fetched}, new = run.new + counted.new, quarantined = quarantined + ${rejects.length},
      known = known + (${fetched} - ${rejects.length} - counted.new)
    from counted where id = ${runId})`;
}

const NO_UTF8 = Buffer.from([0xff]);

/** What tells rejects of one stream and reason apart: 32 hex digits. */
export function rawHash({ rawText }: Reject): string {
  const md5 = createHash('md5');
  if (rawText.isWellFormed()) return md5.update(rawText).digest('hex');
  // As bytes all lone surrogates would be alike. The last byte tells it from a text that looks as if it were escaped.
  return md5.update(escapeText(rawText)).update(NO_UTF8).digest('hex');
}

/** What waits in quarantine for the first time is as new to its window as a row: it is not settled by this read. */
function quarantineSql(rejects: readonly Reject[], { stream, runId, record }: LoadTarget): string {
  const values = rejects.map((reject) => {
    const raw = escapeText(reject.rawText);
    const hash = rawHash(reject);
    const time = reject.timeMs === null ? 'null' : `to_timestamp(${reject.timeMs} / 1000.0)`;
    return `(${pg.escapeLiteral(stream)}, ${pg.escapeLiteral(reject.reason)}, ${time}, ${pg.escapeLiteral(raw)}, '${hash}'::uuid, ${raw !== reject.rawText}, ${runId})`;
  });
  const insert = `insert into logkeep.quarantine (stream, reason, time, raw, raw_hash, escaped, run_id)
    values ${values.join(',\n')} on conflict (stream, reason, raw_hash) do nothing`;
  if ('returned' in record) return insert;
  return `with kept as (${insert} returning 1)
    update logkeep.sync_window set fresh = fresh + kept.count from (select count(*) from kept) kept
    where id = ${record.windowId} and fence = ${record.fence} and kept.count > 0`;
}
