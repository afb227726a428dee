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
export { openStore, type Store } from './store/database.ts';
export { migrateToLatest } from './store/migrate.ts';
export type {
  Database,
  DatadogLog,
  Gap,
  LogEntry,
  QstashEntry,
  QstashLog,
  QstashMessage,
  QstashRequest,
  Quarantine,
  Run,
  StreamTable,
  SyncWindow,
  UnknownName,
} from './store/schema.ts';
