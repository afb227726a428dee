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
/** Of a stream's latest runs of all jobs so many are looked at: its history may be long, and a job's runs in it few. */
const LOOKED_AT = 500;

/**
 * How a job's last runs of a stream (its name and fingerprint) within `sinceMs` were refused before they got anything;
 * null: the last one was not. Throws `database`.
 */
export async function readRefusals(
  pool: pg.Pool,
  [stream, fingerprint]: readonly [string, string],
  job: string,
  sinceMs: number,
): Promise<Refusals | null> {
  try {
    const { rows } = await pool.query<{ refused: boolean; ago: number }>(
      `select outcome = 'failed' and error_kind = any($4) and fetched = 0 as refused,
        extract(epoch from clock_timestamp() - finished_at)::float8 * 1000 as ago
      from (select * from logkeep.run where stream = $1 order by id desc limit ${LOOKED_AT}) latest
      where fingerprint = $2 and job = $3 and outcome <> 'running' order by id desc`,
      [stream, fingerprint, job, REFUSED],
    );
    // One that ended in the future ended by a clock that has been set back: how long ago is not known.
    const other = rows.findIndex(({ refused, ago }) => !refused || ago < 0 || ago >= sinceMs);
    const runs = other < 0 ? rows.length : other;
    return runs === 0 ? null : { runs, agoMs: rows[0]?.ago ?? 0 };
  } catch (error) {
    throw asDatabaseError('look whether the last runs were refused', error);
  }
}
