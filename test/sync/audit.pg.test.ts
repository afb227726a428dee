import { afterEach, expect, test } from 'vitest';
import { isFailure } from '../../src/errors.ts';
import type { Span } from '../../src/model.ts';
import { type Audit, type AuditAsk, isSound } from '../../src/operations/audit.ts';
import { createWorld, START, type World, type WorldOptions } from '../world.ts';
import { auditFirst } from './auditing.ts';
import { sweep } from './sweeping.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
let world: World;

afterEach(() => world.close());

type StreamName = 'qstash.main' | 'datadog.main';
const STREAMS = ['qstash.main', 'datadog.main'] as const;
const TABLE = {
  'qstash.main': { table: 'qstash_log', time: 'time', id: 'entry_id' },
  'datadog.main': { table: 'datadog_log', time: 'timestamp', id: 'event_id' },
} as const;

/** A stream with a day of entries, read once. */
async function made(stream: StreamName, options: Partial<WorldOptions> = {}): Promise<void> {
  world = await createWorld({
    streams: [stream],
    ...options,
    settings: { pageSize: 50, retentionMs: 3 * DAY, sweepAfterMs: 6 * HOUR, ...options.settings },
  });
  world.sandbox.qstash.history({ from: START - DAY, to: START, messages: 80 });
  world.sandbox.datadog.history({ from: START - DAY, to: START, logs: 320 });
  expect(await world.sync()).toMatchObject([{ outcome: 'done' }]);
}

async function audit(ask: Partial<AuditAsk> = {}, changes: Partial<WorldOptions> = {}): Promise<Audit> {
  const app = await world.open(changes);
  try {
    const found = await auditFirst(app, ask);
    if (found === null) throw new Error('the stream was never read');
    return found;
  } finally {
    await app.close();
  }
}

/** Takes the row away whose time is the nearest after `at`, and gives its time. */
async function lose(stream: StreamName, at: number): Promise<number> {
  const { table, time } = TABLE[stream];
  const [row] = await world.query<{ at: Date }>(
    `delete from logkeep.${table} where ctid = any(array(select ctid from logkeep.${table} where ${time} >= $1 order by ${time} limit 1))
      and ${time} = (select min(${time}) from logkeep.${table} where ${time} >= $1) returning ${time} as at`,
    [new Date(at).toISOString()],
  );
  return Number(row?.at);
}

const dump = () =>
  world.query(
    `select (select json_agg(s order by s) from logkeep.stream s)::text as s, (select count(*) from logkeep.run) as r,
      (select count(*) from logkeep.qstash_log) + (select count(*) from logkeep.datadog_log) as n,
      (select count(*) from logkeep.sync_window) as w`,
  );

for (const stream of STREAMS) {
  test(`${stream}: an audit finds a complete copy to be complete, by windows of its own, and writes nothing`, async () => {
    await made(stream);
    const before = await dump();
    const sent = world.sandbox.requests().length;
    const windows: Span[] = [];
    const found = await audit({ onWindow: (window) => windows.push(window) });
    expect(found).toMatchObject({ outcome: 'done', error: null, differences: [], holes: [], expired: [] });
    expect(isSound(found)).toBe(true);
    expect(windows.length).toBeGreaterThan(1);
    expect(found.span).toEqual({ from: windows[0]?.from, to: windows.at(-1)?.to });
    expect(found.recounted).toEqual([found.span]);
    const [rows] = await world.query<{ n: number }>(
      `select count(*)::integer as n from logkeep.${TABLE[stream].table} where ${TABLE[stream].time} < $1`,
      [new Date(found.span.to).toISOString()],
    );
    const sum = (list: readonly (number | null)[]) => list.reduce<number>((all, n) => all + (n ?? 0), 0);
    expect(sum(found.days.map(({ stored }) => stored))).toBe(rows?.n);
    expect(sum(found.days.map(({ given }) => given))).toBe(rows?.n);
    expect(found.days).toHaveLength(2);
    expect(world.sandbox.requests().length - sent).toBe(found.meter.requests);
    expect(await dump()).toEqual(before);
  });

  test(`${stream}: an entry that is not stored is found, and reading its span again heals it`, async () => {
    await made(stream);
    const at = await lose(stream, START - 9 * HOUR);
    const found = await audit();
    expect(isSound(found)).toBe(false);
    const second = Math.floor(at / 1000) * 1000;
    expect(found.differences).toMatchObject([
      { kind: 'missing', count: 1, span: { from: second, to: second + 1000 } },
    ]);
    await world.sync({ again: found.differences[0]?.span ?? null });
    expect(isSound(await audit())).toBe(true);
  });

  test(`${stream}: an entry that is not stored and a row that the API does not show are named, each with its own kind`, async () => {
    await made(stream);
    const { table, time, id } = TABLE[stream];
    const fake = '00000000-0000-4000-8000-000000000000';
    const [row] = await world.query<{ id: string; ms: string }>(
      `select ${id}::text as id, (extract(epoch from ${time}) * 1000)::bigint as ms from logkeep.${table}
      where ${time} >= $1 order by ${time}, ${id} limit 1`,
      [new Date(START - 9 * HOUR).toISOString()],
    );
    await world.query(`update logkeep.${table} set ${id} = '${fake}' where ${id}::text = '${row?.id}'`);
    const key = (entry: string) =>
      `${stream === 'qstash.main' ? entry.replaceAll('-', '') : entry}:${row?.ms}`;
    const { differences } = await audit();
    expect(differences.map(({ kind, count, examples }) => ({ kind, count, examples }))).toEqual([
      { kind: 'missing', count: 1, examples: [key(row?.id ?? '')] },
      { kind: 'extra', count: 1, examples: [key(fake)] },
    ]);
  });

  test(`${stream}: a row that the API does not show is a difference, unless other filters may have brought it`, async () => {
    await made(stream);
    const { table, time } = TABLE[stream];
    await world.query(
      `create temp table one as select * from logkeep.${table} where ${time} > $1 order by ${time} limit 1`,
      [new Date(START - 9 * HOUR).toISOString()],
    );
    await world.query(
      stream === 'qstash.main'
        ? `update one set entry_id = gen_random_uuid()`
        : `update one set event_id = 'of-another-filter'`,
    );
    await world.query(`insert into logkeep.${table} select * from one`);
    const found = await audit();
    expect(found.differences).toMatchObject([{ kind: 'extra', count: 1 }]);
    expect(isSound(found)).toBe(false);
    await world.query(
      `insert into logkeep.stream (stream, fingerprint, source, active, asked_from, retention)
      select stream, 'before', source, false, asked_from, retention from logkeep.stream`,
    );
    const later = await audit();
    expect(later.differences).toHaveLength(1);
    expect(isSound(later)).toBe(true);
  });

  test(`${stream}: what was not read, and what has expired, is listed and never proven`, async () => {
    await made(stream);
    const hole = { from: START - 5 * HOUR - 789, to: START - 4 * HOUR - 789 };
    const gone = { from: START - 20 * HOUR - 789, to: START - 19 * HOUR - 789 };
    const range = ({ from, to }: Span) =>
      `tstzmultirange(tstzrange('${new Date(from).toISOString()}', '${new Date(to).toISOString()}'))`;
    await world.query(`update logkeep.stream set covered = covered - ${range(hole)} - ${range(gone)},
      expired = expired + ${range(gone)}`);
    const found = await audit();
    expect(found).toMatchObject({ holes: [hole], expired: [gone], differences: [] });
    expect(isSound(found)).toBe(false);
    expect(found.recounted).toHaveLength(3);
    const between = await audit({ fromMs: gone.to, toMs: hole.from });
    expect(between).toMatchObject({ holes: [], expired: [] });
    expect(isSound(between)).toBe(true);
    expect(isSound(await audit({ fromMs: START - 3 * HOUR, toMs: START }))).toBe(false);
  });

  test(`${stream}: an audit tells what is settled, and compares only what the API still shows`, async () => {
    await made(stream);
    expect((await audit()).settled).toEqual([]);
    await sweep(world);
    const horizon = Math.floor((world.clock.now() - 6 * HOUR) / 1000) * 1000;
    const found = await audit();
    expect(found.settled.at(-1)?.to).toBe(horizon);
    expect(found.unsettled).toEqual([{ from: horizon, to: found.span.to }]);
    world.clock.advance(2 * DAY + 12 * HOUR);
    const later = await audit();
    expect(isSound(later)).toBe(true);
    expect(later.recounted[0]?.from).toBeGreaterThan(world.clock.now() - 3 * DAY);
    expect(later.days.map(({ given }) => given !== null)).toEqual([false, true]);
  });

  test(`${stream}: an entry that waits in quarantine counts as kept, and one that does not as missing`, async () => {
    await made(stream);
    if (stream === 'qstash.main')
      world.sandbox.qstash.add([{ entry: { time: START - 2 * HOUR, state: 'CREATED' } as never }]);
    else world.sandbox.datadog.add([{ content: { message: 'no time' }, atMs: START - 2 * HOUR }]);
    await world.sync({ again: { from: START - 3 * HOUR, to: START - HOUR } });
    const [waiting] = await world.query('select count(*)::integer as n from logkeep.quarantine');
    expect(waiting).toEqual({ n: 1 });
    expect(isSound(await audit())).toBe(true);
    await world.query('delete from logkeep.quarantine');
    const found = await audit();
    expect(found.differences).toMatchObject([{ kind: 'unquarantined', count: 1 }]);
    expect(isSound(found)).toBe(false);
  });

  test(`${stream}: a lost cursor and a query that times out cost an audit requests, not its proof`, async () => {
    await made(stream);
    const name = stream === 'qstash.main' ? 'qstash' : 'datadog';
    world.sandbox.faults.next(name, { kind: 'bad_cursor' }, { kind: 'unavailable' });
    if (name === 'datadog') world.sandbox.faults.next(name, { kind: 'query_timeout' });
    const found = await audit();
    expect(found).toMatchObject({ outcome: 'done', differences: [] });
    expect(found.recounted).toEqual([found.span]);
  });

  test(`${stream}: an audit that cannot be got to its end proves nothing of the rest, and says why`, async () => {
    await made(stream);
    const stop = new AbortController();
    const stopped = await audit({ onWindow: () => stop.abort(), signal: stop.signal });
    expect(stopped).toMatchObject({ outcome: 'stopped', error: null, differences: [] });
    expect(isSound(stopped)).toBe(false);
    const own = stream === 'qstash.main' ? { token: 'none' } : { app_key: 'none' };
    const failed = await audit({}, { settings: { own } });
    expect(failed.outcome).toBe('failed');
    expect(isFailure(failed.error, 'auth')).toBe(true);
    expect(isSound(failed)).toBe(false);
  });
}

test('datadog.main: by count one request a day compares the whole hours with what the API counts', async () => {
  await made('datadog.main');
  const sent = world.sandbox.requests().length;
  const found = await audit({ by: 'count' });
  expect(found).toMatchObject({ outcome: 'done', differences: [], meter: { requests: 2 } });
  expect(isSound(found)).toBe(true);
  const asked = world.sandbox.requests().slice(sent);
  expect(asked.map(({ path }) => path)).toEqual(Array(2).fill('/api/v2/logs/analytics/aggregate'));
  expect(found.recounted).toEqual([
    { from: Math.ceil(found.span.from / HOUR) * HOUR, to: Math.floor(found.span.to / HOUR) * HOUR },
  ]);
  const at = await lose('datadog.main', START - 9 * HOUR);
  const hour = Math.floor(at / HOUR) * HOUR;
  const short = await audit({ by: 'count' });
  expect(short.differences).toMatchObject([
    { kind: 'count', count: 1, span: { from: hour, to: hour + HOUR } },
  ]);
  expect(isSound(short)).toBe(false);
});

test('datadog.main: an aggregation that is partial or unknown proves nothing', async () => {
  await made('datadog.main');
  for (const how of ['status', 'warning'] as const) {
    world.sandbox.faults.next('datadog', ...Array(3).fill({ kind: 'partial', how }));
    const found = await audit({ by: 'count' });
    expect(found).toMatchObject({ outcome: 'failed', recounted: [] });
    world.sandbox.faults.clear();
  }
  world.sandbox.faults.next('datadog', ...Array(3).fill({ kind: 'unknown_envelope' }));
  const found = await audit({ by: 'count' });
  expect(found.error?.message).toContain("the aggregation's answer has");
});
