import { afterEach, expect, test } from 'vitest';
import type { Fault } from '../../src/sandbox/faults.ts';
import { difference, NO_DIFFERENCE, onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { createWorld, pageIsBatch, START, type World } from '../world.ts';

const HOUR = 3_600_000;
const PROMPT = { lateness: { minMs: 0, maxMs: 0 } };
type Api = 'qstash' | 'datadog';
let world: World;

afterEach(() => world.close());

async function made(api: Api, transport: 'v1' | 'v2' = 'v1'): Promise<void> {
  world = await createWorld({
    streams: [`${api}.main`],
    settings: { pageSize: 30, since: { agoMs: 2 * HOUR }, own: api === 'datadog' ? { api: transport } : {} },
    sandbox: { qstash: PROMPT, datadog: PROMPT },
    wrap: pageIsBatch,
  });
  if (api === 'qstash')
    world.sandbox.qstash.history({ from: START - HOUR, to: START - 60_000, messages: 40 });
  else world.sandbox.datadog.history({ from: START - HOUR, to: START - 180_000, logs: 120 });
}

/** Of what the API shows within `span`, and of all that is stored, what the other lacks. */
async function lost(
  api: Api,
  transport: 'v1' | 'v2',
  span: { readonly from?: number; readonly to?: number } = {},
): Promise<Record<'missing' | 'extra', string[]>> {
  const query = { ...span, visibleAt: START };
  if (api === 'qstash')
    return difference(await storedQstash(world), onceEach(world.sandbox.qstash.truth(query)));
  const truth = world.sandbox.datadog.truth(query);
  const wanted = transport === 'v1' ? truth : truth.map(({ textV2 }) => ({ text: textV2 }));
  return difference(await storedDatadog(world, transport), onceEach(wanted));
}

/** What coverage claims must be there, entry for entry, whatever the answers were. */
async function expectClaimsHold(api: Api, transport: 'v1' | 'v2'): Promise<void> {
  const claimed = await world.query<{ from: Date; to: Date }>(
    'select lower(span) as from, upper(span) as to from logkeep.stream, unnest(covered) span',
  );
  for (const { from, to } of claimed)
    expect((await lost(api, transport, { from: +from, to: +to })).missing).toEqual([]);
}

const PARTIAL: readonly (readonly [what: string, api: Api, transport: 'v1' | 'v2', fault: Fault])[] = [
  ['a v1 status that is not done', 'datadog', 'v1', { kind: 'partial' }],
  ['a v2 warning', 'datadog', 'v2', { kind: 'partial', how: 'warning' }],
  ['a v2 status that is not done', 'datadog', 'v2', { kind: 'partial', how: 'status' }],
  ['an envelope that nobody knows', 'qstash', 'v1', { kind: 'unknown_envelope' }],
  ['an envelope that nobody knows', 'datadog', 'v1', { kind: 'unknown_envelope' }],
  ['a body that is cut', 'qstash', 'v1', { kind: 'cut' }],
  ['a body that is cut', 'datadog', 'v2', { kind: 'cut' }],
  ['an answer that is no JSON', 'qstash', 'v1', { kind: 'not_json' }],
  ['a query that took too long', 'datadog', 'v1', { kind: 'query_timeout' }],
];

for (const [what, api, transport, fault] of PARTIAL) {
  test(`I6: ${api} ${transport}: ${what} never counts as read, however often it comes`, async () => {
    await made(api, transport);
    let page = 0;
    // From the third page on every answer is such a one.
    await world.sync({
      mayRequest: () => {
        if (++page === 3) world.sandbox.faults.every(1, fault, api);
        return page < 12;
      },
    });
    expect(world.sandbox.faults.counts()[fault.kind]).toBeGreaterThan(0);
    await expectClaimsHold(api, transport);
    expect((await lost(api, transport)).missing.length).toBeGreaterThan(0);
    world.sandbox.faults.clear();
    await world.endLeases();
    expect((await world.sync()).map(({ outcome, error }) => ({ outcome, error }))).toEqual([
      { outcome: 'done', error: null },
    ]);
    expect(await lost(api, transport)).toEqual(NO_DIFFERENCE);
    expect(await world.query('select kind from logkeep.gap')).toEqual([]);
  });
}

test('I6: a refused credential stops the stream at once, says what to do, and claims nothing', async () => {
  await made('qstash');
  world.sandbox.faults.every(1, { kind: 'refuse' }, 'qstash');
  const [result] = await world.sync();
  expect(result).toMatchObject({
    outcome: 'failed',
    error: { kind: 'auth', message: expect.stringMatching(/401.*check the token/) },
  });
  expect(result?.meter.requests).toBe(1);
  expect(await world.query(`select covered::text from logkeep.stream`)).toEqual([{ covered: '{}' }]);
});
