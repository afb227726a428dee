import { afterEach, expect, test } from 'vitest';
import type { App } from '../../src/app.ts';
import { openLedger } from '../../src/store/progress.ts';
import type { Ledger } from '../../src/sync/ledger.ts';
import { startTamper, type Verdict } from '../tamper.ts';
import { createWorld, START, type World } from '../world.ts';

const HOUR = 3_600_000;
let world: World;
afterEach(() => world.close());

test.each([
  ['has run out', '-1 s'],
  ['ends later than any lease can', '1 h'],
])(
  'whoever takes over a window whose lease %s closes the run of the process that let it go, at once',
  async (_, ahead) => {
    world = await createWorld({ settings: { since: { agoMs: HOUR } } });
    world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 20 });
    const app = await world.open();
    const dead = await ledgerOf(app, 'dead:1:x');
    const next = await dead.next(() => [{ from: START - HOUR, to: START - 60_000 }]);
    expect(next.status).toBe('leased');
    const outcomes = () =>
      world.query('select holder = $1 as dead, outcome from logkeep.run order by id', ['dead:1:x']);
    expect(await outcomes()).toEqual([{ dead: true, outcome: 'running' }]);
    await world.query('update logkeep.sync_window set lease_until = clock_timestamp() + $1::interval', [
      ahead,
    ]);
    await world.sync({ signal: AbortSignal.timeout(20_000) });
    expect(await outcomes()).toEqual([
      { dead: true, outcome: 'crashed' },
      { dead: false, outcome: 'done' },
    ]);
    // Had it only been asleep, its own word would count in the end.
    await dead.end('stopped', null);
    expect((await outcomes())[0]).toEqual({ dead: true, outcome: 'stopped' });
    await app.close();
  },
);

test('a lease that was let go is not renewed by a renewal that comes late, so that others need not wait', async () => {
  world = await createWorld({ settings: { since: { agoMs: HOUR } } });
  const app = await world.open();
  const ledger = await ledgerOf(app, 'here:1:x');
  const next = await ledger.next(() => [{ from: START - HOUR, to: START - 60_000 }]);
  if (next.status !== 'leased') throw new Error(`expected a lease, got ${next.status}`);
  expect(await ledger.renew(next.lease)).toBe(true);
  await ledger.release(next.lease);
  expect(await ledger.renew(next.lease)).toBe(false);
  expect(await world.query('select holder, lease_until from logkeep.sync_window')).toEqual([
    { holder: null, lease_until: null },
  ]);
  await app.close();
});

test('a run whose beginning was committed, though the answer was lost, is one run', async () => {
  world = await createWorld({ settings: { since: { agoMs: HOUR } } });
  let begun = false;
  let lost = 0;
  const tamper = await startTamper(world.url, ({ text }): Verdict => {
    begun ||= text.includes('insert into logkeep.run ');
    if (!begun || lost > 0 || text !== 'commit') return 'pass';
    lost += 1;
    return 'lose';
  });
  const [result] = await world.sync({}, { route: () => tamper.url });
  await tamper.close();
  expect({ lost, outcome: result?.outcome }).toEqual({ lost: 1, outcome: 'done' });
  expect(await world.query('select outcome from logkeep.run')).toEqual([{ outcome: 'done' }]);
});

function ledgerOf(app: App, holder: string): Promise<Ledger> {
  const [opened] = app.streams;
  if (opened === undefined) throw new Error('no stream is open');
  const { stream, settings } = opened;
  return openLedger({
    store: app.store,
    partitions: app.partitions,
    stream,
    askedFrom: START - HOUR,
    retentionMs: settings.retentionMs,
    nowMs: START,
    overlapMs: settings.overlapMs,
    job: 'sync',
    holder,
  });
}
