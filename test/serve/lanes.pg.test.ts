import { afterEach, beforeEach, expect, test } from 'vitest';
import type { RequestRecord } from '../../src/sandbox/server.ts';
import { expectComplete, expectNothingLeft } from './evidence.ts';
import { createServeStand, QUICK, type ServeStand, says, until } from './stand.ts';

const HOUR = 3_600_000;
const CONCURRENCY = 5;
const SLOW_MS = 200;
const BACKFILL = "where job = 'backfill' and lease_until > clock_timestamp()";

interface Held {
  readonly stream: string;
  readonly holder: string;
  readonly from: number;
  readonly to: number;
}

let stand: ServeStand;

beforeEach(async () => {
  stand = await createServeStand();
  // Small pages: windows of ten seconds' reading, a dozen of each stream.
  stand.settings(
    QUICK.replace("'*/2 * * * * *'", "'*/10 * * * * *'").replace(
      'defaults: {',
      `defaults: { page_size: 5, concurrency: ${CONCURRENCY},`,
    ),
  );
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 12 * HOUR, to: now - 60_000, messages: 700 });
  stand.sandbox.datadog.history({ from: now - 12 * HOUR, to: now - 60_000, logs: 3_000 });
  const sync = stand.start('run sync');
  expect({ code: await sync.ended(), said: sync.said() }).toMatchObject({ code: 0 });
});
afterEach(() => stand.close());

test("two processes read different windows of one stream's backfill at once, none by two; who is left goes on with all, within the concurrency", async () => {
  await askForAll();
  stand.sandbox.faults.every(1, { kind: 'slow', ms: SLOW_MS });
  const [first, second] = [stand.start('serve'), stand.start('serve')];
  const said = () => first.said() + second.said();
  const doubled: (readonly [Held, Held])[] = [];
  const shared = new Set<string>();
  let mostOfOne = 0;
  await until(
    'both streams to be read by both',
    async () => {
      const held = await windowsInHand();
      doubled.push(...overlaps(held));
      mostOfOne = Math.max(mostOfOne, ...countsOf(held));
      for (const { stream, holder } of held) {
        if (held.some((other) => other.stream === stream && other.holder !== holder)) shared.add(stream);
      }
      return shared.size === 2;
    },
    40_000,
    said,
  );
  expect(doubled).toEqual([]);
  const together = stand.sandbox.requests();
  expect(askedTwice(together)).toEqual([]);

  second.signal('SIGTERM');
  expect(await second.ended()).toBe(0);
  await until(
    'the process that is left to have all lanes of a stream',
    async () => {
      const held = await windowsInHand();
      doubled.push(...overlaps(held));
      mostOfOne = Math.max(mostOfOne, ...countsOf(held));
      return countsOf(held).includes(CONCURRENCY - 1);
    },
    40_000,
    said,
  );
  const before = Date.now();
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  const alone = stand.sandbox.requests().filter(({ atMs }) => atMs > before);
  const most = mostInFlight(alone);
  expect(most).toBeGreaterThanOrEqual(CONCURRENCY - 2);
  expect(most).toBeLessThanOrEqual(CONCURRENCY);

  stand.sandbox.faults.clear();
  await finished(said);
  expect({ doubled, mostOfOne }).toEqual({ doubled: [], mostOfOne: CONCURRENCY - 1 });
  first.signal('SIGTERM');
  expect(await first.ended()).toBe(0);
  await expectComplete(stand, Date.now() - 70_000);
  await expectNothingLeft(stand);
  const counted = await stand.query('select from logkeep.run where fetched <> new + known + quarantined');
  expect(counted).toEqual([]);
}, 180_000);

test('lanes beyond the first are asked for only while a backfill is open; run by hand it has them all and tells its end once', async () => {
  const served = stand.start('serve');
  await says(served, 'serving');
  const lanes = () =>
    stand.query<{ lane: string; n: number }>(
      `select split_part(singleton_key, '#', 2) as lane, count(*)::integer as n from logkeep_job.job where name = 'backfill'
      group by 1 order by 1`,
    );
  await until('the first round', async () => (await lanes())[0]?.n === 2);
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  expect(await lanes()).toEqual([{ lane: '0', n: 2 }]);
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);

  await askForAll();
  const run = stand.start('run backfill --json');
  expect({ code: await run.ended(), said: run.said() }).toMatchObject({ code: 0 });
  const told = run.lines() as unknown as readonly {
    stream: string;
    outcome: string;
    counts: { new: number };
  }[];
  expect(told.map(({ stream, outcome }) => `${stream} ${outcome}`).sort()).toEqual([
    'datadog.main done',
    'qstash.main done',
  ]);
  const stored = await stand.query<{ new: number }>(
    "select sum(new)::integer as new from logkeep.run where job = 'backfill' group by stream order by 1",
  );
  const added = told.map(({ counts }) => ({ new: counts.new })).sort((a, b) => a.new - b.new);
  expect(added).toEqual(stored);
  expect((await lanes()).map(({ lane }) => lane)).toEqual(['0', '1', '2', '3']);
  await finished(() => run.said());
  await expectComplete(stand, Date.now() - 70_000);
  await expectNothingLeft(stand);
}, 120_000);

/** As `logkeep backfill` does, which would read by itself. */
async function askForAll(): Promise<void> {
  await stand.query(
    `insert into logkeep.backfill (stream, fingerprint, from_time, to_time)
    select stream, fingerprint, date_trunc('second', now() - interval '13 h'), date_trunc('second', now() - interval '30 min')
    from logkeep.stream`,
  );
}

function windowsInHand(): Promise<Held[]> {
  return stand.query<Held & Record<string, unknown>>(
    `select stream, holder, extract(epoch from from_time)::float8 as from, extract(epoch from to_time)::float8 as to
    from logkeep.sync_window ${BACKFILL} order by stream, from_time`,
  );
}

/** How many windows of each stream. */
function countsOf(held: readonly Held[]): readonly number[] {
  return [...Map.groupBy(held, ({ stream }) => stream).values()].map(({ length }) => length);
}

function overlaps(held: readonly Held[]): readonly (readonly [Held, Held])[] {
  return held.flatMap((a, index) =>
    held
      .slice(index + 1)
      .filter((b) => a.stream === b.stream && a.from < b.to && b.from < a.to)
      .map((b) => [a, b] as const),
  );
}

/** Pages that were asked for more than once. */
function askedTwice(requests: readonly RequestRecord[]): readonly string[] {
  const found = new Set<string>();
  const twice: string[] = [];
  for (const { api, params, body, cursor } of requests) {
    const span =
      api === 'qstash' ? `${params.fromDate}..${params.toDate}` : JSON.stringify(JSON.parse(body).time);
    const page = `${api}: ${span} ${cursor ?? ''}`;
    if (found.has(page)) twice.push(page);
    found.add(page);
  }
  return twice;
}

/** Of one API at a time, as each is answered after SLOW_MS at the earliest. */
function mostInFlight(requests: readonly RequestRecord[]): number {
  const counts = requests.map(
    ({ api, atMs }) =>
      requests.filter((other) => other.api === api && other.atMs <= atMs && other.atMs > atMs - SLOW_MS + 10)
        .length,
  );
  return Math.max(0, ...counts);
}

async function finished(said: () => string): Promise<void> {
  await until(
    'both backfills to be finished',
    async () =>
      (await stand.query('select from logkeep.backfill where finished_at is not null')).length === 2,
    60_000,
    said,
  );
}
