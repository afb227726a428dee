import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { isFailure } from '../../src/errors.ts';
import type { Ms, Span } from '../../src/model.ts';
import type { RawPage } from '../../src/sources/chain.ts';
import { type DatadogPage, readPages as readDatadog } from '../../src/sources/datadog/client.ts';
import { type Transport, v1, v2 } from '../../src/sources/datadog/transport.ts';
import { createHttp } from '../../src/sources/http.ts';
import { readPages as readQstash } from '../../src/sources/qstash/client.ts';
import { restOf } from '../../src/sync/rest.ts';
import { asked, holding, type Log, log } from './datadog/stand.ts';
import { valuesOf } from './entries.ts';
import { json, plainApi, type Seen, serve, testClock, turn } from './stand.ts';

const FROM = Date.UTC(2026, 4, 1);
const WINDOW: Span = { from: FROM, to: FROM + 10_000 };
const CAP = 4_000;
const closers: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

async function open(answer: Parameters<typeof serve>[0]) {
  const stand = await serve(answer);
  const http = createHttp({ clock: testClock({ leap: true, start: FROM + 200_000 }) });
  closers.push(stand.close, http.close);
  const gate = http.gate('toy', { concurrency: 2, spacingMs: 0, reserve: 0 });
  return { http, url: stand.url, api: plainApi(gate, { maxBodyBytes: CAP }) };
}

/** Reads a window as the pump does: what an entry is in the way of is planned anew. Gives all that came, and the gaps. */
async function readAll(
  order: 'ascending' | 'descending',
  read: (window: Span) => AsyncIterable<RawPage | DatadogPage>,
): Promise<{ came: unknown[]; gaps: Ms[] }> {
  const came: unknown[] = [];
  const gaps: Ms[] = [];
  const windows: Span[] = [WINDOW];
  for (
    let window = windows.shift(), rounds = 0;
    window !== undefined;
    window = windows.shift(), rounds += 1
  ) {
    if (rounds > 200) throw new Error('no end');
    let doneTo: Ms | null = null;
    try {
      for await (const page of read(window)) {
        came.push(...valuesOf(page.entries));
        if ('readTo' in page) doneTo = page.readTo ?? doneTo;
      }
    } catch (error) {
      if (!isFailure(error, 'oversize')) throw error;
      const rest = restOf(order, window, doneTo, 'oversize', error.atMs);
      if (rest === null) throw error;
      if (rest.oversize !== null) gaps.push(rest.oversize.from);
      windows.unshift(...rest.windows);
    }
  }
  return { came, gaps: gaps.sort((a, b) => a - b) };
}

const distinct = (times: readonly Ms[]) => [...new Set(times)].sort((a, b) => a - b);

/** Times of which many are equal or next to each other, at the window's ends too. */
const places = fc.array(
  fc.record({
    ms: fc.oneof(
      fc.integer({ min: 0, max: 3 }),
      fc.integer({ min: 4_000, max: 4_005 }),
      fc.integer({ min: 0, max: 9_999 }),
      fc.constantFrom(9_998, 9_999, 10_000, 10_001),
    ),
    big: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
    late: fc.integer({ min: 0, max: 3 }),
    state: fc.constantFrom('CREATED', 'RETRY', 'ERROR', 'DELIVERED', 'CANCELED'),
  }),
  { minLength: 1, maxLength: 60 },
);

const isBig = ({ message }: Log) => message.length >= CAP;

/** Whether such a log stands before it in its ms, and another behind it. */
function isBetween(one: Log, logs: readonly Log[]): boolean {
  const ties = logs.filter(({ ms }) => ms === one.ms);
  const at = ties.indexOf(one);
  return ties.slice(0, at).some(isBig) && ties.slice(at + 1).some(isBig);
}

/** Reads logs that are laid out at random again and again; `check` is told the window's, those that did not come, and the gaps. */
async function readLogs(
  transport: Transport,
  answer: (logs: () => readonly Log[]) => Parameters<typeof serve>[0],
  check: (inside: readonly Log[], missing: readonly Log[], gaps: readonly Ms[]) => void,
): Promise<void> {
  let logs: readonly Log[] = [];
  const access = {
    ...(await open(answer(() => logs))),
    apiKey: 'api',
    appKey: 'app',
    search: { query: '*', indexes: [], storageTier: null },
    transport,
  };
  await fc.assert(
    fc.asyncProperty(places, fc.constantFrom(1, 4, 7, 50), async (all, pageSize) => {
      logs = all
        .map(({ ms, big }, tie) => ({ tie, ms: FROM + ms, message: 'x'.repeat(big ? CAP : tie % 90) }))
        .sort((a, b) => a.ms - b.ms || a.tie - b.tie)
        .map(({ ms, tie, message }) => log(ms, tie, message));
      const { came, gaps } = await readAll('ascending', (window) =>
        readDatadog({ ...access, pageSize }, { window, cursor: null, ...turn() }),
      );
      const ids = new Set(came.map((one) => (one as { id: string }).id));
      const inside = logs.filter(({ ms }) => ms < WINDOW.to);
      check(
        inside,
        inside.filter(({ id }) => !ids.has(id)),
        gaps,
      );
    }),
    { numRuns: 60, seed: 20_261_122 },
  );
}

for (const [name, transport] of Object.entries({ v1, v2 })) {
  for (const inclusive of [true, false]) {
    test(`Datadog ${name}, \`to\` ${inclusive ? 'inclusive' : 'exclusive'}: whatever is beyond the cap, its ms alone is given up, and of it only what lies between two such logs`, async () => {
      await readLogs(
        transport,
        (logs) => holding(logs, inclusive),
        (inside, missing, gaps) => {
          expect(gaps).toEqual(distinct(inside.filter(isBig).map(({ ms }) => ms)));
          expect(missing).toEqual(inside.filter((one) => isBig(one) || isBetween(one, inside)));
        },
      );
    }, 60_000);
  }

  test(`Datadog ${name}, where the API refuses windows of no length: nothing is missing but in gaps`, async () => {
    await readLogs(
      transport,
      (logs) => (request, response) => {
        const { from, to } = asked(request);
        if (from < to) return holding(logs)(request, response);
        response.writeHead(400);
        response.end('{"errors":["from must be before to"]}');
      },
      (inside, missing, gaps) => {
        expect(inside.filter((one) => isBig(one) && !gaps.includes(one.ms))).toEqual([]);
        expect(missing.filter(({ ms }) => !gaps.includes(ms))).toEqual([]);
        // A ms too many at most, before one where one is: at the window's end it is the next window's.
        const times = [...inside.filter(isBig).map(({ ms }) => ms), WINDOW.to];
        expect(gaps.filter((ms) => !times.includes(ms) && !times.includes(ms + 1))).toEqual([]);
      },
    );
  }, 60_000);
}

interface Entry {
  readonly time: Ms;
  readonly writtenMs: Ms;
  readonly messageId: string;
  readonly state: string;
  readonly body: string;
}

/** Whether a state passes the filter; null: none. */
function isOf(wanted: string | null, state: string): boolean {
  const states = wanted === 'IN_PROGRESS' ? ['ACTIVE', 'RETRY', 'ERROR'] : [wanted ?? state];
  return states.includes(state);
}

/** An API that pages through `entries` in the reverse order of their writing. */
function listing(entries: () => readonly Entry[]) {
  return ({ url }: Seen, response: Parameters<typeof json>[0]): void => {
    const ask = (name: string) => url.searchParams.get(name) ?? '';
    const after = ask('cursor') === '' ? -1 : Number(ask('cursor').split('-')[1]);
    const found = entries()
      .map((entry, index) => ({ entry, index }))
      .filter(({ entry }) => entry.time >= Number(ask('fromDate')) && entry.time <= Number(ask('toDate')))
      .filter(({ entry }) => isOf(ask('state') || null, entry.state))
      .filter(({ index }) => index > after);
    const page = found.slice(0, Number(ask('count')));
    const last = page.at(-1);
    json(response, {
      ...(found.length > page.length && last ? { cursor: `${last.entry.writtenMs}-${last.index}` } : {}),
      events: page.map(({ entry }) => entry),
    });
  };
}

test('QStash: whatever is beyond the cap, its ms alone is given up, and of it only older ones of the same state', async () => {
  let entries: readonly Entry[] = [];
  const access = { ...(await open(listing(() => entries))), token: 'token' };
  const states = fc.constantFrom(null, 'RETRY', 'IN_PROGRESS');
  await fc.assert(
    fc.asyncProperty(places, fc.constantFrom(1, 4, 7, 50), states, async (all, pageSize, wanted) => {
      const filters = wanted === null ? [] : [['state', wanted] as const];
      entries = all
        .map(({ ms, big, late, state }, index) => ({
          time: FROM + ms,
          writtenMs: FROM + ms + late,
          messageId: `msg_${index}`,
          state,
          body: 'x'.repeat(big ? CAP : index % 90),
        }))
        .sort((a, b) => b.writtenMs - a.writtenMs);
      const { came, gaps } = await readAll('descending', (window) =>
        readQstash({ ...access, pageSize, filters }, { window, cursor: null, ...turn() }),
      );
      const isLong = ({ body }: Entry) => body.length >= CAP;
      const inside = entries.filter(({ time, state }) => time < WINDOW.to && isOf(wanted, state));
      expect(gaps).toEqual(distinct(inside.filter(isLong).map(({ time }) => time)));
      const ids = new Set(came.map((one) => (one as Entry).messageId));
      const missing = inside.filter(({ messageId }) => !ids.has(messageId));
      const hidden = (one: Entry) =>
        entries
          .slice(0, entries.indexOf(one))
          .some((other) => other.time === one.time && other.state === one.state && isLong(other));
      expect(missing.filter((one) => !isLong(one) && !hidden(one))).toEqual([]);
    }),
    { numRuns: 60, seed: 20_261_122 },
  );
}, 60_000);
