import type pg from 'pg';
import type { ErrorKind } from '../errors.ts';
import { asDatabaseError } from './database.ts';

/** Runs of one job that were refused, one after the other, up to the last that ended. */
export interface Refusals {
  readonly runs: number;
  /** How long ago the last one ended, in ms. */
  readonly agoMs: number;
}

/** Failures that come again until somebody changes something: the API, the settings or what lies between. */
const REFUSED: readonly ErrorKind[] = ['auth', 'request', 'protocol'];
/** More are not told apart. */
const MOST = 20;

/** How a job's last runs of a stream (its name and fingerprint) were refused; null: the last one was not. Throws `database`. */
export async function readRefusals(
  pool: pg.Pool,
  [stream, fingerprint]: readonly [string, string],
  job: string,
): Promise<Refusals | null> {
  try {
    const { rows } = await pool.query<{ refused: boolean; ago: number }>(
      `select outcome = 'failed' and error_kind = any($4) as refused,
        extract(epoch from clock_timestamp() - finished_at)::float8 * 1000 as ago
      from logkeep.run where stream = $1 and fingerprint = $2 and job = $3 and outcome <> 'running'
      order by id desc limit ${MOST}`,
      [stream, fingerprint, job, REFUSED],
    );
    const accepted = rows.findIndex(({ refused }) => !refused);
    const runs = accepted < 0 ? rows.length : accepted;
    return runs === 0 ? null : { runs, agoMs: rows[0]?.ago ?? 0 };
  } catch (error) {
    throw asDatabaseError('look whether the last runs were refused', error);
  }
}
