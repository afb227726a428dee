import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sandbox, startSandbox } from '../../src/sandbox/sandbox.ts';
import { type Asker, createAsker, type PrivateServer, startPrivateServer, withClient } from '../postgres.ts';
import { onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { startTamper, type Tamper, type Verdict } from '../tamper.ts';
import { type Command, startCommand, until } from './command.ts';
import { differ } from './lines.ts';

const HOUR = 3_600_000;
const STREAMS = ['datadog.main', 'qstash.main'] as const;

type StreamName = (typeof STREAMS)[number];

/**
 * How a kill meets the process. `between`: wherever it is after its first commit. The rest stop it inside a
 * transaction that loads the stream: `begun` before it has written anything; `written` when all is written and only
 * the COMMIT is missing, and the server gives the transaction up; `orphaned` likewise, and the server goes on to the
 * COMMIT although nobody is there any more.
 */
type Inside = 'begun' | 'written' | 'orphaned';
type Way = 'between' | `${Inside} ${StreamName}`;

const WAYS: readonly Way[] = [
  ...['between', 'written qstash.main', 'between', 'between', 'orphaned datadog.main', 'between'],
  ...['begun qstash.main', 'between', 'between', 'written datadog.main', 'between', 'between'],
  ...['orphaned qstash.main', 'between', 'between', 'begun datadog.main'],
  ...['between', 'between', 'between', 'between'],
] as Way[];
/** After how many kills Postgres is restarted, and whether a process is using it then. */
const RESTARTS = [
  { after: 4, mode: 'immediate', inUse: false },
  { after: 9, mode: 'fast', inUse: true },
  { after: 13, mode: 'immediate', inUse: true },
] as const;
/** After how many kills the answer to a COMMIT is lost. */
const LOST_AFTER = 11;

let server: PrivateServer;
let asker: Asker;
let sandbox: Sandbox;
let tamper: Tamper;
let verdict: (text: string) => Verdict = () => 'pass';
const processes: Command[] = [];

beforeAll(async () => {
  server = await startPrivateServer();
  asker = createAsker(server.url);
  sandbox = await startSandbox({
    qstash: { quota: null, maxCount: 40 },
    datadog: { quota: null, maxLimit: 40, overMax: 'clamp' },
  });
  // Long since visible, the latest of the late too: what is there at the end is owed to the entry.
  const end = Date.now() - 20 * HOUR;
  sandbox.qstash.history({ from: end - 4 * HOUR, to: end, messages: 4500 });
  sandbox.datadog.history({ from: end - 4 * HOUR, to: end, logs: 18_000 });
  tamper = await startTamper(server.url, ({ text }) => verdict(text));
  // The oldest part first: what is read newest first within one chain seldom changes what is known of a message.
  await synced(['sync', '--since', '26h', '--until', new Date(end - 3.9 * HOUR).toISOString()]);
});

afterAll(async () => {
  for (const process of processes) if (process.running()) await process.kill();
  await tamper?.close();
  await sandbox?.close();
  await asker?.end();
  await server?.stop();
});

test('after 20 SIGKILLs, six of them inside a loading transaction of one stream or the other, three restarts of Postgres and a lost COMMIT every entry is there, once', async () => {
  slowDown();
  const met = new Map<Way, number>();
  let lost = 0;
  for (const [index, way] of WAYS.entries()) {
    const command = start();
    await firstCommits(command);
    const restart = RESTARTS.find(({ after }) => after === index);
    if (restart?.inUse === true) {
      const before = await progressOf(command);
      await server.restart(restart.mode);
      await until(command, 'a commit after the restart', async () => (await progressOf(command)) > before);
    }
    if (index === LOST_AFTER) {
      const before = await progressOf(command);
      verdict = (text) => {
        if (lost > 0 || !text.includes('logkeep.checkpoint(')) return 'pass';
        lost += 1;
        return 'lose';
      };
      await until(
        command,
        'commits after the lost one',
        async () => lost > 0 && (await progressOf(command)) > before + 2,
      );
      verdict = () => 'pass';
    }
    if (way === 'between') await command.kill();
    else await killInside(command, ...(way.split(' ') as [Inside, StreamName]));
    expect(await openChains()).toEqual([...STREAMS]);
    met.set(way, (met.get(way) ?? 0) + 1);
    if (restart?.inUse === false) await server.restart(restart.mode);
    await endLeases();
  }
  expect(Object.fromEntries(met)).toEqual({
    between: 14,
    'begun qstash.main': 1,
    'begun datadog.main': 1,
    'written qstash.main': 1,
    'written datadog.main': 1,
    'orphaned qstash.main': 1,
    'orphaned datadog.main': 1,
  });
  expect(lost).toBe(1);

  sandbox.faults.clear();
  await query(`update logkeep.run set alive_until = clock_timestamp() - interval '1 s'`);
  await synced(['sync', '--since', '26h']);

  const stored = { qstash: await storedQstash({ query }), datadog: await storedDatadog({ query }) };
  expect(differ(stored.qstash, onceEach(sandbox.qstash.truth()))).toEqual([]);
  expect(differ(stored.datadog, onceEach(sandbox.datadog.truth()))).toEqual([]);
  expect(await query('select * from logkeep.gap')).toEqual([]);
  expect(await query('select * from logkeep.sync_window')).toEqual([]);
  expect(await query('select * from logkeep.quarantine')).toEqual([]);
  const outcomes = await query(
    'select stream, outcome, count(*)::integer as runs from logkeep.run group by 1, 2 order by 1, 2',
  );
  expect(outcomes).toEqual(
    STREAMS.flatMap((stream) => [
      { stream, outcome: 'crashed', runs: WAYS.length },
      { stream, outcome: 'done', runs: 2 },
    ]),
  );
  const counted = await query(
    'select stream, sum(new)::integer as new from logkeep.run group by 1 order by 1',
  );
  expect(counted).toEqual([
    { stream: 'datadog.main', new: stored.datadog.length },
    { stream: 'qstash.main', new: stored.qstash.length },
  ]);
  expect(await messagesThatDisagree()).toEqual([]);
}, 300_000);

test('after a SIGKILL the next sync goes on within 15 s', async () => {
  const end = Date.now() - 27 * HOUR;
  sandbox.qstash.history({ from: end - HOUR, to: end, messages: 500 });
  sandbox.datadog.history({ from: end - HOUR, to: end, logs: 2000 });
  slowDown();
  const since = '29h';
  const killed = start(since);
  await firstCommits(killed);
  await killed.kill();
  expect(await openChains()).toEqual([...STREAMS]);
  const started = performance.now();
  const next = start(since);
  await firstCommits(next);
  expect(performance.now() - started).toBeLessThan(15_000);
  sandbox.faults.clear();
  await next.ended();
  expect({ code: next.code(), said: next.code() === 0 ? '' : next.said() }).toEqual({ code: 0, said: '' });
  expect(differ(await storedQstash({ query }), onceEach(sandbox.qstash.truth()))).toEqual([]);
  expect(differ(await storedDatadog({ query }), onceEach(sandbox.datadog.truth()))).toEqual([]);
}, 120_000);

/** Both chains must outlast the test on a busy machine: they take about three minutes so. Answers that take their time, and a wait for quota now and then, before which what is in hand is stored. */
function slowDown(): void {
  sandbox.faults.every(5, { kind: 'rate_limit', retryAfterS: 2 }, 'qstash');
  sandbox.faults.every(5, { kind: 'rate_limit', retryAfterS: 2 }, 'datadog');
  sandbox.faults.every(2, { kind: 'slow', ms: 60 });
}

function environment(): Record<string, string> {
  return { ...sandbox.env, DATABASE_URL: tamper.url, DATABASE_URL_DIRECT: server.url };
}

function start(since = '26h'): Command {
  const command = startCommand(['sync', '--since', since], environment());
  processes.push(command);
  return command;
}

async function synced(args: readonly string[]): Promise<void> {
  const command = startCommand(args, environment());
  processes.push(command);
  await command.ended();
  if (command.code() !== 0) throw new Error(`${args.join(' ')}: exit ${command.code()}: ${command.said()}`);
}

/** Waits until both streams have committed a batch in this process, and both chains go on. */
async function firstCommits(command: Command): Promise<void> {
  await until(command, 'a first commit of both streams', async () => {
    const runs = await query<{ batches: number }>(
      `select batches from logkeep.run where outcome = 'running' and holder like '%:' || $1 || ':%' and batches > 0`,
      [command.pid],
    );
    return runs.length === STREAMS.length;
  });
}

/** Batches that the process has committed, both streams together. */
async function progressOf({ pid }: Command): Promise<number> {
  const [row] = await query<{ batches: number }>(
    `select sum(batches)::integer as batches from logkeep.run where holder like '%:' || $1 || ':%'`,
    [pid],
  );
  return row?.batches ?? 0;
}

/** Streams whose chain has pages behind it and pages before it. */
async function openChains(): Promise<readonly string[]> {
  const windows = await query<{ stream: string }>(
    'select distinct stream from logkeep.sync_window where pages > 0 and cursor is not null order by 1',
  );
  return windows.map(({ stream }) => stream);
}

/** Holds a lock that the next batch of the stream needs, kills the process while it waits, and lets go. */
async function killInside(command: Command, way: Inside, stream: StreamName): Promise<void> {
  await withClient(server.url, async (client) => {
    await client.query('begin');
    if (way === 'begun') {
      await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [`logkeep:load:${stream}`]);
    } else {
      await client.query('select from logkeep.sync_window where stream = $1 for update', [stream]);
    }
    const before = await entriesOf(stream);
    // What the server shows of a statement is its beginning. It waits for us, or behind a renewal that does.
    const turn = `select pg_advisory_xact_lock(%logkeep:load:${stream}%`;
    const statement = way === 'begun' ? turn : `${turn}with batch as %`;
    let backend = 0;
    await until(command, `a transaction of ${stream} that waits for our lock (${way})`, async () => {
      // Asked on another connection: within a transaction the server shows one moment only.
      const [session] = await query<{ pid: number }>(
        `select pid from pg_stat_activity where application_name = 'logkeep' and xact_start is not null
          and state = 'active' and cardinality(pg_blocking_pids(pid)) > 0 and query like $1`,
        [statement],
      );
      backend = session?.pid ?? 0;
      return backend !== 0;
    });
    await command.kill();
    expect(await entriesOf(stream)).toBe(before);
    // Else the server goes on to the COMMIT that it was sent, although nobody waits for its answer any more.
    if (way !== 'orphaned') {
      await client.query('select pg_terminate_backend($1)', [backend]);
      await gone(backend);
    }
    await client.query('commit');
    await gone(backend);
    const after = await entriesOf(stream);
    if (way === 'orphaned') expect(after).toBeGreaterThan(before);
    else expect(after).toBe(before);
  });
}

async function entriesOf(stream: StreamName): Promise<number> {
  const table = stream === 'qstash.main' ? 'qstash_log' : 'datadog_log';
  const [row] = await query<{ n: number }>(
    `select count(*)::integer as n from logkeep.${table} where stream = $1`,
    [stream],
  );
  return row?.n ?? 0;
}

/** Waits until a session of the server has ended. */
async function gone(backend: number): Promise<void> {
  await until(null, `the end of session ${backend}`, async () => {
    const sessions = await query('select from pg_stat_activity where pid = $1', [backend]);
    return sessions.length === 0;
  });
}

/** Lets the leases of the killed process end, as ten seconds would: the second test waits for them in earnest. */
async function endLeases(): Promise<void> {
  await query(`update logkeep.sync_window set lease_until = clock_timestamp() - interval '1 s'`);
}

/** Messages that do not stand where their stored entries say, by rules written down here once more. */
async function messagesThatDisagree(): Promise<readonly unknown[]> {
  return query(
    `with entry as (
      select stream, message_id, time, entry_id, state, error,
        case when state in ('CANCELED', 'CANCELLED') then 1 when state = 'FAILED' then 2
          when state = 'DELIVERED' then 3 else 0 end as terminal,
        coalesce(array_position(array['CREATED', 'ACTIVE', 'ERROR', 'RETRY', 'CANCEL_REQUESTED'], state), 0) as rank
      from logkeep.qstash_log),
    standing as (
      select distinct on (stream, message_id) stream, message_id, state, case when terminal > 0 then time end as finished_at
      from entry
      order by stream, message_id, terminal desc, case when terminal > 0 then time end, time desc, rank desc, entry_id desc),
    failure as (
      select distinct on (stream, message_id) stream, message_id, error as last_error from entry
      where error is not null order by stream, message_id, time desc, rank desc, entry_id desc),
    tried as (
      select stream, message_id, (count(*) filter (where state = 'ACTIVE'))::integer as attempts from entry group by 1, 2),
    said as (
      select stream, message_id, state, finished_at, last_error, attempts
      from standing join tried using (stream, message_id) left join failure using (stream, message_id)),
    kept as (
      select stream, message_id, state, finished_at, last_error, attempts from logkeep.qstash_message)
    (select 'stored' as by, * from kept except select 'stored', * from said)
    union all
    (select 'entries', * from said except select 'entries', * from kept)
    order by message_id, by limit 4`,
  );
}

function query<Row extends Record<string, unknown>>(text: string, values: unknown[] = []): Promise<Row[]> {
  return asker.query<Row>(text, values);
}
