import { createHash } from 'node:crypto';
import type pg from 'pg';
import { PgBoss } from 'pg-boss';
import type { Job } from '../../jobs/job.ts';
import { errorText } from '../errors.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import { asDatabaseError, naming, openPool } from '../store/database.ts';
import { missingGrant } from '../store/grants.ts';

const SCHEMA = 'logkeep_job';
/** Without a sign of life for so long (pg-boss's least), a job is another's to take. */
const HEARTBEAT_S = 10;
/** How often somebody looks for such jobs. All processes together look once in that time. */
const MONITOR_S = 3;
/** Finished jobs stay until every process has had the same tick, and no longer. */
const KEEPING: QueueKeeping = { finishedS: 60, maintenanceS: 30 };
/** A job that nobody takes for so long is dropped: the next tick sends another. */
const WAITING_S = 3_600;
/** A job that is given back, or whose worker died, is never given up for having been tried too often. */
const RETRIES = 1_000_000;
/** What holds a claim even if its worker hangs. */
const BEYOND_LIMIT_S = 120;

/** A job that this process has the right to work on. */
export interface Claim {
  readonly job: string;
  /** Null: of no stream. */
  readonly stream: string | null;
  /** Which of those that share the stream's work; the first is 0. */
  readonly lane: number;
  readonly id: string;
  /** How often it was begun before. */
  readonly retryCount: number;
  /** Somebody asked for it, not a tick; absent: not known. */
  readonly byHand?: boolean;
}

/** What became of a job; `gone`: finished so long ago that it is no longer kept. */
export type JobState =
  | { readonly status: 'waiting' | 'active' | 'gone' }
  | { readonly status: 'finished'; readonly report: Readonly<Record<string, unknown>> | null };

/** Jobs that wait or are worked on, by whichever process. */
export interface QueueDepth {
  readonly job: string;
  readonly waiting: number;
  readonly active: number;
}

/** Work shared by all processes on one Postgres. Every method may throw LogkeepError `database`. */
export interface JobQueue {
  /**
   * Asks for a job unless it waits or is worked on already, or this tick of it was asked for: null then. `tickMs` is
   * the same in every process; null: by hand. Each `lane` (left out: 0) is a job of its own.
   */
  send(job: string, stream: string | null, tickMs: Ms | null, lane?: number): Promise<string | null>;
  /** The kinds of which something waits. */
  due(): Promise<readonly string[]>;
  /** Jobs of a kind to work on now, `most` at most, none of the streams `except`. */
  take(job: string, most: number, except: readonly string[]): Promise<readonly Claim[]>;
  /** A sign of life; gives the claims that are no longer ours. */
  renew(claims: readonly Claim[]): Promise<readonly Claim[]>;
  finish(claim: Claim, report: Readonly<Record<string, unknown>>): Promise<void>;
  /** Lets another process, or this one later, have it. */
  giveBack(claim: Claim): Promise<void>;
  /** The job of this stream and lane (left out: 0) that waits or is worked on; null: none. */
  current(job: string, stream: string | null, lane?: number): Promise<string | null>;
  stateOf(job: string, id: string): Promise<JobState>;
  depth(): Promise<readonly QueueDepth[]>;
  close(): Promise<void>;
}

/** How long finished jobs stay, and how often those that are older go; in whole seconds. */
export interface QueueKeeping {
  readonly finishedS: number;
  readonly maintenanceS: number;
}

/** What a queue needs. */
export interface QueueOptions {
  /** Closed by whoever opened it, after the queue. */
  readonly pool: pg.Pool;
  readonly jobs: readonly Job[];
  readonly log: Log;
  readonly keeping?: QueueKeeping;
}

/**
 * Brings the queue's own tables up to date; safe when several processes start at once. `url` must be a direct one,
 * not PgBouncer's; `from`: see `openPool`. Throws `database`.
 */
export async function migrateQueue(
  { url, from = null }: { readonly url: string; readonly from?: string | null },
  jobs: readonly Job[],
  log: Log,
  keeping: QueueKeeping = KEEPING,
): Promise<void> {
  const pool = openPool(url, { name: 'logkeep migrate', max: 2, from });
  const boss = new PgBoss({
    db: { executeSql: async (text, values) => pool.query(text, values as unknown[]) },
    schema: SCHEMA,
    schedule: false,
    supervise: false,
  });
  listen(boss, log);
  try {
    await boss.start();
    for (const { name, timeoutMs } of jobs) {
      const settings = {
        heartbeatSeconds: HEARTBEAT_S,
        expireInSeconds: Math.ceil(timeoutMs / 1000) + BEYOND_LIMIT_S,
        retryLimit: RETRIES,
        retryDelay: 1,
        retentionSeconds: WAITING_S,
        deleteAfterSeconds: keeping.finishedS,
      };
      await boss.createQueue(name, { ...settings, policy: 'exclusive' });
      await boss.updateQueue(name, settings);
    }
  } catch (error) {
    throw asDatabaseError(
      'prepare the job queue',
      error,
      await missingGrant(pool, { schema: SCHEMA, table: 'version' }, error),
    );
  } finally {
    await boss.stop({ graceful: false }).catch(() => undefined);
    await pool.end();
  }
}

/** Opens the queue, which `migrateQueue` has prepared. Works through PgBouncer in transaction mode. */
export async function openQueue({ pool, jobs, log, keeping = KEEPING }: QueueOptions): Promise<JobQueue> {
  const boss = new PgBoss({
    db: { executeSql: async (text, values) => pool.query(text, values as unknown[]) },
    schema: SCHEMA,
    schedule: false,
    migrate: false,
    superviseIntervalSeconds: MONITOR_S,
    monitorIntervalSeconds: MONITOR_S,
    maintenanceIntervalSeconds: keeping.maintenanceS,
    queueCacheIntervalSeconds: 3_600,
    flowIntervalSeconds: 86_400,
    monitorVacuum: false,
    // A table of a few rows; looking for bloat would cost a statement every three seconds.
    reindex: false,
  });
  listen(boss, log);
  const named = <T>(doing: string, work: () => Promise<T>) => naming(`job queue: ${doing}`, work);
  await named('open', () => boss.start());
  return {
    send: (job, stream, tickMs, lane = 0) =>
      named('send', () =>
        boss.send(
          job,
          { stream, lane, byHand: tickMs === null },
          {
            singletonKey: keyOf(job, stream, lane),
            ...(stream === null ? {} : { group: { id: stream } }),
            ...(tickMs === null ? {} : { id: tickId(job, keyOf(job, stream, lane), tickMs) }),
          },
        ),
      ),
    due: () =>
      named('look', async () => {
        const { rows } = await pool.query<{ name: string }>(
          `select distinct name from ${SCHEMA}.job where state < 'active' and start_after <= now()`,
        );
        return rows.map(({ name }) => name);
      }),
    take: (job, most, except) =>
      named('take', async () => {
        const taken = await boss.fetch<Pick<Claim, 'stream' | 'lane' | 'byHand'>>(job, {
          batchSize: most,
          ignoreGroups: [...except],
        });
        return taken.map(({ id, data, retryCount }) => ({ job, ...data, id, retryCount }));
      }),
    renew: (claims) =>
      named('renew', async () => {
        const lost = await Promise.all(
          claims.map(async (claim) => {
            // Documented, but left out of its types.
            const told = (await boss.touch(claim.job, attempt(claim))) as { readonly affected?: number };
            return told.affected === 0 ? [claim] : [];
          }),
        );
        return lost.flat();
      }),
    finish: (claim, report) =>
      named('finish', async () => void (await boss.complete(claim.job, attempt(claim), report))),
    giveBack: (claim) =>
      named('give back', async () => void (await boss.fail(claim.job, attempt(claim), null))),
    current: (job, stream, lane = 0) =>
      named('look', async () => {
        const found = await boss.findJobs(job, { key: keyOf(job, stream, lane) });
        return found.find(({ state }) => ['created', 'retry', 'active'].includes(state))?.id ?? null;
      }),
    stateOf: (job, id) =>
      named('look', async (): Promise<JobState> => {
        const [found] = await boss.findJobs(job, { id });
        if (found === undefined) return { status: 'gone' };
        if (found.state === 'active') return { status: 'active' };
        if (found.state === 'created' || found.state === 'retry') return { status: 'waiting' };
        return { status: 'finished', report: found.output as Readonly<Record<string, unknown>> | null };
      }),
    depth: () =>
      named('count', async () => {
        const { rows } = await pool.query<QueueDepth>(
          `select name as job, count(*) filter (where state < 'active')::integer as waiting,
            count(*) filter (where state = 'active')::integer as active
          from ${SCHEMA}.job where name = any($1) and state < 'completed' group by name`,
          [jobs.map(({ name }) => name)],
        );
        const found = new Map(rows.map((row) => [row.job, row]));
        return jobs.map(({ name }) => found.get(name) ?? { job: name, waiting: 0, active: 0 });
      }),
    close: () => boss.stop({ graceful: false, close: false }),
  };
}

/** pg-boss reports what its own timers meet; whoever calls it learns of the same trouble. */
function listen(boss: PgBoss, log: Log): void {
  boss.on('error', (error: Error) => log.debug({ error: errorText(error) }, 'job queue: error'));
  boss.on('warning', ({ message }: { message: string }) =>
    log.warn({ warning: message }, 'job queue: warning'),
  );
}

function attempt({ id, retryCount }: Claim): { id: string; retryCount: number } {
  return { id, retryCount };
}

/** One job at a time may have this key. */
function keyOf(job: string, stream: string | null, lane: number): string {
  return `${stream ?? job}#${lane}`;
}

/** The id of a tick's job: the same in every process, so that the tick is worked on once, whoever's clock is ahead. */
function tickId(job: string, key: string, tickMs: Ms): string {
  const hash = createHash('sha256').update(`${job}\n${key}\n${tickMs}`).digest('hex');
  return `${hash.slice(0, 8)}-${hash.slice(8, 12)}-8${hash.slice(13, 16)}-8${hash.slice(17, 20)}-${hash.slice(20, 32)}`;
}
