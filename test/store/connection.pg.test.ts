import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { inTransaction, retried } from '../../src/store/connection.ts';
import { asDatabaseError, mayPass, naming, openStore } from '../../src/store/database.ts';
import { createDatabase, startPrivateServer } from '../postgres.ts';

test('a server that dies under connections in use fails their queries, and does not end the process', async () => {
  const server = await startPrivateServer();
  const uncaught: unknown[] = [];
  const listen = (error: unknown) => uncaught.push(error);
  process.on('uncaughtException', listen);
  const store = openStore(server.url);
  try {
    const busy = [
      // Kysely and a transaction of our own, each caught between two queries and in the middle of one.
      store.db.transaction().execute(async (transaction) => {
        await sql`select 1`.execute(transaction);
        await delay(1_500);
        await sql`select 1`.execute(transaction);
      }),
      sql`select pg_sleep(30)`.execute(store.db),
      inTransaction(store.pool, async (client) => {
        await client.query('select 1');
        await delay(1_500);
        await client.query('select 1');
      }),
      store.pool.query('select pg_sleep(30)'),
    ];
    const ended = Promise.allSettled(busy);
    await delay(300);
    await server.restart('immediate');
    // What pg says of it tells that the same may succeed over another connection.
    expect((await ended).map((one) => one.status === 'rejected' && mayPass(one.reason))).toEqual(
      busy.map(() => true),
    );
    expect((await store.pool.query('select 7 as n')).rows).toEqual([{ n: 7 }]);
    expect(uncaught).toEqual([]);
  } finally {
    process.off('uncaughtException', listen);
    await store.close();
    await server.stop();
  }
}, 30_000);

test.each([
  ['Connection terminated', true],
  ['Connection terminated unexpectedly', true],
  ['Connection terminated due to connection timeout', true],
  ['timeout expired', true],
  ['timeout exceeded when trying to connect', true],
  ['Client has encountered a connection error and is not queryable', true],
  ['Client was closed and is not queryable', true],
  ['Received unexpected commandComplete message from backend.', true],
  ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a string', false],
])(
  'pg gives no code with "%s": a failure of the database all the same, which may pass: %s',
  (words, passes) => {
    const error = new Error(words);
    expect(mayPass(error)).toBe(passes);
    expect(asDatabaseError('count', error)).toMatchObject({
      kind: 'database',
      message: `count: ${words}`,
      cause: error,
    });
  },
);

// A laptop that slept in the middle of a transaction is told so as it wakes.
test.each(['25P03', '25P04', '57P05'])(
  'a session that its server ended for its idleness or its length (%s) is a failure that may pass',
  (code) => {
    expect(mayPass(Object.assign(new Error('terminating connection'), { code }))).toBe(true);
  },
);

test.each([
  new TypeError("Cannot read properties of undefined (reading 'from')"),
  Object.assign(new TypeError('The "data" argument must be a string'), { code: 'ERR_INVALID_ARG_TYPE' }),
  new Error('expected a window of whole hours'),
  new Error('Cannot use a pool after calling end on the pool'),
])('%s is a bug: neither tried again nor called a failure of the database', async (bug) => {
  let tries = 0;
  const work = () => {
    tries += 1;
    return Promise.reject(bug);
  };
  await expect(naming('count', () => retried(work))).rejects.toBe(bug);
  expect(tries).toBe(1);
});

test('a breach of the protocol that Postgres itself complains of is a bug; a pooler says the same of a server that went away', async () => {
  const { url, drop } = await createDatabase();
  const store = openStore(url);
  try {
    await store.pool.query('select 1');
    // Fewer values than the statement has places for.
    const breach = await store.pool.query('select $1::integer + $2::integer', [1]).catch((error) => error);
    expect({ code: breach.code, passes: mayPass(breach) }).toEqual({ code: '08P01', passes: false });
  } finally {
    await store.close();
    await drop();
  }
  // All that PgBouncer's answer holds.
  const pooler = Object.assign(new Error('server conn crashed?'), { severity: 'FATAL', code: '08P01' });
  expect(mayPass(pooler)).toBe(true);
});

test('a server without TLS is a failure of the database, which waiting will not cure', async () => {
  const { url, drop } = await createDatabase();
  const store = openStore(`${url}?sslmode=require`);
  try {
    const failure = await naming('count', () => store.pool.query('select 1')).catch((error) => error);
    expect(failure).toMatchObject({
      kind: 'database',
      message: expect.stringMatching(/does not support SSL/),
    });
    expect(mayPass(failure.cause)).toBe(false);
  } finally {
    await store.close();
    await drop();
  }
});

test('a server that is out of room for locks is asked again: others let theirs go; what is said of it names the remedy', async () => {
  const { url, drop } = await createDatabase();
  const store = openStore(url);
  const full = `do $$ begin raise exception 'out of shared memory' using errcode = '53200'; end $$`;
  let tries = 0;
  try {
    const answered = await retried(async () => {
      tries += 1;
      return store.pool.query(tries < 3 ? full : 'select 7 as n');
    });
    expect({ tries, rows: answered.rows }).toEqual({ tries: 3, rows: [{ n: 7 }] });
    await expect(naming('count', () => store.pool.query(full))).rejects.toMatchObject({
      message: 'count: out of shared memory',
      remedy: expect.stringContaining('max_locks_per_transaction'),
    });
  } finally {
    await store.close();
    await drop();
  }
});

test('a full disk is a failure of the database whose place and remedy are named', async () => {
  const { url, drop } = await createDatabase();
  const store = openStore(url, { from: 'DATABASE_URL' });
  const full = `do $$ begin raise exception 'could not extend file: No space left on device' using errcode = '53100'; end $$`;
  try {
    const { host, pathname } = new URL(url);
    await expect(naming('count', () => store.pool.query(full))).rejects.toMatchObject({
      kind: 'database',
      message: `count: DATABASE_URL (${host}${pathname}): could not extend file: No space left on device`,
      remedy: expect.stringContaining("free space on the disk of the database's server"),
    });
  } finally {
    await store.close();
    await drop();
  }
});
