import { afterEach, expect, test } from 'vitest';
import { canonicalJson } from '../../src/json.ts';
import { dateOf, type Interaction, type RecordedLog, searches, seed } from '../sandbox/recordings.ts';
import { storedDatadog } from '../stored.ts';
import { createWorld, type World } from '../world.ts';

const YEARS = 10 * 365 * 86_400_000;
let world: World;

afterEach(() => world.close());

/** Every log that the answers held, once. */
function recordedLogs(interactions: readonly Interaction[]): readonly RecordedLog[] {
  const logs = interactions.flatMap(({ response_body: { logs, data } }) => logs ?? data ?? []);
  return [...new Map(logs.map((log) => [log.id, log])).values()];
}

test.each([
  ['v1_go_TestLogsList.json', 'v1', 2],
  ['v1_scn_Logs_Search_test_logs_returns_OK_response.json', 'v1', 10],
  ['v1_ts_search-test-logs.json', 'v1', 10],
  ['v2_go_TestLogsList.json', 'v2', 2],
  ['v2_go_TestLogsListGet.json', 'v2', 2],
] as const)(
  'the logs recorded in %s, synced by %s, come back from Postgres as they were recorded',
  async (file, api, count) => {
    const interactions = searches(file);
    const logs = recordedLogs(interactions);
    expect(logs).toHaveLength(count);
    const from = Math.min(...interactions.map(dateOf)) - 86_400_000;
    world = await createWorld({
      streams: ['datadog.main'],
      settings: { retentionMs: YEARS, since: { atMs: from }, pageSize: 3, own: { api } },
      sandbox: { datadog: { retentionMs: YEARS, v2Meta: 'page' } },
    });
    const seeded = seed(interactions);
    world.sandbox.datadog.add(seeded);
    const [result] = await world.sync();
    expect(result).toMatchObject({ outcome: 'done', totals: { fresh: seeded.length, quarantined: 0 } });
    const stored = await storedDatadog(world, api);
    const wanted = logs.map((log) => canonicalJson(JSON.stringify(log)));
    expect(stored).toEqual(expect.arrayContaining(wanted));
    // Where a recording ends in the middle of a chain, the log behind its last id is there too.
    expect(stored).toHaveLength(seeded.length);
    expect(seeded.length - count).toBeLessThanOrEqual(1);
    expect(await world.query('select kind from logkeep.gap')).toEqual([]);
  },
);
