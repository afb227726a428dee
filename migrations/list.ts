import type { Migration } from 'kysely/migration';
import * as progress from './0001_progress.ts';
import * as checkpoint from './0002_checkpoint.ts';
import * as qstash from './0003_qstash.ts';
import * as datadog from './0004_datadog.ts';
import * as logEntry from './0005_log_entry.ts';
import * as jobs from './0006_jobs.ts';
import * as quota from './0007_quota.ts';
import * as sweep from './0008_sweep.ts';
import * as backfill from './0009_backfill.ts';
import * as alert from './0010_alert.ts';
import * as messageKey from './0011_message_key.ts';
import * as comments from './0012_comments.ts';
import * as ownTables from './0013_own_tables.ts';

/** What the tables became, in order; frozen once released. */
export const MIGRATIONS: Readonly<Record<string, Migration>> = {
  '0001_progress': progress,
  '0002_checkpoint': checkpoint,
  '0003_qstash': qstash,
  '0004_datadog': datadog,
  '0005_log_entry': logEntry,
  '0006_jobs': jobs,
  '0007_quota': quota,
  '0008_sweep': sweep,
  '0009_backfill': backfill,
  '0010_alert': alert,
  '0011_message_key': messageKey,
  '0012_comments': comments,
  '0013_own_tables': ownTables,
};
