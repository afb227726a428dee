import { afterEach, beforeEach, expect, test } from 'vitest';
import { type PrivateServer, startPrivateServer } from '../postgres.ts';
import { coveredTo, expectComplete, expectNothingLeft } from './evidence.ts';
import { createServeStand, type ServeStand, says } from './stand.ts';
import { startWire, type Wire } from './wire.ts';

/** How long the database is away, in s: `LOGKEEP_AWAY=300 npx vitest run test/serve/living.pg.test.ts` for minutes. */
const AWAY_MS = Number(process.env.LOGKEEP_AWAY ?? 25) * 1000;

let stand: ServeStand;
let server: PrivateServer | null = null;
let wire: Wire | null = null;

beforeEach(() => {
  server = null;
  wire = null;
});
afterEach(async () => {
  await stand.close();
  await wire?.close();
  await server?.stop();
});

function writeHistory(): void {
  const now = Date.now();
  stand.sandbox.qstash.history({ from: now - 600_000, to: now - 60_000, messages: 100 });
  stand.sandbox.datadog.history({ from: now - 600_000, to: now - 60_000, logs: 400 });
}

test('a Postgres that restarts, or dies, under a serving process costs nothing', async () => {
  server = await startPrivateServer();
  stand = await createServeStand({ url: server.url });
  writeHistory();
  stand.sandbox.live(20);
  const served = stand.start('serve');
  await says(served, 'serving');
  for (const mode of ['fast', 'immediate'] as const) {
    await coveredTo(stand, Date.now(), 60_000, () => served.said());
    await server.restart(mode);
  }
  stand.sandbox.live(0);
  const end = Date.now();
  await coveredTo(stand, end + 6_000, 90_000, () => served.said());
  served.signal('SIGTERM');
  expect(await served.ended()).toBe(0);
  await expectComplete(stand, end);
  await expectNothingLeft(stand);
}, 180_000);

test(
  'a database that is away is waited for, at the start and later, and a network that stalls and splits does no harm',
  async () => {
    server = await startPrivateServer();
    wire = await startWire(server.url);
    wire.set('drop');
    stand = await createServeStand({ url: server.url });
    writeHistory();
    stand.sandbox.live(10);
    const served = stand.start('serve', { DATABASE_URL: wire.url });
    await says(served, 'waiting for the database');
    wire.set('split');
    await says(served, 'serving');
    await coveredTo(stand, Date.now() - 5_000, 60_000, () => served.said());
    wire.set('drop');
    await says(served, 'the job queue cannot be reached: waiting for the database');
    // Longer than any try of a statement lasts.
    await new Promise((resolve) => setTimeout(resolve, AWAY_MS));
    expect(served.running()).toBe(true);
    wire.set('pass');
    await says(served, 'the job queue is reachable again');
    await coveredTo(stand, Date.now(), 60_000, () => served.said());
    wire.set('stall');
    await new Promise((resolve) => setTimeout(resolve, 12_000));
    wire.set('pass');
    stand.sandbox.live(0);
    const end = Date.now();
    await coveredTo(stand, end + 6_000, 90_000, () => served.said());
    served.signal('SIGTERM');
    expect(await served.ended()).toBe(0);
    await expectComplete(stand, end);
  },
  215_000 + AWAY_MS,
);
