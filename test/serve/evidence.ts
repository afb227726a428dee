import { expect } from 'vitest';
import type { RequestRecord } from '../../src/sandbox/server.ts';
import { onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { type ServeStand, until } from './stand.ts';

/** Waits until every stream's coverage reaches `ms`. */
export async function coveredTo(
  stand: ServeStand,
  ms: number,
  limitMs = 60_000,
  trouble = () => '',
): Promise<void> {
  await until(
    `coverage up to ${new Date(ms).toISOString()}`,
    async () => {
      const rows = await stand.query(
        'select from logkeep.stream where active and upper(covered) >= $1 and isempty(covered) is false',
        [new Date(ms)],
      );
      return rows.length === 2;
    },
    limitMs,
    trouble,
  );
}

/** Every entry with a time before `ms` is stored, and none is stored twice or made up. */
export async function expectComplete(stand: ServeStand, ms: number): Promise<void> {
  const stored = { qstash: await storedQstash(stand), datadog: await storedDatadog(stand) };
  for (const source of ['qstash', 'datadog'] as const) {
    const { truth } = stand.sandbox[source];
    const all = new Set(onceEach(truth()));
    // What comes later than any overlap is a sweep's to find.
    const inTime = truth({ to: ms }).filter(
      ({ timeMs, visibleAtMs }) => visibleAtMs <= Math.max(timeMs + 10_000, stand.begunMs()),
    );
    const owed = onceEach(inTime);
    const found = new Set(stored[source]);
    expect({
      source,
      missing: owed.filter((text) => !found.has(text)).slice(0, 3),
      madeUp: stored[source].filter((text) => !all.has(text)).slice(0, 3),
      twice: stored[source].length - found.size,
      some: owed.length > 50,
    }).toEqual({ source, missing: [], madeUp: [], twice: 0, some: true });
  }
}

/** No run is left running, no window left in hand, and the tables hold together. */
export async function expectNothingLeft(stand: ServeStand): Promise<void> {
  expect(await stand.query(`select stream, job, holder from logkeep.run where outcome = 'running'`)).toEqual(
    [],
  );
  expect(
    await stand.query('select stream, job from logkeep.sync_window where lease_until > clock_timestamp()'),
  ).toEqual([]);
  expect(await stand.query(`select name from logkeep_job.job where state = 'active'`)).toEqual([]);
}

/**
 * Windows that two worked on at a time, by the stand-ins' log: a window's requests stand together if one process
 * after the other reads the stream, and each of its pages is asked for once.
 */
export function sharedWindows(requests: readonly RequestRecord[]): readonly string[] {
  const found: string[] = [];
  for (const api of ['qstash', 'datadog'] as const) {
    const closed = new Set<string>();
    const pages = new Set<string>();
    let current = '';
    for (const request of requests.filter((one) => one.api === api && one.status === 200)) {
      const window = windowOf(request);
      if (window !== current) {
        if (closed.has(window)) found.push(`${api}: ${window} was begun again`);
        closed.add(current);
        current = window;
      }
      const page = `${window} ${request.cursor ?? ''}`;
      if (pages.has(page)) found.push(`${api}: ${page} was asked for twice`);
      pages.add(page);
    }
  }
  return found;
}

function windowOf({ api, params, body }: RequestRecord): string {
  if (api === 'qstash') return `${params.fromDate}..${params.toDate}`;
  const { time } = JSON.parse(body) as { time: { from: string; to: string } };
  return `${time.from}..${time.to}`;
}
