import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Sandbox } from '../../src/sandbox/sandbox.ts';
import { readModel } from '../../src/serve/read-model.ts';
import { explain, type Why } from '../../src/serve/why.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { beatProcess } from '../../src/store/process.ts';
import { createDesk } from '../cli/child.ts';
import { askOf, createWorld, pageIsBatch, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
let world: World;
let store: Store;

beforeEach(async () => {
  await begin({});
});
afterEach(end);

/** A world on the machine's clock, as the database has no other; entries of the last two hours. */
async function begin(options: WorldOptions): Promise<void> {
  world = await createWorld({
    streams: ['datadog.main'],
    clock: systemClock,
    settings: { retryMs: 100, since: { agoMs: 3 * HOUR } },
    ...options,
    sandbox: { clock: systemClock, ...options.sandbox },
  });
  store = openStore(world.url);
  const now = Date.now();
  world.sandbox.datadog.history({ from: now - 2 * HOUR, to: now - 10 * MINUTE, logs: 40 });
}

async function end(): Promise<void> {
  await store.close();
  await world.close();
}

async function why(changes: { settleMs?: number | null } = {}): Promise<Why> {
  const { streams, processes } = await readModel(store.db);
  const status = streams[0] ?? null;
  return explain({
    stream: 'datadog.main',
    status,
    settleMs: 120_000,
    processes: processes.length,
    ...changes,
  });
}

/** Runs a sync beside the test until `seen`, then stops it. */
async function during(seen: () => Promise<boolean>, options: Partial<WorldOptions> = {}): Promise<void> {
  const stop = new AbortController();
  const app = await world.open(options);
  const syncing = syncStreams(app, askOf({ signal: stop.signal }));
  try {
    await expect.poll(seen, { timeout: 20_000, interval: 100 }).toBe(true);
  } finally {
    stop.abort();
    await syncing;
    await app.close();
  }
}

describe('why, against a database that got there by itself', () => {
  it('a stream that was just read to the end is caught up', async () => {
    await world.sync();
    expect(await why()).toMatchObject({ cause: 'caught_up', lostMs: 0, next: null });
  });

  it('one that was read up to an hour ago is behind as no process runs, and its next run is due as one does', async () => {
    await world.sync({ untilMs: Date.now() - HOUR });
    expect(await why()).toMatchObject({
      cause: 'no_process',
      sentence: expect.stringMatching(
        /^datadog\.main is 1 h.* behind because no process runs: its last run ended \d+ m?s ago; next window .*; nothing lost$/,
      ),
    });
    await beatProcess(store.db, { holder: 'host:1:abc', version: '1', aliveMs: 30_000 });
    expect((await why()).cause).toBe('due');
    await beatProcess(store.db, { holder: 'host:1:abc', version: '1', aliveMs: -1 });
    expect((await why()).cause).toBe('no_process');
    expect((await why({ settleMs: null })).cause).toBe('not_configured');
    const beat = () => beatProcess(store.db, { holder: 'host:2:def', version: '1', aliveMs: 30_000 });
    const known = async () =>
      (await store.pool.query('select holder from logkeep.process order by 1')).rows.map(
        ({ holder }) => holder,
      );
    await beat();
    expect(await known()).toEqual(['host:1:abc', 'host:2:def']);
    await store.pool.query(`update logkeep.process set alive_until = alive_until - interval '1 d'`);
    await beat();
    expect(await known(), 'one that died a day ago is forgotten').toEqual(['host:2:def']);
  });

  it('credentials that are refused: since the first refusal in a row', async () => {
    await world.sync({ untilMs: Date.now() - HOUR });
    const own = { app_key: 'wrong' };
    const firstMs = Date.now();
    await world.sync({}, { settings: { own } });
    await world.sync({}, { settings: { own } });
    const told = await why();
    expect(told).toMatchObject({
      cause: 'auth',
      sentence: expect.stringMatching(/refuses the credentials since .*\(.*403/),
    });
    expect(told.sinceMs).toBeGreaterThan(firstMs - 2_000);
    expect(told.sinceMs).toBeLessThan(firstMs + 5_000);
    await world.sync();
    expect((await why()).cause).toBe('caught_up');
  });

  it('an API that is down: since when, with the last error, until it answers again', async () => {
    await world.sync({ untilMs: Date.now() - HOUR });
    const stop = failFor(world.sandbox);
    await world.sync();
    await world.sync();
    expect(await why()).toMatchObject({
      cause: 'unavailable',
      sentence: expect.stringMatching(
        /because the API is down since (?:\S+ )?\d\d:\d\dZ \(the API answered .*503.*\), and no process runs/,
      ),
    });
    stop();
    await world.sync();
    expect((await why()).cause).toBe('caught_up');
  });

  it('a quota that is spent: until it opens again', async () => {
    await end();
    await begin({
      sandbox: { datadog: { quota: { limit: 3, periodS: 3600 } } },
      settings: { pageSize: 5, reserve: 0, since: { agoMs: 3 * HOUR } },
    });
    let told: Why | null = null;
    await during(async () => {
      told = await why();
      return told.cause === 'quota';
    });
    const hourEnds = Math.ceil(Date.now() / HOUR) * HOUR;
    expect(told).toMatchObject({ sentence: expect.stringContaining('because the quota is spent until ') });
    expect(Math.abs(((told as unknown as Why).untilMs as number) - hourEnds)).toBeLessThan(90_000);
    // Also after the process that waited is gone: the API's last word stands.
    expect((await why()).cause).toBe('quota');
  });

  it('a backlog that is being read: by whom, how much, how quickly, and how long it takes', async () => {
    await end();
    await begin({ settings: { pageSize: 1, concurrency: 1, spacingMs: 300, since: { agoMs: 3 * HOUR } } });
    let told: Why | null = null;
    await during(
      async () => {
        told = await why();
        return told.cause === 'backlog' && told.untilMs !== null;
      },
      { wrap: pageIsBatch },
    );
    expect(told).toMatchObject({
      sentence: expect.stringMatching(
        /because \S+:\d+:\w+ reads a backlog: \d+ entr(y|ies) so far, \d\.\d\/s, about .* to go; next window/,
      ),
    });
  });

  it('a process that died: its window is held until the lease ends, then nobody reads', async () => {
    await world.sync({ untilMs: Date.now() - HOUR });
    await store.pool.query(
      `with w as (insert into logkeep.sync_window (stream, fingerprint, from_time, to_time, holder, lease_until)
        select stream, fingerprint, upper(covered), now(), 'host:9:dead', now() + interval '9 s' from logkeep.stream)
      insert into logkeep.run (stream, fingerprint, job, holder, started_at, alive_until)
      select stream, fingerprint, 'sync', 'host:9:dead', now() - interval '5 min', now() - interval '4 min' from logkeep.stream`,
    );
    expect(await why()).toMatchObject({
      cause: 'held',
      sentence: expect.stringContaining('host:9:dead holds its window'),
    });
    await world.endLeases();
    expect(await why()).toMatchObject({
      cause: 'no_process',
      sentence: expect.stringMatching(/its last run died without reporting 5 min( \d+ s)? ago/),
    });
  });

  it('a span that expired before it was read is lost, and a hole is still to be read', async () => {
    const now = Date.now();
    await world.sync({}, { settings: { retentionMs: 2 * HOUR, since: { atMs: now - 5 * HOUR } } });
    const told = await why();
    expect(told.lostMs).toBeGreaterThan(2.9 * HOUR);
    expect(told.lostMs).toBeLessThan(3.1 * HOUR);
    expect(told.sentence).toMatch(
      /; (3 h|2 h 59 min) .*lost: expired before it was read$|; (3 h|2 h 59 min) lost/,
    );
    const model = await readModel(store.db);
    expect(model.streams[0]?.lostLatelyMs).toBe(told.lostMs);
    await store.pool.query(
      `update logkeep.stream set covered = covered - tstzmultirange(tstzrange(now() - interval '60 min', now() - interval '30 min'))`,
    );
    expect(await why()).toMatchObject({
      cause: 'no_process',
      sentence: expect.stringMatching(/^datadog\.main is caught up but for 1 hole \(30 min\) because /),
    });
  });

  it('quiet is told in event time that was read: an outage is no silence', async () => {
    await world.sync();
    await store.pool.query('delete from logkeep.run');
    const run = (minute: number, fresh: number, outcome = 'done') =>
      store.pool.query(
        `insert into logkeep.run (stream, fingerprint, job, holder, outcome, window_to, finished_at, fetched, new)
        select stream, fingerprint, 'sync', 'h', $3, date_trunc('day', now()) - interval '2 d' + $1 * interval '1 min', now(), $2, $2 from logkeep.stream`,
        [minute, fresh, outcome],
      );
    // New, ten quiet minutes, new; an outage of five hours, then new at once; twenty quiet minutes.
    for (const [minute, fresh] of [
      [0, 3],
      [5, 0],
      [10, 0],
      [11, 2],
    ] as const)
      await run(minute, fresh);
    await run(100, 0, 'failed');
    for (const [minute, fresh] of [
      [311, 9],
      [320, 0],
      [331, 0],
    ] as const)
      await run(minute, fresh);
    const [status] = (await readModel(store.db)).streams;
    expect(status?.quiet).toEqual({
      lengthMs: 20 * MINUTE,
      longestMs: 10 * MINUTE,
      historyMs: 331 * MINUTE,
      arrivals: 3,
    });
  });
});

describe('logkeep why', () => {
  it('prints one sentence a stream, or JSON, and needs no request', async () => {
    await world.sync({ untilMs: Date.now() - HOUR });
    const before = world.sandbox.requests().length;
    const desk = createDesk({ ...world.sandbox.env, DATABASE_URL: world.url });
    try {
      const text = await desk.run('why');
      expect(text.code).toBe(0);
      expect(text.out.trim().split('\n').sort()).toEqual([
        expect.stringMatching(/^datadog\.main is 1 h.* behind because no process runs/),
        'qstash.main was never read: start `logkeep serve`, or run `logkeep sync`',
      ]);
      const { out } = await desk.run('why --stream datadog.main --json');
      expect(JSON.parse(out).streams).toEqual([
        {
          stream: 'datadog.main',
          cause: 'no_process',
          sentence: expect.any(String),
          behind_ms: expect.any(Number),
          next_window: { from: expect.stringMatching(/Z$/), to: expect.stringMatching(/Z$/) },
          lost_ms: 0,
          since: expect.stringMatching(/Z$/),
          until: null,
        },
      ]);
      const changed = await desk.run('why --stream datadog.main', { DD_LOGS_QUERY: 'service:web' });
      expect(changed.out).toContain('datadog.main was never read with these settings');
      const wrong = await desk.run('why --stream datadog.man');
      expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining('did you mean datadog.main?')]);
      expect(world.sandbox.requests().length).toBe(before);
    } finally {
      desk.clear();
    }
  });
});

/** Answers every request with 503 until called. */
function failFor(sandbox: Sandbox): () => void {
  sandbox.faults.add({ api: 'datadog', fault: { kind: 'unavailable' }, times: 1_000 });
  return () => sandbox.faults.clear();
}
