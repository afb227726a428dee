import fc from 'fast-check';
import { afterEach, expect, test } from 'vitest';
import { isFailure } from '../../src/errors.ts';
import type { Ms, Span } from '../../src/model.ts';
import type { RawPage } from '../../src/sources/chain.ts';
import { type DatadogPage, readPages as readDatadog } from '../../src/sources/datadog/client.ts';
import { type Transport, v1, v2 } from '../../src/sources/datadog/transport.ts';
import type { Api } from '../../src/sources/exchange.ts';
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

async function open(answer: Parameters<typeof serve>[0], changes: Partial<Api> = {}) {
  const stand = await serve(answer);
  const http = createHttp({ clock: testClock({ leap: true, start: FROM + 200_000 }) });
  closers.push(stand.close, http.close);
  const gate = http.gate('toy', { concurrency: 2, spacingMs: 0, reserve: 0 });
  return { http, url: stand.url, seen: stand.seen, api: plainApi(gate, { maxBodyBytes: CAP, ...changes }) };
}

async function openDatadog(transport: Transport, answer: Parameters<typeof serve>[0]) {
  const search = { query: '*', indexes: [], storageTier: null };
  return { ...(await open(answer)), apiKey: 'api', appKey: 'app', search, transport, pageSize: 10 };
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
      if (!isFailure(error, 'oversize') && !isFailure(error, 'cursor')) throw error;
      const rest = restOf(order, window, doneTo, error.kind === 'cursor' ? 'cursor' : 'oversize', error.atMs);
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
  const access = await openDatadog(
    transport,
    answer(() => logs),
  );
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

  for (const ahead of [true, false]) {
    test(`Datadog ${name}: what comes or goes while a log beyond the cap is located${ahead ? ' behind another' : ''} has nothing claimed that was not read`, async () => {
      const big = log(FROM + 500, 0, 'x'.repeat(CAP));
      const sound = [
        ...(ahead ? [log(FROM + 100)] : []),
        ...Array.from({ length: 40 }, (_, n) => log(FROM + 3_000 + n)),
        log(WINDOW.to),
      ];
      const inOrder = (logs: readonly Log[]) => logs.toSorted((a, b) => a.ms - b.ms);
      const late = log(FROM + 400);
      let requests = 0;
      let moves: readonly (readonly Log[])[] = [];
      let after = 0;
      const logs = () => inOrder(moves[++requests > after ? 1 : 0] ?? []);
      const access = await openDatadog(transport, holding(logs));
      for (const later of [[...sound, big, late], sound]) {
        moves = [[...sound, big], later];
        // Until it moves too late to be noticed.
        for (after = 1, requests = after + 1; requests > after; after += 1) {
          requests = 0;
          const came = new Set<unknown>();
          let doneTo: Ms = FROM;
          try {
            for await (const page of readDatadog(access, { window: WINDOW, cursor: null, ...turn() })) {
              for (const one of valuesOf(page.entries)) came.add((one as { id: string }).id);
              doneTo = Math.max(doneTo, page.readTo ?? 0);
            }
          } catch (error) {
            if (!isFailure(error, 'oversize') && !isFailure(error, 'cursor')) throw error;
          }
          const unread = sound.filter(({ id, ms }) => ms < doneTo && !came.has(id));
          expect({ after, unread }).toEqual({ after, unread: [] });
          if (later.includes(big)) expect(doneTo).toBeLessThanOrEqual(big.ms);
        }
      }
    });
  }

  for (const inclusive of [true, false]) {
    test(`Datadog ${name}, \`to\` ${inclusive ? 'inclusive' : 'exclusive'}: where a log beyond the cap at the window's end is on record, it is not looked for again`, async () => {
      const logs = [log(FROM + 100), log(WINDOW.to - 1), log(WINDOW.to, 0, 'x'.repeat(CAP))];
      const access = await openDatadog(
        transport,
        holding(() => logs, inclusive),
      );
      const came: string[] = [];
      let doneTo: Ms | null = null;
      const ask = { window: WINDOW, cursor: null, tooLongAtEnd: true, ...turn() };
      for await (const page of readDatadog(access, ask)) {
        came.push(...valuesOf(page.entries).map((one) => (one as { id: string }).id));
        doneTo = page.readTo;
      }
      expect(came).toEqual([logs[0]?.id, logs[1]?.id]);
      expect(doneTo).toBe(WINDOW.to);
      // One tells whether the window holds its end, the others are the chain.
      expect(access.seen.length).toBe(name === 'v1' ? 2 : 3);
    });

    test(`Datadog ${name}, \`to\` ${inclusive ? 'inclusive' : 'exclusive'}: an empty page with a cursor, whenever it comes, is no sign that nothing stands there`, async () => {
      const long = 'x'.repeat(CAP);
      const logs = [
        log(FROM + 3_900),
        log(FROM + 4_000, 0, long),
        log(FROM + 4_000, 1),
        log(FROM + 4_001, 0, long),
        log(FROM + 4_002, 0, long),
        log(FROM + 9_000),
      ];
      const whole = holding(() => logs, inclusive);
      let after = 0;
      let requests = 0;
      const access = await openDatadog(transport, (request, response) => {
        requests += 1;
        const empty = requests === after ? emptyPage(request, logs) : null;
        if (empty === null) whole(request, response);
        else json(response, empty);
      });
      for (after = 1, requests = after; requests >= after; after += 1) {
        requests = 0;
        const { came, gaps } = await readAll('ascending', (window) =>
          readDatadog(access, { window, cursor: null, ...turn() }),
        );
        const ids = new Set(came.map((one) => (one as { id: string }).id));
        const missing = logs.filter(({ id }) => !ids.has(id)).map(({ ms, tie }) => [ms - FROM, tie]);
        expect({ after, missing, gaps: gaps.map((ms) => ms - FROM) }).toEqual({
          after,
          missing: [
            [4_000, 0],
            [4_001, 0],
            [4_002, 0],
          ],
          gaps: [4_000, 4_001, 4_002],
        });
      }
      expect(after).toBeGreaterThan(20);
    });
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

/** An empty page with a cursor that goes on from where it was asked for; null where v1 knows none such. */
function emptyPage(request: Seen, logs: readonly Log[]): unknown {
  const { from, cursor, descending } = asked(request);
  if (request.url.pathname.startsWith('/api/v1')) {
    const first = logs.find(({ ms }) => ms >= from);
    if (cursor !== null || descending || first === undefined) return null;
    return { status: 'done', nextLogId: first.id, requestId: 'r', logs: [] };
  }
  const after = Buffer.from(JSON.stringify({ after: cursor ?? '', empty: true })).toString('base64url');
  return { meta: { page: { after }, status: 'done' }, data: [] };
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
function listing(entries: () => readonly Entry[], least = 1) {
  return ({ url }: Seen, response: Parameters<typeof json>[0]): void => {
    const ask = (name: string) => url.searchParams.get(name) ?? '';
    const after = ask('cursor') === '' ? -1 : Number(ask('cursor').split('_')[1]);
    const found = entries()
      .map((entry, index) => ({ entry, index }))
      .filter(({ entry }) => entry.time >= Number(ask('fromDate')) && entry.time <= Number(ask('toDate')))
      .filter(({ entry }) => isOf(ask('state') || null, entry.state))
      .filter(({ index }) => index > after);
    const page = found.slice(0, Math.max(least, Number(ask('count'))));
    const last = page.at(-1);
    json(response, {
      ...(found.length > page.length && last ? { cursor: `${last.entry.writtenMs}_${last.index}` } : {}),
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

/** Entries one after the other, newest first. */
function calm(count: number, size = 4, newestMs: Ms = FROM + 9_000, apartMs = 10): Entry[] {
  return Array.from({ length: count }, (_, n) => {
    const time = newestMs - n * apartMs;
    return {
      time,
      writtenMs: time,
      messageId: `msg_${newestMs}_${n}`,
      state: 'CREATED',
      body: 'x'.repeat(size),
    };
  });
}

async function readQstashAll(access: Awaited<ReturnType<typeof open>>, pageSize: number) {
  const { came, gaps } = await readAll('descending', (window) =>
    readQstash({ ...access, token: 't', filters: [], pageSize }, { window, cursor: null, ...turn() }),
  );
  return { came: new Set(came.map((one) => (one as Entry).messageId)), gaps };
}

test('QStash: an empty page, or another entry beyond the cap, that comes while one is located makes no gap where none is', async () => {
  const big = calm(1, CAP, FROM + 4_000);
  const late = calm(1, CAP, FROM + 5_000);
  const [newer, older] = [calm(2), calm(2, 4, FROM + 3_000)];
  const still = listing(() => [...newer, ...big, ...older]);
  const moved = listing(() => [...newer, ...late, ...big, ...older]);
  const empty: typeof still = ({ url }, response) => {
    const at = (url.searchParams.get('cursor') ?? '_-1').split('_')[1];
    json(response, { cursor: `empty_${at}`, events: [] });
  };
  let requests = 0;
  let after = 0;
  let isEmpty = true;
  const access = await open((request, response) => {
    requests += 1;
    const answer = isEmpty ? (requests === after ? empty : still) : requests > after ? moved : still;
    answer(request, response);
  });
  for (isEmpty of [true, false]) {
    for (after = 1, requests = after; requests >= after; after += 2) {
      requests = 0;
      const { came, gaps } = await readQstashAll(access, 4);
      const elsewhere = gaps.filter((ms) => ms !== FROM + 4_000 && (isEmpty || ms !== FROM + 5_000));
      expect({ after, elsewhere, came: came.size }).toEqual({ after, elsewhere: [], came: 4 });
      expect(gaps).toContain(FROM + 4_000);
    }
  }
});

test('QStash: where pages hold ten entries at least, whatever is asked, none of them is taken for too long', async () => {
  const access = await open(listing(() => calm(20, 600, FROM + 9_000, 400), 10));
  const { came, gaps } = await readQstashAll(access, 100);
  expect({ came: came.size, gaps }).toEqual({ came: 20, gaps: [] });
});

test('a page that takes longer than `timeout` to come is asked for in smaller parts', async () => {
  const all = calm(40, 4_000);
  const page = listing(() => all);
  const access = await open(
    (request, response) => {
      const held: Buffer[] = [];
      const body = { end: (text: string) => held.push(Buffer.from(text)), writeHead: () => body };
      page(request, body as never);
      const [whole = Buffer.alloc(0)] = held;
      response.writeHead(200, { 'content-length': whole.length });
      // Half of what is asked for at first comes in time.
      const parts = whole.length > 100_000 ? [whole.subarray(0, 10)] : [whole];
      for (const part of parts) response.write(part);
      if (parts[0] === whole) response.end();
    },
    { maxBodyBytes: 1_000_000, timeoutMs: 100, retryMs: 3_000 },
  );
  const { came } = await readQstashAll(access, 40);
  expect(came.size).toBe(40);
  const counts = access.seen.map(({ url }) => Number(url.searchParams.get('count')));
  expect(counts.slice(0, 3)).toEqual([40, 20, 40]);
  expect(counts.length).toBeLessThanOrEqual(5);
});
