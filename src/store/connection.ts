import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { mayPass } from './database.ts';

/** Waits between tries: about fifteen seconds in all, as long as a restart of Postgres takes. */
const RETRY_WAITS_MS = [100, 200, 400, 800, 1_600, 3_200, 6_400];

/** Runs `work` on a connection of its own; after a failure its transaction is rolled back, or the connection thrown away. */
export async function withClient<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    return await work(client);
  } catch (error) {
    await client.query('rollback').catch(onError);
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}

/** Runs `work` in a transaction. */
export function inTransaction<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  return withClient(pool, async (client) => {
    await client.query('begin');
    const result = await work(client);
    await client.query('commit');
    return result;
  });
}

/** Tries `work` again while a new connection may cure what failed. `work` must be safe to repeat. */
export async function retried<T>(work: () => Promise<T>): Promise<T> {
  for (const waitMs of RETRY_WAITS_MS) {
    try {
      return await work();
    } catch (error) {
      if (!mayPass(error)) throw error;
    }
    await delay(waitMs);
  }
  return work();
}
