import { afterEach, expect, test } from 'vitest';
import { syncStreams } from '../../src/operations/sync.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog } from '../stored.ts';
import { startTamper, type Verdict } from '../tamper.ts';
import { askOf, createWorld, pageIsBatch, START, type World, type WorldOptions } from '../world.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const NOW = Math.floor(START / 1000) * 1000;
let world: World;
afterEach(() => world.close());
async function made(options: WorldOptions = {}): Promise<void> {
  const prompt = { lateness: { minMs: 0, maxMs: 0 } };
  world = await createWorld({
    ...options,
    sandbox: {
      ...options.sandbox,
      qstash: { ...prompt, ...options.sandbox?.qstash },
      datadog: { ...prompt, ...options.sandbox?.datadog },
    },
  });
}
const dd = (at: number, more: object = {}) => ({
  content: { timestamp: new Date(at).toISOString(), message: 'm', ...more },
  atMs: at,
  intakeMs: at,
});
const qe = (time: number, id: string, more: object = {}) => ({
  time,
  messageId: id,
  state: 'CREATED',
  url: 'https://a.example/',
  ...more,
});

test('attributes that are an array with nested long integers come back as sent', async () => {
  await made({ streams: ['datadog.main'], settings: { since: { agoMs: 2 * HOUR } } });
  const at = START - HOUR;
  world.sandbox.datadog.add([
    {
      content: `{"timestamp":"${new Date(at).toISOString()}","attributes":[[1234567890123456789]]}`,
      atMs: at,
      intakeMs: at,
    },
    {
      content: `{"timestamp":"${new Date(at + 1).toISOString()}","attributes":[{"a":1234567890123456789}]}`,
      atMs: at + 1,
      intakeMs: at + 1,
    },
  ]);
  await world.sync();
  expect(
    difference(await storedDatadog(world), onceEach(world.sandbox.datadog.truth({ visibleAt: START }))),
  ).toEqual(NO_DIFFERENCE);
});

test('an oversize log exactly at the end of the window does not stop the stream for good', async () => {
  await made({ streams: ['datadog.main'], settings: { since: { agoMs: 2 * HOUR }, maxBodyBytes: 20_000 } });
  const to = NOW - 120_000;
  world.sandbox.datadog.add([dd(to - MINUTE), dd(to, { message: 'x'.repeat(40_000) })]);
  const [r] = await world.sync();
  world.clock.advance(5 * MINUTE);
  const [s] = await world.sync();
  expect([r?.outcome, s?.outcome]).toEqual(['done', 'done']);
  expect((await storedDatadog(world)).length).toBe(1);
  expect(await world.query('select kind, from_time from logkeep.gap')).toEqual([
    { kind: 'oversize', from_time: new Date(to) },
  ]);
});

test('a late entry of a busy stream is found by the next run, a day later', async () => {
  await made({ settings: { since: { agoMs: 2 * HOUR }, pageSize: 10, retentionMs: 3 * DAY } });
  world.sandbox.qstash.history({ from: START - 10 * MINUTE, to: START, messages: 60 });
  const at = START - 5 * MINUTE;
  world.sandbox.qstash.add([{ entry: qe(at, 'msg_late'), visibleAtMs: START + 2 * MINUTE }]);
  await world.sync();
  const found = async () =>
    (await world.query(`select 1 from logkeep.qstash_log where message_id = 'msg_late'`)).length;
  const seen = [];
  for (let run = 0; run < 3; run++) {
    world.clock.advance(2 * DAY);
    world.sandbox.qstash.history({
      from: world.clock.now() - 10 * MINUTE,
      to: world.clock.now(),
      messages: 60,
    });
    await world.sync();
    seen.push(await found());
  }
  expect(seen).toEqual([1, 1, 1]);
});

test('quota headers beyond int4 do not fail a sync', async () => {
  await made({
    streams: ['datadog.main'],
    settings: { since: { agoMs: 2 * HOUR } },
    sandbox: { datadog: { quota: { limit: 5_000_000_000, periodS: 3600 } } },
  });
  const [r] = await world.sync();
  expect({ outcome: r?.outcome, error: r?.error?.message }).toEqual({ outcome: 'done', error: undefined });
});

test('v2: an API that forgets its cursor in mid-chain and answers {"data":[]} takes nothing away', async () => {
  await made({
    streams: ['datadog.main'],
    settings: { since: { agoMs: 2 * HOUR }, pageSize: 20, own: { api: 'v2' } },
  });
  world.sandbox.datadog.history({ from: START - HOUR, to: START - 5 * MINUTE, logs: 100 });
  const real = world.sandbox;
  // A proxy that answers the third request {"data":[]}.
  const { createServer } = await import('node:http');
  let n = 0;
  const proxy = createServer(async (req, res) => {
    const chunks: Buffer[] = [];
    for await (const c of req) chunks.push(c as Buffer);
    n += 1;
    if (n === 3) {
      res.sendDate = false;
      res.writeHead(200, {
        'content-type': 'application/json',
        date: new Date(world.clock.now()).toUTCString(),
      });
      res.end('{"data":[]}');
      return;
    }
    const answer = await fetch(`${real.env.DD_API_URL}${req.url}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        'dd-api-key': real.env.DD_API_KEY,
        'dd-application-key': real.env.DD_APP_KEY,
      },
      body: Buffer.concat(chunks),
    });
    res.sendDate = false;
    res.writeHead(answer.status, {
      'content-type': 'application/json',
      date: answer.headers.get('date') ?? '',
    });
    res.end(await answer.text());
  });
  await new Promise<void>((r) => proxy.listen(0, '127.0.0.1', r));
  const api_url = `http://127.0.0.1:${(proxy.address() as { port: number }).port}`;
  try {
    const own = { settings: { since: { agoMs: 2 * HOUR }, pageSize: 20, own: { api: 'v2', api_url } } };
    await world.sync({}, own);
    await world.sync({}, own);
    const rows = await storedDatadog(world, 'v2');
    const covered = await world.query('select covered::text from logkeep.stream');
    expect({ rows: rows.length, covered }).toEqual({ rows: 100, covered: expect.anything() });
  } finally {
    proxy.closeAllConnections();
    proxy.close();
  }
});

test('a process that stalls in the middle of a load does not hold up the one that took over for ever', async () => {
  await made({ settings: { since: { agoMs: 2 * HOUR }, pageSize: 20 } });
  world.sandbox.qstash.history({ from: START - HOUR, to: START - MINUTE, messages: 40 });
  const stalled = Promise.withResolvers<void>();
  const goOn = Promise.withResolvers<void>();
  const tamper = await startTamper(world.url, async ({ type }): Promise<Verdict> => {
    if (type === 'd') {
      stalled.resolve();
      await goOn.promise;
    }
    return 'pass';
  });
  const slow = world.sync({}, { route: () => tamper.url });
  await stalled.promise;
  await world.endLeases();
  // The stalled one must not renew: cut what it would do by ending leases again just before.
  const app = await world.open();
  const done = syncStreams(app, askOf()).then(([r]) => r?.outcome);
  const timer = setInterval(() => world.endLeases().catch(() => {}), 300);
  setTimeout(() => clearInterval(timer), 1500);
  const result = await Promise.race([done, new Promise((r) => setTimeout(() => r('hangs'), 20_000))]);
  clearInterval(timer);
  goOn.resolve();
  await slow.catch(() => {});
  await done;
  await app.close();
  await tamper.close();
  expect(result).toBe('done');
}, 60_000);

test('nothing of the second that the API no longer showed is claimed', async () => {
  await made({
    settings: { retentionMs: DAY, since: { atMs: NOW - 3 * DAY } },
    sandbox: { qstash: { retentionMs: DAY } },
  });
  // Expired by 300 ms at the first request.
  const at = START - DAY - 300;
  world.sandbox.qstash.add([{ entry: qe(at, 'msg_gone') }]);
  await world.sync();
  const [row] = await world.query(
    'select covered @> $1::timestamptz as claimed, (select count(*)::int from logkeep.qstash_log) as n from logkeep.stream',
    [new Date(at)],
  );
  expect(row).toEqual({ claimed: false, n: 0 });
});

test('windows halved again and again by time-outs over a quiet span end well', async () => {
  await made({
    streams: ['datadog.main'],
    settings: { since: { agoMs: 10 * DAY }, retentionMs: 15 * DAY, pageSize: 20 },
  });
  const n = 0;
  void n;
  // A query over more than an hour does not finish.
  const wrap: WorldOptions['wrap'] = (stream) => ({
    ...stream,
    async *read(o) {
      const { LogkeepError } = await import('../../src/errors.ts');
      if (o.window.to - o.window.from > 2 * HOUR) throw new LogkeepError('timeout', 'too large');
      yield* stream.read(o);
    },
  });
  const [r] = await world.sync({}, { wrap });
  expect({ outcome: r?.outcome, error: r?.error?.message }).toEqual({ outcome: 'done', error: undefined });
});

test('--again of a span before the asked time says so, and owes nothing', async () => {
  await made({ settings: { since: { agoMs: HOUR } } });
  world.sandbox.qstash.add([{ entry: qe(START - 5 * HOUR, 'msg_old') }]);
  await world.sync();
  const again = world.sync({ again: { from: NOW - 6 * HOUR, to: NOW - 4 * HOUR } });
  await expect(again).rejects.toMatchObject({ kind: 'config', message: expect.stringContaining('backfill') });
  expect(await world.query('select from logkeep.gap')).toEqual([]);
});

test('gift before owed: a slow first read of what is older than the retention does not cost what was owed', async () => {
  await made({
    streams: ['datadog.main'],
    settings: {
      since: { agoMs: 3 * DAY },
      retentionMs: 3 * DAY,
      reachMs: 15 * DAY,
      pageSize: 20,
      reserve: 0,
    },
    sandbox: { datadog: { quota: { limit: 10, periodS: 3600 } } },
    wrap: pageIsBatch,
  });
  world.sandbox.datadog.history({ from: START - 14 * DAY, to: START - 4 * DAY, logs: 1000 });
  world.sandbox.datadog.history({ from: START - 3 * DAY + 10 * MINUTE, to: START - HOUR, logs: 100 });
  const [r] = await world.sync();
  expect(r?.outcome).toBe('done');
  expect(await world.query('select kind, to_time - from_time as length from logkeep.gap')).toEqual([]);
});
