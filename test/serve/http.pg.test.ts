import { connect } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isFailure } from '../../src/errors.ts';
import { silentLog } from '../../src/log.ts';
import { type HttpServer, startHttp } from '../../src/serve/http.ts';
import { openMonitor } from '../../src/serve/monitor.ts';
import { type Checks, readyChecks } from '../../src/serve/ready.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import { createDatabase, createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createClock, createWorld } from '../world.ts';
import { parseExposition } from './exposition.ts';

let database: TestDatabase;
let store: Store;
const closing: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  database = await createMigratedDatabase();
  store = openStore(database.url, { max: 2 });
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await store.close();
  await database.drop();
});

const queue = { depth: async () => [{ job: 'sync', waiting: 0, active: 0 }] };

async function serverOf(checks: Checks): Promise<HttpServer> {
  const metrics = { contentType: 'text/plain', text: async () => 'up 1\n' };
  const server = await startHttp({ host: '127.0.0.1', port: 0, checks, metrics, log: silentLog });
  closing.push(() => server.close());
  return server;
}

async function ready(
  server: HttpServer,
): Promise<{ status: number; checks: Record<string, { ok: boolean; error?: string }> }> {
  const response = await fetch(`${server.url}/readyz`);
  return {
    status: response.status,
    checks: ((await response.json()) as { checks: Record<string, { ok: boolean; error?: string }> }).checks,
  };
}

describe('/readyz', () => {
  it('is 200 when the database answers, its tables are of this version and the queue is there', async () => {
    const server = await serverOf(readyChecks({ store: () => store, queue: () => queue }));
    expect(await ready(server)).toEqual({
      status: 200,
      checks: { database: { ok: true }, schema: { ok: true }, queue: { ok: true } },
    });
  });

  it('is 503 and says that tables are missing, or newer than this version', async () => {
    const empty = await createDatabase();
    const unready = openStore(empty.url, { max: 1 });
    closing.push(
      () => empty.drop(),
      () => unready.close(),
    );
    const server = await serverOf(readyChecks({ store: () => unready, queue: () => queue }));
    expect(await ready(server)).toMatchObject({
      status: 503,
      checks: {
        database: { ok: true },
        schema: { ok: false, error: expect.stringMatching(/lacks 0001_progress.*logkeep migrate/) },
      },
    });
    await store.pool.query(`insert into logkeep.migration (name, timestamp) values ('9999_later', 'now')`);
    const newer = await serverOf(readyChecks({ store: () => store, queue: () => queue }));
    expect((await ready(newer)).checks.schema?.error).toMatch(
      /newer than this logkeep \(it has 9999_later\)/,
    );
  });

  it('is 503 while the database is away, without its password, and 200 again when it is back', async () => {
    const url = new URL(database.url);
    url.port = '1';
    url.password = 'hidden-word';
    const away = openStore(url.href, { max: 1 });
    closing.push(() => away.close());
    let there = false;
    const server = await serverOf(readyChecks({ store: () => (there ? store : away), queue: () => queue }));
    const answer = await ready(server);
    expect(answer).toMatchObject({
      status: 503,
      checks: { database: { ok: false }, schema: { ok: false }, queue: { ok: true } },
    });
    expect(JSON.stringify(answer)).not.toContain('hidden-word');
    there = true;
    expect((await ready(server)).status).toBe(200);
  });

  it('is 503 where the queue is not, and before anything is open', async () => {
    const broken = { depth: async () => Promise.reject(new Error('internal words')) };
    const server = await serverOf(readyChecks({ store: () => store, queue: () => broken }));
    const answer = await ready(server);
    expect(answer.checks).toMatchObject({ database: { ok: true }, queue: { ok: false } });
    expect(JSON.stringify(answer)).not.toContain('internal words');
    const early = await serverOf(readyChecks({ store: () => null, queue: () => null }));
    expect((await ready(early)).checks).toMatchObject({
      database: { error: 'the database is not open yet' },
      queue: { error: 'the job queue is not open yet' },
    });
  });

  it('gives a check that hangs two seconds, and does not begin it again for all who ask', async () => {
    let begun = 0;
    const hangs = () => {
      begun++;
      return new Promise<void>(() => {});
    };
    const server = await serverOf({ database: hangs });
    const startedAt = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => ready(server)));
    expect(performance.now() - startedAt).toBeLessThan(4_000);
    expect(answers.every(({ status }) => status === 503)).toBe(true);
    expect(answers[0]?.checks.database?.error).toBe('no answer within 2000 ms');
    expect(begun).toBe(1);
  });
});

describe('the server', () => {
  it('/healthz is 200 whatever is wrong with the rest', async () => {
    const server = await serverOf({ database: async () => Promise.reject(new Error('away')) });
    const response = await fetch(`${server.url}/healthz`);
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });

  it('answers HEAD without a body, and refuses other paths and methods with what it expects', async () => {
    const server = await serverOf({});
    const head = await fetch(`${server.url}/metrics`, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([200, '5', '']);
    const post = await fetch(`${server.url}/metrics`, { method: 'POST', body: 'x' });
    expect([post.status, post.headers.get('allow')]).toEqual([405, 'GET, HEAD']);
    for (const path of ['/', '/metrics/', '/constructor', '/__proto__']) {
      const other = await fetch(server.url + path);
      expect([other.status, ((await other.json()) as { error: string }).error]).toEqual([
        404,
        'expected one of /healthz, /readyz, /metrics',
      ]);
    }
    expect((await fetch(`${server.url}/healthz?x=1`)).status).toBe(200);
  });

  it('refuses a port that is taken and an address that is not ours with what to set', async () => {
    const server = await serverOf({});
    const options = { checks: {}, metrics: { contentType: '', text: async () => '' }, log: silentLog };
    const taken = await startHttp({ ...options, host: '127.0.0.1', port: server.port }).catch(
      (error) => error,
    );
    expect(isFailure(taken, 'config')).toBe(true);
    expect(taken.message).toContain(
      `port ${server.port}: another process is listening there: expected a free port`,
    );
    const foreign = await startHttp({ ...options, host: '192.0.2.1', port: 0 }).catch((error) => error);
    expect(foreign.message).toMatch(
      /^host 192\.0\.2\.1, port 0: this machine does not have that address: expected/,
    );
  });

  it('ends within half a second or so although a client keeps its connection', async () => {
    const server = await serverOf({});
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => {});
    await new Promise((resolve) => socket.once('connect', resolve));
    socket.write('GET /healthz HTTP/1.1\r\nhost: x\r\n');
    const startedAt = performance.now();
    await server.close();
    expect(performance.now() - startedAt).toBeLessThan(2_000);
    socket.destroy();
  });
});

describe('the monitor of a process', () => {
  it('is alive before the database is, ready after, and shows what is stored and who serves', async () => {
    const world = await createWorld();
    closing.push(() => world.close());
    world.sandbox.qstash.history({
      from: world.clock.now() - 3_600_000,
      to: world.clock.now() - 60_000,
      messages: 5,
    });
    const app = await world.open();
    closing.push(() => app.close());
    const monitor = await openMonitor({
      host: '127.0.0.1',
      port: 0,
      holder: 'host:1:abc',
      version: '1.2.3',
      clock: createClock(),
      log: silentLog,
    });
    closing.push(() => monitor.close());
    expect((await fetch(`${monitor.url}/healthz`)).status).toBe(200);
    expect((await fetch(`${monitor.url}/readyz`)).status).toBe(503);
    const early = parseExposition(await (await fetch(`${monitor.url}/metrics`)).text());
    expect(early.get('logkeep_database_up')?.samples).toMatchObject([{ value: 0 }]);

    await world.sync();
    // Told to another stream or process of the same credential, later than to this one.
    await world.query(`update logkeep.quota set quota_limit = 300, remaining = 7, period = interval '1 h',
      ends_at = clock_timestamp() + interval '10 min', unbounded = false`);
    monitor.attach({ store: app.store, queue });
    await monitor.watch(
      { alerts: { webhook: null, slack: null, lagMs: 1, expiryMs: 1, silenceMs: null, repeatMs: 1 } },
      app.streams,
    );
    expect((await fetch(`${monitor.url}/readyz`)).status).toBe(200);
    await expect
      .poll(
        async () => {
          const families = parseExposition(await (await fetch(`${monitor.url}/metrics`)).text());
          return [
            families.get('logkeep_stream_stored_entries')?.samples[0]?.value,
            families.get('logkeep_processes')?.samples[0]?.value,
            families.get('logkeep_stream_quota_remaining_requests')?.samples[0]?.value,
          ];
        },
        { timeout: 20_000 },
      )
      .toEqual([world.sandbox.qstash.truth({ visibleAt: world.clock.now() }).length, 1, 7]);
    await monitor.close();
    expect(await world.query('select holder from logkeep.process')).toEqual([]);
  });
});
