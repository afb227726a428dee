import { expect, test } from 'vitest';
import { createMigratedDatabase, withClient } from '../postgres.ts';

test('both logs have the indexes that questions by id, by time and for errors need, and no other', async () => {
  const database = await createMigratedDatabase();
  try {
    const { rows } = await withClient(database.url, (client) =>
      client.query<{ name: string; definition: string }>(
        `select indexname as name, regexp_replace(indexdef, '^.* using ', '', 'i') as definition from pg_indexes
        where schemaname = 'logkeep' and tablename in ('qstash_log', 'datadog_log') order by indexname collate "C"`,
      ),
    );
    expect(Object.fromEntries(rows.map(({ name, definition }) => [name, definition]))).toEqual({
      datadog_log_error: `btree ("timestamp") WHERE (status = ANY (ARRAY['error'::text, 'critical'::text, 'alert'::text, 'emergency'::text]))`,
      datadog_log_pkey: 'btree (stream, "timestamp", event_id)',
      datadog_log_time: `brin ("timestamp") WITH (pages_per_range='32')`,
      qstash_log_error: 'btree ("time") WHERE (error IS NOT NULL)',
      qstash_log_message: 'hash (message_id)',
      qstash_log_pkey: 'btree (stream, "time", entry_id)',
      qstash_log_time: `brin ("time") WITH (pages_per_range='32')`,
    });
  } finally {
    await database.drop();
  }
});
