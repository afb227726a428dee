import { expect, test } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import { silentLog } from '../../src/log.ts';
import type { StreamId } from '../../src/model.ts';
import { type HoldContext, holdLease } from '../../src/sync/hold.ts';
import type { Lease } from '../../src/sync/ledger.ts';

const lease: Lease = {
  windowId: '1',
  fence: '1',
  window: { from: 0, to: 1_000 },
  doneTo: null,
  cursor: null,
  cursorAgeMs: null,
  chainAt: null,
};

/** A hold whose ledger releases like this, and how it was asked to. */
function holdOf(release: () => Promise<void>) {
  const asked: (boolean | undefined)[] = [];
  const ledger: HoldContext['ledger'] = {
    renew: async () => true,
    release: (_, once) => {
      asked.push(once);
      return release();
    },
  };
  const stream = { id: 'toy.main' as StreamId };
  return { asked, hold: holdLease({ stream, ledger, log: silentLog }, lease, () => {}) };
}

test('a database that has failed is told once that the lease is free, and not waited for', async () => {
  const { asked, hold } = holdOf(() => new Promise(() => {}));
  const begun = performance.now();
  await hold.letGo(new LogkeepError('database', 'gone'));
  expect(performance.now() - begun).toBeLessThan(10_000);
  expect(asked).toEqual([true]);
});

test('after any other failure the lease is let go however often that must be tried, and no trouble with it hides the failure', async () => {
  const { asked, hold } = holdOf(() => Promise.reject(new LogkeepError('database', 'gone')));
  await hold.letGo(new LogkeepError('unavailable', 'no answer'));
  await hold.letGo(new TypeError('a bug'));
  expect(asked).toEqual([false, false]);
});
