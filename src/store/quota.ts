import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { Log } from '../log.ts';
import type { Ms } from '../model.ts';
import type { QuotaGrant, QuotaReport, SharedQuota } from '../sources/shared-quota.ts';
import type { Quota } from '../sources/source.ts';
import { isoTime } from './coverage.ts';
import { naming } from './database.ts';

/** What the shared quota needs. */
export interface QuotaOptions {
  readonly pool: pg.Pool;
  /** Who we are, for others to read: `host:pid:random`. */
  readonly holder: string;
  /** Null: the database's clock, which is the same for all machines. */
  readonly clock: Clock | null;
  readonly log: Log;
  /** How long a request waits for the database before it goes on without it; default two seconds. */
  readonly patienceMs?: number;
}

const PATIENCE_MS = 2_000;
const LOG_EVERY_MS = 60_000;

/** The row of `logkeep.quota` that a gate's key stands for: the source, and a hash of the rest. */
export function credentialOf(key: string): string {
  const [source] = key.split(' ', 1);
  return `${source} ${createHash('sha256').update(key).digest('hex').slice(0, 24)}`;
}

/** The quota of each credential, one row each, taken and corrected by one statement each. */
export function openQuota(options: QuotaOptions): SharedQuota {
  const { log, patienceMs = PATIENCE_MS } = options;
  let loggedAt = Number.NEGATIVE_INFINITY;
  return {
    async take(key, report) {
      const credential = credentialOf(key);
      const limit = Promise.withResolvers<null>();
      const timer = setTimeout(() => limit.resolve(null), patienceMs);
      let trouble: unknown = `no answer within ${patienceMs} ms`;
      const asked = ask(options, credential, report).catch((error: unknown) => {
        trouble = error;
        return null;
      });
      const grant = await Promise.race([asked, limit.promise]);
      clearTimeout(timer);
      if (grant === null && performance.now() - loggedAt >= LOG_EVERY_MS) {
        loggedAt = performance.now();
        log.warn(
          { credential, error: String(trouble) },
          'the quota plan is out of reach: requests go on with a cautious share of what this process was told',
        );
      }
      return grant;
    },
  };

  async function ask(o: QuotaOptions, credential: string, r: QuotaReport): Promise<QuotaGrant> {
    const { window } = r;
    const { rows } = await o.pool.query<Row>(TAKE, [
      credential,
      o.holder,
      o.clock === null ? null : isoTime(o.clock.now()),
      r.rank,
      r.need,
      r.holding,
      r.reserve,
      r.live,
      r.unanswered,
      r.pauseMs,
      r.unbounded,
      whole(window?.limit),
      whole(window?.remaining),
      window?.restMs ?? null,
      window?.ageMs ?? null,
      whole(window?.windowId),
      window?.periodMs ?? null,
      r.leaves,
    ]);
    return asGrant(rows[0] as Row);
  }
}

/**
 * What is on record of these credentials (`QuotaGate.key`), whichever process heard it; `nowMs`: now, by the clock that
 * `resetMs` is to count by. Of a window that is over, limit and period alone. Throws `database`.
 */
export async function readQuotas(
  pool: pg.Pool,
  keys: readonly string[],
  nowMs: Ms,
): Promise<ReadonlyMap<string, Quota>> {
  const { rows } = await naming('read the quotas', () =>
    pool.query<Recorded>(RECORDED, [keys.map(credentialOf)]),
  );
  const found = new Map(rows.map((row) => [row.credential, row]));
  return new Map(
    keys.flatMap((key) => {
      const row = found.get(credentialOf(key));
      if (row === undefined) return [];
      const { quota_limit, remaining, rest, period } = row;
      const resetMs = rest === null ? null : nowMs + rest;
      const quota = { limit: number(quota_limit), remaining: number(remaining), resetMs, periodMs: period };
      return [[key, { ...quota, credential: key }]];
    }),
  );
}

/** A window that ends farther away than it is long was told by a clock that was wrong. */
const RECORDED = `select credential, quota_limit, period, rest, case when rest is not null then remaining end as remaining
  from (select credential, quota_limit, remaining, extract(epoch from period)::double precision * 1000 as period,
      case when ends_at > clock_timestamp() and ends_at <= clock_timestamp() + coalesce(period, interval '1 h') + interval '5 s'
        then extract(epoch from ends_at - clock_timestamp())::double precision * 1000 end as rest
    from logkeep.quota where credential = any($1) and not unbounded) q`;

interface Recorded {
  credential: string;
  quota_limit: string | null;
  remaining: string | null;
  period: number | null;
  rest: number | null;
}

const TAKE = `select * from logkeep.take_quota($1, $2, $3::timestamptz, $4::integer, $5::integer, $6::integer,
  $7::double precision, $8::integer, $9::integer, $10::double precision, $11::boolean, $12::bigint, $13::bigint,
  $14::double precision, $15::double precision, $16::bigint, $17::double precision, $18::boolean)`;

interface Row {
  granted: number;
  wait: number;
  paused: number | null;
  unbounded: boolean;
  quota_limit: string | null;
  remaining: string | null;
  rest: number | null;
  window_id: string | null;
  period: number | null;
  others: number;
  others_live: number;
}

function asGrant(row: Row): QuotaGrant {
  return {
    granted: row.granted,
    waitMs: row.wait,
    pauseMs: row.paused ?? 0,
    unbounded: row.unbounded,
    window:
      row.rest === null || row.remaining === null
        ? null
        : {
            limit: number(row.quota_limit),
            remaining: Number(row.remaining),
            restMs: row.rest,
            windowId: number(row.window_id),
          },
    periodMs: row.period,
    others: row.others,
    othersLive: row.others_live,
  };
}

function number(text: string | null): number | null {
  return text === null ? null : Number(text);
}

/** A header may say 1.5, and a bigint cannot. */
function whole(value: number | null | undefined): number | null {
  return value === null || value === undefined ? null : Math.floor(Math.min(value, Number.MAX_SAFE_INTEGER));
}
