import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { shared } from '../../src/config/declaration.ts';
import { silentLog } from '../../src/log.ts';
import type { Cursor, Ms, StreamId } from '../../src/model.ts';
import type { Source, Stream } from '../../src/sources/source.ts';
import { createMeter } from '../../src/sources/source.ts';
import type { Value } from '../../src/sources/tables.ts';
import { openStore } from '../../src/store/database.ts';
import { Partitions } from '../../src/store/partitions.ts';
import { openLedger } from '../../src/store/progress.ts';
import { planWindows } from '../../src/sync/plan.ts';
import { runStream } from '../../src/sync/run.ts';
import { createMigratedDatabase } from '../postgres.ts';
import { type KeptPage, openStream, readAll } from '../sources/opened.ts';
import { partsOf } from '../sources/stored.ts';
import { createClock, START, type WorldClock } from '../world.ts';

/** What an API can be made to do with its next request. `lost`: the next one that carries a cursor finds it gone. */
export type Trouble = 'refuse' | 'unavailable' | 'cut' | 'quota' | 'unknown' | 'lost' | 'silent';

/** A source's API, standing in for the live one, with nothing in it yet. */
export interface Stand {
  readonly source: Source;
  /** Settings of the source's own, with `secrets` in them. */
  readonly own: Readonly<Record<string, unknown>>;
  readonly secrets: readonly string[];
  /** Settings that ask for other entries of the same account. */
  readonly otherOwn: Readonly<Record<string, unknown>>;
  /** Adds an entry for each time, visible at once. */
  add(times: readonly Ms[]): void;
  requests(): number;
  trouble(kind: Trouble): void;
  /** SQL that makes the tables, where no migration of the project does. */
  readonly ddl: readonly string[];
  close(): Promise<void>;
}

const MINUTE = 60_000;
const FROM = Math.floor(START / 1000) * 1000 - 60 * MINUTE;
const WINDOW = { from: FROM, to: FROM + 30 * MINUTE };
const PAGE = 7;
const COUNT = 40;

/** What the pump and the store rely on, for every source; `start` makes a fresh API on the given clock. */
export function sourceContract(name: string, start: (clock: WorldClock) => Promise<Stand>): void {
  describe(`a source: ${name}`, () => {
    let clock: WorldClock;
    let stand: Stand;
    let stream: Stream;
    let close: () => Promise<void>;
    // Ties, and one at each edge of the window.
    const times = Array.from({ length: COUNT }, (_, n) =>
      n === 0 ? WINDOW.from : n === COUNT - 1 ? WINDOW.to - 1 : FROM + Math.floor(n / 3) * MINUTE + 500,
    );

    beforeEach(async () => {
      clock = createClock();
      stand = await start(clock);
      const opened = openStream(stand.source, stand.own, clock, { pageSize: PAGE });
      stream = opened.stream;
      close = () => opened.http.close();
      stand.add(times);
    });
    afterEach(async () => {
      await close();
      await stand.close();
    });

    const read = (cursor: Cursor | null = null) => readAll(stream, WINDOW, { cursor });
    const keys = (pages: readonly KeptPage[]) => pages.flatMap(({ rows }) => rows.map(({ key }) => key));
    const failure = async (work: () => Promise<unknown>) =>
      work().then(
        () => expect.unreachable('it did not fail'),
        (error: unknown) => error as { kind: string; message: string },
      );

    test('opening does no request, and says who it is', () => {
      expect(stand.requests()).toBe(0);
      expect(stream).toMatchObject({
        id: `${stand.source.name}.main`,
        source: stand.source.name,
        pageSize: PAGE,
      });
      expect(['ascending', 'descending']).toContain(stream.order);
    });

    test('the fingerprint is the same for the same settings, another for others, and holds no secret', () => {
      const again = openStream(stand.source, stand.own, clock);
      const other = openStream(stand.source, { ...stand.own, ...stand.otherOwn }, clock);
      expect(again.stream.fingerprint).toBe(stream.fingerprint);
      expect(other.stream.fingerprint).not.toBe(stream.fingerprint);
      for (const secret of stand.secrets)
        expect(JSON.stringify([stream.fingerprint, stream.scope])).not.toContain(secret);
    });

    test('a window gives every entry of it once, in pages no longer than asked for, and then ends', async () => {
      const pages = await read();
      expect(pages.flatMap(({ rows }) => rows.map(({ timeMs }) => timeMs)).sort()).toEqual([...times].sort());
      expect(new Set(keys(pages)).size).toBe(COUNT);
      expect(pages.flatMap(({ rejects }) => rejects)).toEqual([]);
      expect(Math.max(...pages.map(({ rows }) => rows.length))).toBeLessThanOrEqual(PAGE);
      expect(pages.map(({ next }) => next === null)).toEqual(pages.map((_, n) => n === pages.length - 1));
      for (const { dateMs, bytes } of pages) {
        expect(Math.abs((dateMs ?? 0) - clock.now())).toBeLessThan(2_000);
        expect(bytes).toBeGreaterThan(0);
      }
    });

    test('a first read takes the least requests: one for each full page, and one for the end at most', async () => {
      await read();
      expect(stand.requests()).toBeLessThanOrEqual(Math.ceil(COUNT / PAGE) + 1);
    });

    test('rows fit the tables that the source declares', async () => {
      const { tables } = stream;
      for (const row of (await read()).flatMap(({ rows }) => rows)) {
        const parts = partsOf(row);
        expect(parts).toHaveLength(tables.stages.length);
        expect(parts[0]).not.toBeNull();
        for (const [n, part] of parts.entries()) {
          if (part === null) continue;
          expect(part.values).toHaveLength(tables.stages[n]?.columns.length ?? -1);
          // A folded row outlives the bytes that a place would point to.
          if (tables.stages[n]?.fold !== undefined)
            expect(
              part.values.every((value) => typeof value !== 'object' || !('from' in (value ?? {}))),
            ).toBe(true);
        }
      }
      const columns = tables.stages[0]?.columns.map((column) => column.name);
      expect(columns).toEqual(expect.arrayContaining([tables.entries.time, ...tables.entries.newRow]));
    });

    test('reading again gives the same identities and values', async () => {
      const [one, other] = [await read(), await read()];
      const parts = (pages: readonly KeptPage[]) =>
        pages.flatMap(({ rows }) =>
          rows.flatMap((row) => partsOf(row).map((part) => [part?.key, part?.values.map(told)])),
        );
      expect(parts(other)).toEqual(parts(one));
    });

    test('the order is the one it says: ascending, all before readTo has been given; descending, nothing is said before the end', async () => {
      const pages = await read();
      let given = 0;
      for (const { rows, readTo, next } of pages) {
        given += rows.length;
        if (stream.order === 'descending') expect(readTo).toBeNull();
        else if (readTo !== null)
          expect(times.filter((time) => time < readTo).length).toBeLessThanOrEqual(given);
        if (stream.order === 'ascending' && next === null) expect(readTo).toBe(WINDOW.to);
      }
      const seen = pages.map(({ rows }) => rows[0]?.timeMs ?? 0).filter((time) => time > 0);
      expect(seen).toEqual([...seen].sort((a, b) => (stream.order === 'ascending' ? a - b : b - a)));
    });

    test('any page is a place to go on from: its cursor gives exactly the rest; only where nothing is left it may count as lost', async () => {
      const pages = await read();
      for (const [n, { next }] of pages.entries()) {
        if (next === null) continue;
        const rest = keys(pages.slice(n + 1));
        if (rest.length > 0) expect(keys(await read(next))).toEqual(rest);
        else expect(await failure(() => read(next))).toMatchObject({ kind: 'cursor' });
      }
    });

    test('an empty window is one page without a cursor', async () => {
      const empty = { from: FROM - 10 * MINUTE, to: FROM - MINUTE };
      const pages = await readAll(stream, empty);
      expect(pages).toMatchObject([{ rows: [], rejects: [], next: null }]);
    });

    test('a lost cursor is an error of its kind, never an end', async () => {
      const [first] = await read();
      stand.trouble('lost');
      expect(await failure(() => read(first?.next))).toMatchObject({ kind: 'cursor' });
    });

    test('refused credentials stop at once, with the remedy and without the secret', async () => {
      stand.trouble('refuse');
      const error = await failure(() => read());
      expect(error.kind).toBe('auth');
      expect(stand.requests()).toBe(1);
      expect(error.message).toMatch(/check /);
      for (const secret of stand.secrets) expect(error.message).not.toContain(secret);
    });

    for (const kind of ['unavailable', 'cut'] as const) {
      test(`an answer that is ${kind} is asked for again, and counted`, async () => {
        stand.trouble(kind);
        const meter = createMeter();
        const pages = await readAll(stream, WINDOW, { meter });
        expect(keys(pages)).toHaveLength(COUNT);
        expect(meter).toMatchObject({ retries: 1, requests: stand.requests() });
      });
    }

    test('a quota that is used up is waited for, not failed on', async () => {
      stand.trouble('quota');
      const meter = createMeter();
      expect(keys(await readAll(stream, WINDOW, { meter }))).toHaveLength(COUNT);
      expect(meter.waits).toBeGreaterThan(0);
      expect(meter.waitMs).toBeGreaterThan(0);
    });

    test('an answer of unknown shape is an error, never an empty page', async () => {
      for (let n = 0; n < 6; n++) stand.trouble('unknown');
      expect(await failure(() => read())).toMatchObject({ kind: 'protocol' });
    });

    test('a stop ends a request without an answer within a second', async () => {
      stand.trouble('silent');
      const stop = new AbortController();
      const reading = failure(() => readAll(stream, WINDOW, { signal: stop.signal }));
      await expect.poll(() => stand.requests()).toBe(1);
      const asked = performance.now();
      stop.abort();
      expect(await reading).toMatchObject({ kind: 'aborted' });
      expect(performance.now() - asked).toBeLessThan(1_000);
    });

    test('no entry is too strange: each becomes a row or a reject, without a throw', () => {
      const known = [
        'time',
        'messageId',
        'id',
        'at',
        'content',
        'attributes',
        'state',
        'message',
        'header',
        'body',
        'timestamp',
        'tags',
      ];
      const object = fc.dictionary(fc.constantFrom(...known), fc.jsonValue());
      fc.assert(
        fc.property(
          fc.oneof(
            fc.json(),
            object.map((value) => JSON.stringify(value)),
          ),
          (text) => {
            const made = stream.normalise(text);
            if ('reason' in made) expect(made.rawText.length).toBeGreaterThan(0);
            else expect(made.key.length).toBeGreaterThan(0);
          },
        ),
        { numRuns: 300 },
      );
    });

    test('a probe tells the skew and costs one request', async () => {
      expect(Math.abs((await stream.probe(new AbortController().signal)).skewMs ?? 99_999)).toBeLessThan(
        2_000,
      );
      expect(stand.requests()).toBe(1);
    });

    test('settings are described, secrets and variables name settings, defaults are of the shared ones', () => {
      const { settings, secrets, environment, defaults } = stand.source;
      const shape = settings.shape as Record<string, { description?: string }>;
      for (const [setting, value] of Object.entries(shape))
        expect({ setting, described: Boolean(value.description) }).toEqual({ setting, described: true });
      expect(Object.keys(shape)).toEqual(expect.arrayContaining([...secrets]));
      expect(Object.keys(shape)).toEqual(
        expect.arrayContaining(environment.variables.map(({ setting }) => setting)),
      );
      expect(Object.keys(shared.shape)).toEqual(expect.arrayContaining(Object.keys(defaults)));
      expect(Object.keys(shape).filter((setting) => setting in shared.shape)).toEqual([]);
    });

    test('it is synced into its tables by the same pump and store, completely, and a second time without a write', async () => {
      const database = await createMigratedDatabase();
      const store = openStore(database.url);
      try {
        for (const statement of stand.ddl) await store.pool.query(statement);
        const sync = async (again: boolean) => {
          const ledger = await openLedger({
            store,
            partitions: new Partitions(store.pool),
            stream,
            askedFrom: FROM - MINUTE,
            nowMs: Date.now(),
            retentionMs: 86_400_000,
            overlapMs: 0,
            job: 'sync',
            holder: 'contract',
          });
          return runStream({
            job: 'sync',
            plan: planWindows,
            stream,
            ledger,
            clock,
            log: silentLog,
            settleMs: 1_000,
            retentionMs: 86_400_000,
            overlapMs: 0,
            untilMs: null,
            again: again ? WINDOW : null,
            leadMs: 0,
            signal: new AbortController().signal,
            mayRequest: () => true,
            watch: () => {},
          });
        };
        expect(await sync(false)).toMatchObject({
          outcome: 'done',
          error: null,
          totals: { fetched: COUNT, fresh: COUNT },
        });
        const { table, time, key } = stream.tables.entries;
        const stored = `select stream, (extract(epoch from ${time}) * 1000)::float8 as at, xmin, ctid from logkeep.${table} order by ${time}, ctid`;
        const before = (await store.pool.query(stored)).rows;
        expect(before.map((row) => row.at).sort()).toEqual([...times].sort());
        expect(new Set(before.map((row) => row.stream))).toEqual(new Set([stream.id satisfies StreamId]));
        // An audit compares what the API gives with what is stored by these.
        const keys = await store.pool.query(`select ${key} as key, ingested_at from logkeep.${table}`);
        const given = (await read()).flatMap(({ rows }) => rows.map((row) => row.key));
        expect(keys.rows.map((row) => row.key).sort()).toEqual(given.sort());
        expect(await sync(true)).toMatchObject({ outcome: 'done', totals: { fresh: 0, known: COUNT } });
        expect((await store.pool.query(stored)).rows).toEqual(before);
      } finally {
        await store.close();
        await database.drop();
      }
    });
  });
}

/** A value as text, wherever its bytes lie. */
function told(value: Value): unknown {
  if (typeof value !== 'object' || value === null || !('from' in value)) return value;
  return value.bytes.toString('utf8', value.from, value.to);
}
