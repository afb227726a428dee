import { afterEach, beforeEach, expect, test } from 'vitest';
import { coveredTo, expectComplete } from '../serve/evidence.ts';
import { createServeStand, type ServeStand, says } from '../serve/stand.ts';
import { startWire, type Wire } from '../serve/wire.ts';

let stand: ServeStand;
let wire: Wire;

beforeEach(async () => {
  stand = await createServeStand();
  wire = await startWire(stand.url);
});
afterEach(async () => {
  await stand.close();
  await wire.close();
});

test('SIGHUP harms nobody who still waits for the database, and the settings count that were written before', async () => {
  wire.set('drop');
  const served = stand.start('serve', { DATABASE_URL: wire.url });
  await says(served, 'waiting for the database');
  served.signal('SIGHUP');
  await new Promise((resolve) => setTimeout(resolve, 500));
  wire.set('pass');
  await says(served, 'serving');
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
}, 60_000);

test('connections to Postgres that a network forgot without a word are given up within a minute or two', async () => {
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 600_000, to: now - 60_000, messages: 50 });
  stand.sandbox.live(5);
  const served = stand.start('serve', { DATABASE_URL: wire.url });
  await says(served, 'serving');
  await coveredTo(stand, Date.now() - 5_000, 60_000, () => served.said());
  wire.set('forget');
  await coveredTo(stand, Date.now(), 150_000, () => served.said());
  stand.sandbox.live(0);
  const end = Date.now();
  await coveredTo(stand, end + 6_000, 90_000, () => served.said());
  served.signal('SIGTERM');
  await served.ended();
  await expectComplete(stand, end);
}, 300_000);
