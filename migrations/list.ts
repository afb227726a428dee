import type { Migration } from 'kysely/migration';
import * as progress from './0001_progress.ts';
import * as checkpoint from './0002_checkpoint.ts';
import * as qstash from './0003_qstash.ts';
import * as datadog from './0004_datadog.ts';
import * as logEntry from './0005_log_entry.ts';

/** What the tables became, in order; frozen once released. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_progress': progress,
  '0002_checkpoint': checkpoint,
  '0003_qstash': qstash,
  '0004_datadog': datadog,
  '0005_log_entry': logEntry,
};
