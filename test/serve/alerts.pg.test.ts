import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AlertSettings } from '../../src/config/alerts.ts';
import { type Alerting, createAlerting } from '../../src/serve/alerts.ts';
import type { ReadModel } from '../../src/serve/read-model.ts';
import { openStore, type Store } from '../../src/store/database.ts';
import type { StreamStatus } from '../../src/store/status.ts';
import { createMigratedDatabase, type TestDatabase } from '../postgres.ts';
import { createClock } from '../world.ts';
import { type Receiver, startReceiver } from './receiver.ts';
import { HOUR, MINUTE, modelOf, NOW, statusOf } from './statuses.ts';

interface Told {
  readonly status: string;
  readonly kind: string;
  readonly stream: string;
  readonly since: string;
  readonly times_sent: number;
  readonly sentence: string;
}

let database: TestDatabase;
let store: Store;
let webhook: Receiver;
let logged: string[];
let nowMs: number;
let changes: Partial<StreamStatus> & { behindMs?: number };

beforeEach(async () => {
  [database, webhook] = await Promise.all([createMigratedDatabase(), startReceiver()]);
  store = openStore(database.url);
  logged = [];
  nowMs = NOW;
  changes = {};
});
afterEach(async () => {
  await webhook.close();
  await store.close();
  await database.drop();
});

/** One process's alerts, over the model that the test has set. */
function alerts(settings: Partial<AlertSettings> = {}, own: Store = store): Alerting {
  const say = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`);
  return createAlerting({
    store: own,
    settings: {
      webhook: webhook.url,
      slack: null,
      lagMs: 15 * MINUTE,
      expiryMs: 12 * HOUR,
      silenceMs: 'auto',
      repeatMs: HOUR,
      ...settings,
    },
    watched: [{ stream: 'datadog.web', fingerprint: 'f', settleMs: 30_000 }],
    read: async (): Promise<ReadModel> => modelOf(statusOf({ nowMs, ...changes })),
    clock: createClock(nowMs),
    log: { debug: say, info: say, warn: say, error: say },
    metrics: { showAlerts: () => {}, countDelivery: () => {} },
  });
}

/** What the webhook was told since the last call. */
function told(): Told[] {
  return webhook.bodies.splice(0).flatMap((body) => (body as { alerts: Told[] }).alerts);
}

async function lookAt(minutes: number, one: Alerting = alerts()): Promise<Told[]> {
  nowMs = NOW + minutes * MINUTE;
  await one.evaluate();
  return told();
}

const LATE = { behindMs: 42 * MINUTE };

describe('trouble is told once, again with growing pauses, and when it is over', () => {
  it('tells of lag at once, with what it is and what to do, and not again at the next look', async () => {
    changes = LATE;
    expect(await lookAt(0)).toEqual([
      {
        status: 'firing',
        kind: 'lag',
        severity: 'warning',
        stream: 'datadog.web',
        since: '2026-05-20T08:57:20.000Z',
        ended_at: null,
        times_sent: 1,
        sentence: expect.stringMatching(/^datadog\.web is 42 min behind because .*nothing lost$/),
        remedy: expect.stringContaining('logkeep why'),
      },
    ]);
    expect(await lookAt(1)).toEqual([]);
    expect(await lookAt(59)).toEqual([]);
  });

  it('repeats it after an hour, then after two, four and so on, up to a day', async () => {
    changes = LATE;
    const at: number[] = [];
    for (let minute = 0; minute < 6 * 24 * 60; minute += 10) {
      if ((await lookAt(minute)).length > 0) at.push(minute / 60);
    }
    expect(at).toEqual([0, 1, 3, 7, 15, 31, 55, 79, 103, 127]);
  });

  it('says that it is over, once, two minutes after it is', async () => {
    changes = LATE;
    await lookAt(0);
    changes = {};
    expect(await lookAt(10)).toEqual([]);
    expect(await lookAt(11)).toEqual([]);
    expect(await lookAt(12)).toMatchObject([{ status: 'resolved', kind: 'lag', since: expect.any(String) }]);
    expect(await lookAt(13)).toEqual([]);
    expect(await rows()).toEqual([]);
  });

  it('trouble that comes and goes within two minutes is neither over nor new', async () => {
    changes = LATE;
    await lookAt(0);
    for (let minute = 1; minute < 50; minute++) {
      changes = minute % 2 === 1 ? {} : LATE;
      expect(await lookAt(minute)).toEqual([]);
    }
    changes = LATE;
    expect(await lookAt(60)).toMatchObject([
      { status: 'firing', times_sent: 2, since: '2026-05-20T08:57:20.000Z' },
    ]);
  });

  it('new trouble after an end is told anew', async () => {
    changes = LATE;
    await lookAt(0);
    changes = {};
    await lookAt(10);
    await lookAt(13);
    changes = LATE;
    expect(await lookAt(20)).toMatchObject([{ status: 'firing', times_sent: 1 }]);
  });

  it('a hole, and a first read, are told only when they last, and never when they pass before', async () => {
    changes = { gaps: [{ kind: 'hole', count: 1, lengthMs: HOUR }] };
    expect(await lookAt(0)).toEqual([]);
    changes = {};
    await lookAt(5);
    changes = { gaps: [{ kind: 'hole', count: 1, lengthMs: HOUR }] };
    expect(await lookAt(6)).toEqual([]);
    expect(await lookAt(20)).toEqual([]);
    expect(await lookAt(21)).toMatchObject([
      { kind: 'gap', sentence: expect.stringContaining('1 hole (1 h)') },
    ]);
  });
});

describe('several processes and restarts', () => {
  it('eight processes that look at the same moment tell it once', async () => {
    changes = LATE;
    const stores = Array.from({ length: 8 }, () => openStore(database.url, { max: 2 }));
    await Promise.all(stores.map((own) => alerts({}, own).evaluate()));
    expect(told()).toHaveLength(1);
    nowMs = NOW + HOUR;
    await Promise.all(stores.map((own) => alerts({}, own).evaluate()));
    expect(told()).toHaveLength(1);
    changes = {};
    nowMs = NOW + HOUR + MINUTE;
    await Promise.all(stores.map((own) => alerts({}, own).evaluate()));
    nowMs += 3 * MINUTE;
    await Promise.all(stores.map((own) => alerts({}, own).evaluate()));
    expect(told()).toMatchObject([{ status: 'resolved' }]);
    expect(logged.filter((line) => line.startsWith('alert sent'))).toEqual([
      'alert sent {"receiver":"webhook","alerts":["datadog.web lag"]}',
      'alert sent {"receiver":"webhook","alerts":["datadog.web lag"]}',
      'alert sent {"receiver":"webhook","alerts":["datadog.web lag is over"]}',
    ]);
    await Promise.all(stores.map((own) => own.close()));
  });

  it('what a process was telling when it died is told by another, a minute later', async () => {
    changes = LATE;
    webhook.status = null;
    const dying = alerts();
    const stopped = dying.evaluate();
    await dying.stop();
    await stopped;
    webhook.status = 200;
    expect(await lookAt(0)).toEqual([]);
    expect(await lookAt(1)).toHaveLength(1);
  });

  it('trouble that passed while its teller died is never told', async () => {
    changes = LATE;
    webhook.status = null;
    const dying = alerts();
    const stopped = dying.evaluate();
    await dying.stop();
    await stopped;
    webhook.status = 200;
    changes = {};
    expect(await lookAt(1)).toEqual([]);
    expect(await rows()).toEqual([]);
  });

  it('a process that watches other streams says nothing about these', async () => {
    changes = LATE;
    await lookAt(0);
    changes = { stream: 'datadog.other', ...LATE };
    expect(await lookAt(10)).toEqual([]);
    expect(await rows()).toMatchObject([{ stream: 'datadog.web', ended_at: expect.any(Date) }]);
  });
});

describe('a webhook that is down', () => {
  it.each([500, 404, null])(
    'is tried again with growing pauses while it answers %s, and is told when it is back',
    async (status) => {
      changes = LATE;
      webhook.status = status;
      for (const minute of [0, 0.5, 1, 2, 3, 5, 10]) expect(await lookAt(minute)).toEqual([]);
      const [row] = await rows();
      expect(row).toMatchObject({ sends: 0, tries: 5, claimed_until: null });
      webhook.status = 200;
      expect(await lookAt(17.9)).toEqual([]);
      expect(await lookAt(18)).toMatchObject([
        { status: 'firing', times_sent: 1, since: '2026-05-20T08:57:20.000Z' },
      ]);
    },
  );

  it('an end that it could not be told for a week is old news', async () => {
    changes = LATE;
    await lookAt(0);
    changes = {};
    webhook.status = 500;
    await lookAt(10);
    await lookAt(13);
    const weekLater = 10 + 7 * 24 * 60;
    await lookAt(weekLater);
    expect(await rows()).toHaveLength(1);
    webhook.status = 200;
    expect(await lookAt(weekLater + 1)).toEqual([]);
    expect(await rows()).toEqual([]);
  });

  it('of two receivers only the one that failed is told again', async () => {
    const slack = await startReceiver();
    try {
      changes = LATE;
      slack.status = 503;
      const both = alerts({ slack: slack.url });
      await both.evaluate();
      expect(told()).toHaveLength(1);
      slack.status = 200;
      nowMs += 2 * MINUTE;
      await both.evaluate();
      expect(told()).toEqual([]);
      expect(slack.bodies).toEqual([
        {
          text: expect.stringMatching(
            /^:warning: \*lag\*: datadog\.web is 42 min behind because .*\. To do: /,
          ),
        },
      ]);
    } finally {
      await slack.close();
    }
  });

  it('its address is in no log line and no table', async () => {
    changes = LATE;
    webhook.status = 500;
    await lookAt(0);
    await webhook.close();
    await lookAt(30);
    const all = JSON.stringify([logged, await rows()]);
    expect(all).toContain('it answered 500');
    expect(all).toContain('ECONNREFUSED');
    expect(all).not.toContain(webhook.secret);
    expect(all).not.toContain('127.0.0.1');
    webhook = await startReceiver();
  });

  it('the loop goes on after a failed look, and stops at once', async () => {
    let looks = 0;
    const loop = createAlerting({
      store,
      settings: {
        webhook: webhook.url,
        slack: null,
        lagMs: MINUTE,
        expiryMs: HOUR,
        silenceMs: null,
        repeatMs: HOUR,
      },
      watched: [],
      read: async () => {
        looks++;
        throw new Error('the database is away');
      },
      clock: createClock(),
      log: { debug() {}, info() {}, warn: (fields) => void logged.push(JSON.stringify(fields)), error() {} },
      metrics: { showAlerts: () => {}, countDelivery: () => {} },
    });
    loop.start();
    while (looks < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await loop.stop();
    const after = looks;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(looks).toBe(after);
    expect(logged[0]).toContain('the database is away');
  });
});

async function rows(): Promise<Record<string, unknown>[]> {
  return (await store.pool.query('select * from logkeep.alert order by stream, kind, receiver')).rows;
}
