import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createWorld, type World } from '../world.ts';
import { type Recorded, recordSpans } from './spans-recorded.ts';

let world: World;
let recording: ReturnType<typeof recordSpans>;

beforeEach(async () => {
  recording = recordSpans();
  world = await createWorld();
  const now = world.clock.now();
  world.sandbox.qstash.history({ from: now - 7_200_000, to: now - 600_000, messages: 120 });
});
afterEach(async () => {
  recording.stop();
  await world.close();
});

function of(name: string): Recorded[] {
  return recording.spans.filter((span) => span.name === name);
}

/** Every value within a value, as text. */
function leavesOf(value: unknown): readonly string[] {
  return typeof value === 'object' && value !== null
    ? Object.values(value).flatMap(leavesOf)
    : [String(value)];
}

describe('with an OpenTelemetry SDK that the user brought', () => {
  it('a sync is one run, in it its windows, in these the pages read and the batches committed', async () => {
    const [result] = await world.sync();
    const [run] = of('logkeep.run');
    expect(of('logkeep.run')).toHaveLength(1);
    expect(run).toMatchObject({
      parent: null,
      attributes: {
        'logkeep.job': 'sync',
        'logkeep.stream': 'qstash.main',
        'logkeep.outcome': 'done',
        'logkeep.requests': result?.meter.requests,
        'logkeep.new': result?.totals.fresh,
      },
      status: { code: 0 },
    });
    expect(of('logkeep.window')).toHaveLength(result?.totals.windows ?? 0);
    expect(new Set(of('logkeep.window').map(({ parent }) => parent))).toEqual(new Set(['logkeep.run']));
    expect(of('logkeep.window')[0]?.attributes).toMatchObject({
      'logkeep.window.end': 'done',
      'logkeep.window.from': expect.stringMatching(/^2026-05-19T.*Z$/),
    });
    expect(new Set(of('logkeep.page').map(({ parent }) => parent))).toEqual(new Set(['logkeep.window']));
    expect(new Set(of('logkeep.commit').map(({ parent }) => parent))).toEqual(new Set(['logkeep.window']));
  });

  it('pages add up to the requests sent, commits to the entries stored', async () => {
    const [result] = await world.sync();
    const sum = (name: string, key: string) =>
      of(name).reduce((all, { attributes }) => all + Number(attributes[key]), 0);
    expect(of('logkeep.page').length).toBeGreaterThan(3);
    expect(sum('logkeep.page', 'logkeep.requests')).toBe(result?.meter.requests);
    expect(sum('logkeep.page', 'logkeep.bytes')).toBe(result?.meter.bytes);
    expect(sum('logkeep.commit', 'logkeep.entries')).toBe(result?.totals.fetched);
    expect(sum('logkeep.commit', 'logkeep.new')).toBe(result?.totals.fresh);
    expect(of('logkeep.commit')[0]).toMatchObject({
      kind: 2,
      attributes: { 'db.system.name': 'postgresql' },
    });
  });

  it('a failed call marks its spans with its kind, and the run ends with them', async () => {
    await world.sync({}, { settings: { own: { token: 'wrong-but-secret' } } });
    for (const name of ['logkeep.page', 'logkeep.window', 'logkeep.run']) {
      expect(of(name)).toMatchObject([{ attributes: { 'error.type': 'auth' }, status: { code: 2 } }]);
    }
    expect(of('logkeep.run')[0]?.attributes['logkeep.outcome']).toBe('failed');
  });

  it('no span holds a token, an address with one, or anything of an entry', async () => {
    const token = 'wrong-but-secret';
    await world.sync({}, { settings: { own: { token } } });
    await world.sync();
    const all = JSON.stringify(recording.spans);
    const entries = world.sandbox.qstash.truth();
    expect(entries.length).toBeGreaterThan(100);
    expect(all).not.toContain(token);
    expect(all).not.toContain(world.sandbox.env.QSTASH_TOKEN);
    const values = new Set(
      entries.flatMap(({ fields }) => leavesOf(fields)).filter(({ length }) => length > 8),
    );
    expect(values.size).toBeGreaterThan(entries.length);
    expect([...values].filter((value) => all.includes(value))).toEqual([]);
  });
});
