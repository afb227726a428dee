import { openDatabase } from '../app.ts';
import { pendingMigrations } from '../store/migrate.ts';
import type { Run } from './command.ts';
import { readConfig } from './open.ts';
import { openCommandLog } from './text-log.ts';

/** `logkeep migrate`: the database's tables as this version wants them. */
export const run: Run<'migrate'> = async (options, context) => {
  const config = readConfig(options, context, 'ignored');
  const database = await openDatabase(config, openCommandLog(config.logLevel, options.json, context.stderr), {
    migrate: true,
  });
  try {
    const pending = await pendingMigrations(database.store.db);
    const { applied } = database;
    if (!options.json && applied.length > 0) context.stderr.write(`applied ${applied.join(', ')}\n`);
    context.stdout.write(
      options.json ? `${JSON.stringify({ applied, pending })}\n` : 'the database is up to date\n',
    );
    return pending.length === 0 ? 0 : 1;
  } finally {
    await database.close();
  }
};
