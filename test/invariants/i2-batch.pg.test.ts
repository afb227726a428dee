import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import { type SyncAsk, syncStreams } from '../../src/operations/sync.ts';
import { withClient } from '../postgres.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { type ClientMessage, startTamper, type Tamper, type Verdict } from '../tamper.ts';
import { askOf, createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
type Name = 'qstash.main' | 'datadog.main';
type Judge = (message: ClientMessage) => Verdict | Promise<Verdict>;

let world: World;
let tamper: Tamper;
let app: App;
let judge: Judge = () => 'pass';

beforeEach(async () => {
  world = await createWorld({
    streams: ['qstash.main', 'datadog.main'],
    sandbox: { qstash: { lateness: { minMs: 0, maxMs: 0 } }, datadog: { lateness: { minMs: 0, maxMs: 0 } } },
    settings: { pageSize: 40, since: { agoMs: 2 * HOUR } },
    wrap: pageIsBatch,
  });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 25 });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 100 });
  judge = () => 'pass';
  tamper = await startTamper(world.url, (message) => judge(message));
  app = await world.open({ route: () => tamper.url });
});
afterEach(async () => {
  await app.close();
  await tamper.close();
  await world.close();
});

async function sync(name: Name, how: Judge = () => 'pass') {
  judge = how;
  const streams = app.streams.filter(({ stream }) => stream.id === name);
  const watch: SyncAsk['watch'] = (_, { kind }) => {
    // Its own lease, where only the answer to taking it was lost: what follows is the same in ten seconds.
    if (kind === 'held') void world.endLeases();
  };
  const [result] = await syncStreams({ ...app, streams }, askOf({ watch }));
  judge = () => 'pass';
  return result;
}

async function stored(name: Name): Promise<unknown> {
  return name === 'qstash.main'
    ? difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth()))
    : difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START })));
}

/** What must hold at any moment: the rows of all committed batches and no others, and all that coverage claims. */
async function expectWhole(): Promise<void> {
  const [counts] = await world.query<{ counted: number; rows: number }>(
    `select (select coalesce(sum(new), 0)::integer from logkeep.run) as counted,
      (select count(*)::integer from logkeep.qstash_log) + (select count(*)::integer from logkeep.datadog_log) as rows`,
  );
  expect(counts?.rows).toBe(counts?.counted);
  const claimed = await world.query<{ source: string; from: Date; to: Date }>(
    'select source, lower(span) as from, upper(span) as to from logkeep.stream, unnest(covered) span',
  );
  for (const { source, from, to } of claimed) {
    const span = { from: +from, to: +to };
    const lost =
      source === 'qstash'
        ? difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth(span)))
        : difference(
            await storedDatadog(world),
            onceEach(world.sandbox.datadog.truth({ ...span, visibleAt: START })),
          );
    expect(lost.missing).toEqual([]);
  }
}

/** Statements and ends of copies: where a connection may break. */
function counts({ type }: ClientMessage): boolean {
  return type === 'Q' || type === 'P' || type === 'c';
}

async function reset(): Promise<void> {
  await world.query(
    `truncate logkeep.stream, logkeep.sync_window, logkeep.run, logkeep.quarantine, logkeep.qstash_log,
      logkeep.qstash_request, logkeep.qstash_message, logkeep.datadog_log, logkeep.backfill`,
  );
}

// Unseen and done by turns; Datadog, whose way through the store is the same, at every fourth place.
for (const [name, step] of [
  ['qstash.main', 1],
  ['datadog.main', 4],
] as const) {
  test(`I2: ${name}: a connection that breaks at any statement, unseen or done, costs nothing: the run itself goes on`, async () => {
    // Partitions are made once, in a run before those that count.
    await sync(name);
    await reset();
    let total = 0;
    await sync(name, (message) => {
      total += Number(counts(message));
      return 'pass';
    });
    expect(await stored(name)).toEqual(NO_DIFFERENCE);
    expect(total).toBeGreaterThan(20);
    const failures: string[] = [];
    let tries = 0;
    for (let at = 1; at <= total; at += step) {
      await reset();
      const verdict = tries++ % 2 === 0 ? 'cut' : 'lose';
      let seen = 0;
      let broken = '';
      const result = await sync(name, (message) => {
        if (!counts(message) || ++seen !== at) return 'pass';
        broken = message.text;
        return verdict;
      });
      await expectWhole();
      if (result?.outcome !== 'done') {
        failures.push(`${at} ${verdict} ${broken.slice(0, 60)}: ${result?.error?.message}`);
        await world.endLeases();
        expect(await sync(name)).toMatchObject({ outcome: 'done' });
      }
      expect(await stored(name)).toEqual(NO_DIFFERENCE);
      expect(await world.query('select id from logkeep.sync_window')).toEqual([]);
    }
    // Before the run has begun, there is nothing yet to go on with.
    expect(failures.filter((text) => !text.includes('open the ledger'))).toEqual([]);
  }, 240_000);
}

test('I2: a backend that ends at a statement of the load takes the whole batch with it, and the load is done again', async () => {
  for (const word of ['begin;', 'copy pg_temp', 'logkeep.checkpoint(']) {
    await reset();
    let ended = 0;
    const result = await sync('qstash.main', async (message): Promise<Verdict> => {
      if (ended > 0 || !message.text.includes(word)) return 'pass';
      const killed = await world.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'logkeep'`,
      );
      ended = killed.length;
      return 'pass';
    });
    expect({ word, ended: ended > 0, error: result?.error ?? null, outcome: result?.outcome }).toEqual({
      word,
      ended: true,
      error: null,
      outcome: 'done',
    });
    await expectWhole();
    expect(await stored('qstash.main')).toEqual(NO_DIFFERENCE);
  }
});

test('I2: a COMMIT whose answer is lost is counted once', async () => {
  let lost = 0;
  const result = await sync('qstash.main', ({ text }) => {
    if (!text.includes('logkeep.checkpoint(') || lost > 0) return 'pass';
    lost += 1;
    return 'lose';
  });
  expect(lost).toBe(1);
  const entries = world.sandbox.qstash.truth().length;
  expect(result?.totals).toMatchObject({ fetched: entries, fresh: entries, known: 0, quarantined: 0 });
  const [run] = await world.query(
    'select fetched::integer, new::integer, known::integer, outcome from logkeep.run',
  );
  expect(run).toEqual({ fetched: entries, new: entries, known: 0, outcome: 'done' });
});

test('I2: a batch that Postgres is still at when its connection breaks is waited for, and counted once', async () => {
  let freed: Promise<unknown> | null = null;
  const result = await withClient(world.url, (blocker) =>
    sync('qstash.main', async ({ text }): Promise<Verdict> => {
      if (!text.includes('logkeep.checkpoint(') || freed !== null) return 'pass';
      await blocker.query('begin; lock table logkeep.stream in exclusive mode');
      freed = delay(600).then(() => blocker.query('commit'));
      return 'abandon';
    }).finally(() => freed),
  );
  const entries = world.sandbox.qstash.truth().length;
  expect(result).toMatchObject({ outcome: 'done', totals: { fetched: entries, fresh: entries, known: 0 } });
  expect(await stored('qstash.main')).toEqual(NO_DIFFERENCE);
});

test('I2: no connection is left behind, whatever broke', async () => {
  let copies = 0;
  await sync('qstash.main', ({ text }) =>
    text.includes('copy pg_temp') && ++copies % 3 === 1 ? 'cut' : 'pass',
  );
  expect(copies).toBeGreaterThan(4);
  const { totalCount, idleCount, waitingCount } = app.store.pool;
  expect({ busy: totalCount - idleCount, waitingCount }).toEqual({ busy: 0, waitingCount: 0 });
  const [session] = await world.query<{ n: number }>(
    `select count(*)::integer as n from pg_stat_activity where application_name = 'logkeep' and state like 'idle in transaction%' and datname = current_database()`,
  );
  expect(session?.n).toBe(0);
});

test('I2: a window planned anew although the answer to its COMMIT is lost is read to its end all the same', async () => {
  world.sandbox.faults.next('qstash', { kind: 'bad_cursor' });
  let replanning = false;
  let lost = 0;
  const result = await sync('qstash.main', ({ type, text }) => {
    if (text.startsWith('delete from logkeep.sync_window where id')) replanning = true;
    if (!replanning || type !== 'Q' || text !== 'commit' || lost > 0) return 'pass';
    lost += 1;
    return 'lose';
  });
  expect(lost).toBe(1);
  expect(result).toMatchObject({ outcome: 'done', error: null });
  expect(await stored('qstash.main')).toEqual(NO_DIFFERENCE);
});
