import type pg from 'pg';
import { copyRows, dumpRows, TABLES } from './ceiling.ts';
import { type BenchServer, diskBytes } from './database.ts';
import type { SourceName } from './pages.ts';
import { measureSync, openStand } from './run.ts';
import { median } from './summary.ts';

/** Indexes of the log tables, and what they are when something about them is otherwise. */
interface Variant {
  readonly name: string;
  readonly ddl: readonly string[];
}

/** Looking a thousand messages up would read the whole table as often. */
const NO_MESSAGE = 'without message';
const AS_IT_IS: Variant = { name: 'as it is', ddl: [] };

/** The first is the one that the others are compared with. */
const VARIANTS: Readonly<Record<SourceName, readonly Variant[]>> = {
  qstash: [
    AS_IT_IS,
    { name: NO_MESSAGE, ddl: ['drop index logkeep.qstash_log_message'] },
    { name: 'without time', ddl: ['drop index logkeep.qstash_log_time'] },
    { name: 'without error', ddl: ['drop index logkeep.qstash_log_error'] },
    {
      name: 'message as btree',
      ddl: [
        'drop index logkeep.qstash_log_message',
        'create index qstash_log_message on logkeep.qstash_log (message_id)',
      ],
    },
    {
      name: 'key with message_id, no index for it',
      ddl: [
        'drop index logkeep.qstash_log_message',
        'alter table logkeep.qstash_log drop constraint qstash_log_pkey',
        'alter table logkeep.qstash_log add primary key (stream, message_id, time, entry_id)',
      ],
    },
  ],
  datadog: [
    AS_IT_IS,
    { name: 'without time', ddl: ['drop index logkeep.datadog_log_time'] },
    { name: 'without error', ddl: ['drop index logkeep.datadog_log_error'] },
  ],
};

const LOOKUPS = 1_000;

/** One variant in one run; names say the units. */
interface Measured {
  readonly copyMs: number;
  readonly postgresCpuMs: number;
  readonly walBytes: number;
  readonly diskBytes: number;
  readonly messagesMs: number;
}

/**
 * What each index of the log tables costs: the server's own `COPY` of a first read's rows with it, without it, and with
 * what might stand in its place, in turn within each run; the log table's size; and how long a thousand messages take to
 * be looked up by their id.
 */
export async function* measureIndexes(
  server: BenchServer,
  source: SourceName,
  entries: number,
  runs: number,
): AsyncGenerator<Record<string, unknown>, void> {
  const stand = await openStand(source, entries);
  const filled = await server.create('migrated');
  const { span, served } = stand;
  await measureSync(
    filled.client,
    { source, api: served.url, database: filled.url, span, again: false },
    null,
  );
  await dumpRows(filled, source, server.exchange);
  await filled.drop();
  await stand.close();

  const done = new Map<string, Measured[]>();
  for (let run = 0; run < runs; run++) {
    // Another order in each run: what comes first finds the machine otherwise than what comes last.
    const variants = VARIANTS[source];
    const first = (run * 2) % variants.length;
    for (const { name, ddl } of [...variants.slice(first), ...variants.slice(0, first)]) {
      const database = await server.create('migrated');
      for (const statement of ddl) await database.client.query(statement);
      const copy = await copyRows(database, source, server.exchange, span);
      const table = TABLES[source][0] as string;
      done.set(name, [
        ...(done.get(name) ?? []),
        {
          copyMs: copy.elapsedMs,
          postgresCpuMs: copy.postgresCpuMs ?? Number.NaN,
          walBytes: copy.walBytes,
          diskBytes: await diskBytes(database.client, table),
          messagesMs: name === NO_MESSAGE ? Number.NaN : await lookUp(database.client, source),
        },
      ]);
      await database.drop();
    }
  }
  const base = done.get(AS_IT_IS.name) ?? [];
  for (const [name, measured] of done) {
    const figure = (key: keyof Measured) => median(measured.map((one) => one[key]).toSorted((a, b) => a - b));
    // Within each run, so that a machine that is busy for a while does not count.
    const ratio = (key: keyof Measured) =>
      median(
        measured.map((one, run) => one[key] / (base[run]?.[key] ?? Number.NaN)).toSorted((a, b) => a - b),
      );
    yield {
      kind: 'index',
      source,
      variant: name,
      copy_per_s: Math.round((entries / figure('copyMs')) * 1000),
      copy_time_to_as_it_is: round(ratio('copyMs')),
      postgres_cpu_to_as_it_is: round(ratio('postgresCpuMs')),
      wal_bytes_per_entry: Math.round(figure('walBytes') / entries),
      log_disk_bytes_per_entry: Math.round(figure('diskBytes') / entries),
      // Null: not measured.
      ms_per_1000_messages: Math.round(figure('messagesMs')),
    };
  }
}

/** Ms to read all entries of a thousand messages, each with a statement of its own on the server's side. */
async function lookUp(client: pg.Client, source: SourceName): Promise<number> {
  if (source !== 'qstash') return Number.NaN;
  await client.query('analyze logkeep.qstash_log');
  await client.query(
    `create temp table wanted as select message_id from logkeep.qstash_message
    order by md5(message_id) limit ${LOOKUPS}`,
  );
  const startedAt = performance.now();
  await client.query(
    `select count(l.entry_id) from wanted w, lateral (
      select entry_id from logkeep.qstash_log where stream = 'qstash.main' and message_id = w.message_id offset 0) l`,
  );
  return performance.now() - startedAt;
}

function round(ratio: number): number {
  return Number(ratio.toFixed(3));
}
