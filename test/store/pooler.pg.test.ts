import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import { LogkeepError } from '../../src/errors.ts';
import { type SyncAsk, syncStreams } from '../../src/operations/sync.ts';
import { accountFor, freePort } from '../../src/store/cluster.ts';
import { withClient } from '../postgres.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { startTamper, type Verdict } from '../tamper.ts';
import { askOf, createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;

beforeEach(async () => {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    settings: { pageSize: 40, since: { agoMs: 2 * HOUR } },
    sandbox: { qstash: prompt, datadog: prompt },
    wrap: pageIsBatch,
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 120 });
});
afterEach(() => world.close());

async function expectComplete(): Promise<void> {
  expect(difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))).toEqual(
    NO_DIFFERENCE,
  );
  expect(
    difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
}

test('a sync names no statement, holds no lock beyond its transactions, and sets nothing for the session', async () => {
  const statements: string[] = [];
  const tamper = await startTamper(world.url, ({ type, text }) => {
    if (type === 'Q' || type === 'P') statements.push(text);
    return 'pass';
  });
  let prepared = 0;
  let connections = 0;
  let sessionLocks = 0;
  const counted = await startTamper(tamper.url, async ({ type }): Promise<Verdict> => {
    if (type !== 'S') return 'pass';
    const [row] = await world.query<{ locks: number }>(
      `select count(*)::integer as locks from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and a.application_name = 'logkeep' and a.state = 'idle' and a.datname = current_database()`,
    );
    sessionLocks += row?.locks ?? 0;
    return 'pass';
  });
  try {
    const app = await world.open({ route: () => counted.url });
    const results = await syncStreams(app, askOf());
    expect(results.map(({ outcome }) => outcome)).toEqual(['done', 'done']);
    const { pool } = app.store;
    connections = pool.totalCount;
    // All of them at once: each is asked, none twice.
    const clients = await Promise.all(Array.from({ length: connections }, () => pool.connect()));
    for (const client of clients) {
      prepared += (await client.query('select 1 from pg_prepared_statements')).rowCount ?? 1;
      client.release();
    }
    await app.close();
  } finally {
    await counted.close();
    await tamper.close();
  }
  expect(statements.length).toBeGreaterThan(40);
  expect(connections).toBeGreaterThan(1);
  expect({ prepared, sessionLocks }).toEqual({ prepared: 0, sessionLocks: 0 });
  const lasting =
    /\b(listen|unlisten|prepare|deallocate)\b|pg_advisory_lock\b|^\s*set (?!local)|;\s*set (?!local)|create temp table (?![^;]*on commit)/i;
  expect(statements.filter((text) => lasting.test(text))).toEqual([]);
  await expectComplete();
});

/** Before each transaction `begin` is done to its connection; `size` of them at most are out at once, if said. */
function behindPooler(
  pool: pg.Pool,
  { size = Number.POSITIVE_INFINITY, begin = async () => {} }: PoolerHabits,
): void {
  const connect = pool.connect.bind(pool) as () => Promise<pg.PoolClient>;
  const waiting: (() => void)[] = [];
  let free = size;
  const take = async (): Promise<pg.PoolClient> => {
    if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve));
    else free -= 1;
    const client = await connect();
    const { release } = client;
    client.release = (error) => {
      release(error);
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    };
    await begin(client);
    return client;
  };
  Object.assign(pool, {
    connect: (done?: (error: Error | undefined, client?: pg.PoolClient, release?: unknown) => void) => {
      if (done === undefined) return take();
      take().then(
        (client) => done(undefined, client, client.release),
        (error: Error) => done(error),
      );
    },
  });
}

interface PoolerHabits {
  readonly size?: number;
  readonly begin?: (client: pg.PoolClient) => Promise<void>;
}

test('each transaction may meet a connection that knows nothing of the ones before', async () => {
  // What a pooler in transaction mode does at worst: before each transaction, everything of the session is gone.
  const app = await world.open();
  let forgotten = 0;
  behindPooler(app.store.pool, {
    begin: async (client) => {
      await client.query('discard all');
      forgotten += 1;
    },
  });
  const results = await syncStreams(app, askOf());
  expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual([
    { outcome: 'done', error: null },
    { outcome: 'done', error: null },
  ]);
  expect(forgotten).toBeGreaterThan(20);
  await app.close();
  await expectComplete();
});

/** Some more of both, of which a part in the middle is stored already, though it counts as never read. */
async function storeMiddle(): Promise<void> {
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 80 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 240 });
  const middle = { since: { atMs: START - HOUR * 0.75 }, untilMs: START - HOUR / 2 };
  await world.sync(middle);
  await world.query(`update logkeep.stream set covered = '{}', young = '{}'`);
}

/** Syncs, and stops when `batches` are stored; gives how each stream ended, and how long it took to from then on. */
async function syncUntil(app: App, batches: number): Promise<{ outcomes: string[]; stoppedMs: number }> {
  const stop = new AbortController();
  let stored = 0;
  let stoppedAt = Number.POSITIVE_INFINITY;
  const watch: SyncAsk['watch'] = (_, { kind }) => {
    if (kind === 'stored') stored += 1;
    if (stored !== batches || stop.signal.aborted) return;
    stop.abort(new LogkeepError('aborted', 'that is enough'));
    stoppedAt = performance.now();
  };
  const results = await syncStreams(app, askOf({ signal: stop.signal, watch }));
  const outcomes = results.map(({ outcome, error }) => error?.message ?? outcome);
  return { outcomes, stoppedMs: performance.now() - stoppedAt };
}

test.each([1, 2])(
  'with %i server connection(s) no batch waits, holding one, for a batch that needs one; an abort is heard',
  async (size) => {
    await storeMiddle();
    for (const [batches, outcome] of [
      [9, 'stopped'],
      [Number.POSITIVE_INFINITY, 'done'],
    ] as const) {
      const app = await world.open();
      behindPooler(app.store.pool, { size });
      const { outcomes, stoppedMs } = await syncUntil(app, batches);
      await app.close();
      expect(outcomes).toEqual([outcome, outcome]);
      if (outcome === 'stopped') expect(stoppedMs).toBeLessThan(1_000);
    }
    await expectComplete();
  },
);

const pooler = (process.env.PATH ?? '')
  .split(delimiter)
  .concat('/usr/sbin')
  .map((folder) => join(folder, 'pgbouncer'))
  .find(existsSync);

// Users' machines mostly have none, and the tests above ask for the same.
test.skipIf(pooler === undefined)(
  'through a real PgBouncer in transaction mode with one connection, both streams are read to the end',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'logkeep-pooler-'));
    await chmod(folder, 0o755);
    const port = await freePort(null);
    const { hostname, port: server, username, password, pathname } = new URL(world.url);
    const database = pathname.slice(1);
    await writeFile(
      join(folder, 'pgbouncer.ini'),
      `[databases]\n${database} = host=${hostname} port=${server || 5432} user=${username}${password === '' ? '' : ` password=${password}`}\n` +
        `[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${port}\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 1\nunix_socket_dir =\n`,
    );
    const account = await accountFor(folder);
    const child = spawn(pooler ?? 'pgbouncer', ['-q', join(folder, 'pgbouncer.ini')], {
      stdio: 'ignore',
      ...(account === null ? {} : { uid: account.uid, gid: account.gid }),
    });
    try {
      await storeMiddle();
      const url = new URL(world.url);
      url.hostname = '127.0.0.1';
      url.port = String(port);
      await expect
        .poll(
          () =>
            withClient(url.href, (client) => client.query('select 1')).then(
              () => true,
              () => false,
            ),
          { timeout: 10_000 },
        )
        .toBe(true);
      for (let run = 0; run < 2; run++) {
        const results = await world.sync({}, { route: () => url.href });
        expect(results.map(({ outcome, error }) => ({ outcome, error }))).toEqual([
          { outcome: 'done', error: null },
          { outcome: 'done', error: null },
        ]);
      }
      await expectComplete();
    } finally {
      child.kill('SIGINT');
      await rm(folder, { recursive: true, force: true });
    }
  },
);
