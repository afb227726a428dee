/**
 * logkeep as a library: the types of its tables for Kysely, and a store to query them with.
 *
 * ```ts
 * import { openStore } from 'logkeep';
 * const { db, close } = openStore('postgres://localhost/logs');
 * const failed = await db.selectFrom('qstash_message').selectAll().where('state', '=', 'FAILED').execute();
 * await close();
 * ```
 */
export { migrateToLatest, openStore, type Store } from './library.ts';
export type {
  Backfill,
  Database,
  DatadogLog,
  Gap,
  Lateness,
  LogEntry,
  QstashEntry,
  QstashLog,
  QstashMessage,
  QstashRequest,
  Quarantine,
  QuotaTable,
  Run,
  StreamTable,
  SyncWindow,
  UnknownName,
} from './store/schema.ts';
export type { Alert, Process } from './store/schema-serve.ts';
