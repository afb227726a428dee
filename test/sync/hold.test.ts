import { expect, test, vi } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import { type Log, silentLog } from '../../src/log.ts';
import type { StreamId } from '../../src/model.ts';
import { type HoldContext, holdLease } from '../../src/sync/hold.ts';
import type { Lease } from '../../src/sync/ledger.ts';
import { settle } from '../sources/stand.ts';

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
function holdOf(release: () => Promise<void>, renew = async () => true) {
  let renewals = 0;
  const asked: (boolean | undefined)[] = [];
  const logged: unknown[] = [];
  const log: Log = { ...silentLog, warn: ({ error }) => void logged.push(error) };
  const ledger: HoldContext['ledger'] = {
    renew: () => {
      renewals += 1;
      return renew();
    },
    release: (_, once) => {
      asked.push(once);
      return release();
    },
  };
  const stream = { id: 'toy.main' as StreamId };
  return {
    asked,
    logged,
    renewals: () => renewals,
    hold: holdLease({ stream, ledger, log }, lease, () => {}),
  };
}

test('a database that has failed is told once that the lease is free, and waited for three seconds at most', async () => {
  // Begun before, so that it is renewed meanwhile.
  const renewed = Promise.withResolvers<boolean>();
  const other = holdOf(
    async () => {},
    () => renewed.promise,
  );
  const { asked, hold } = holdOf(() => new Promise(() => {}));
  const begun = performance.now();
  await hold.letGo(new LogkeepError('database', 'gone'));
  expect(performance.now() - begun).toBeLessThan(4_000);
  expect(asked).toEqual([true]);
  await vi.waitFor(() => expect(other.renewals()).toBe(1));
  other.hold.end();
  renewed.reject(new Error('Cannot use a pool after calling end on the pool'));
  await settle();
  expect(other.logged, 'a renewal that was under way when the lease was given up').toEqual([]);
});

test('after any other failure the lease is let go however often that must be tried, and no trouble with it hides the failure', async () => {
  const { asked, logged, hold } = holdOf(() => Promise.reject(new LogkeepError('database', 'gone')));
  await hold.letGo(new LogkeepError('unavailable', 'no answer'));
  await hold.letGo(new TypeError('a bug'));
  expect(asked).toEqual([false, false]);
  expect(logged, 'without the name of a class').toEqual(['gone', 'gone']);
});
