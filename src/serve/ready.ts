import { LogkeepError } from '../errors.ts';
import { asDatabaseError, type Store } from '../store/database.ts';
import { pendingMigrations } from '../store/migrate.ts';

/** What must hold for a process to do its work; each throws what is wrong. */
export type Checks = Readonly<Record<string, () => Promise<void>>>;

/** What became of one check; `error` is for people and holds no secret. */
export type CheckResult = { readonly ok: true } | { readonly ok: false; readonly error: string };

/** What the checks ask; a part that is not open yet is null. */
export interface Parts {
  store(): Store | null;
  queue(): { depth(): Promise<unknown> } | null;
}

/** A check that takes longer has failed. */
const PATIENCE_MS = 2_000;

/** Database reachable, its tables of this version, the job queue reachable. */
export function readyChecks(parts: Parts): Checks {
  const store = () => {
    const open = parts.store();
    if (open === null) throw new LogkeepError('database', 'the database is not open yet');
    return open;
  };
  return {
    database: async () => {
      const { pool } = store();
      try {
        await pool.query('select 1');
      } catch (error) {
        throw asDatabaseError('reach the database', error);
      }
    },
    schema: async () => {
      const { db } = store();
      try {
        const pending = await pendingMigrations(db);
        if (pending.length > 0) {
          throw new LogkeepError(
            'config',
            `the database lacks ${pending.join(', ')}: run \`logkeep migrate\``,
          );
        }
      } catch (error) {
        throw asDatabaseError('look at the tables', error);
      }
    },
    queue: async () => {
      const open = parts.queue();
      if (open === null) throw new LogkeepError('database', 'the job queue is not open yet');
      await open.depth();
    },
  };
}

/**
 * Runs all checks at once, each for two seconds at most. One that has not ended counts as failed and is not begun
 * again before it has, so that many who ask cannot use up a database's connections.
 */
export function createReadiness(checks: Checks): () => Promise<Readonly<Record<string, CheckResult>>> {
  const running = new Map<string, Promise<CheckResult>>();
  const begin = (name: string, check: () => Promise<void>): Promise<CheckResult> => {
    const before = running.get(name);
    if (before !== undefined) return before;
    const result = check()
      .then(
        (): CheckResult => ({ ok: true }),
        (error: unknown): CheckResult => ({
          ok: false,
          error: error instanceof LogkeepError ? error.message : 'failed in an unexpected way; see the log',
        }),
      )
      .finally(() => running.delete(name));
    running.set(name, result);
    return result;
  };
  return async () => {
    const late = Promise.withResolvers<CheckResult>();
    const timer = setTimeout(
      () => late.resolve({ ok: false, error: `no answer within ${PATIENCE_MS} ms` }),
      PATIENCE_MS,
    );
    try {
      const results = await Promise.all(
        Object.entries(checks).map(
          async ([name, check]) => [name, await Promise.race([begin(name, check), late.promise])] as const,
        ),
      );
      return Object.fromEntries(results);
    } finally {
      clearTimeout(timer);
    }
  };
}
