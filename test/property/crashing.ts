import { Writable } from 'node:stream';
import type pg from 'pg';
import type { App } from '../../src/app.ts';
import type { Clock } from '../../src/clock.ts';
import type { Stream } from '../../src/sources/source.ts';
import { Partitions } from '../../src/store/partitions.ts';

/** Places at which a process may end: what it awaits there. */
export const POINTS = [
  'open the ledger',
  'begin',
  'look at progress',
  'lease',
  'plan windows',
  'commit',
  'make a partition',
  'open a load',
  'copy',
  'store',
  'replan',
  'release',
  'note',
  'spend',
  'end the run',
  'page',
  'wait',
  'ask what is known',
  'take a claim of the future back',
  'renew',
  'take a lock',
  'set others aside',
  'close dead runs',
  'measure the overlap',
  'move the beginning',
  'take over',
  'look for partitions',
  'name a partition',
  'roll back',
] as const;
export type Point = (typeof POINTS)[number];

/** A process that ends at the `nth` time it gets to `point`, before or after what it awaits there has had its effect. */
export interface Crash {
  readonly point: Point;
  readonly nth: number;
  readonly when: 'before' | 'after';
}

/** What every await of a process brings once it has ended. */
export class Crashed extends Error {}

/** A process that can end. */
export interface Mortal {
  happened(): boolean;
  /** Rejects with Crashed a moment after the end: a dead process settles nothing, but what it began may still arrive. */
  readonly end: Promise<never>;
  /** A clock whose sleeps are awaits like others. */
  readonly clock: Clock;
  /** The app, each await of which may be the last. */
  app(app: App): App;
}

const GRACE_MS = 50;

/** Statements by what they begin with or hold; the first that fits. Each has a name: a process may end at any. */
const STATEMENTS: readonly (readonly [RegExp, Point])[] = [
  [/^begin;/, 'open a load'],
  [/^begin$/, 'begin'],
  [/^commit$/, 'commit'],
  [/logkeep\.checkpoint\(/, 'store'],
  [/^(create|alter) table logkeep/, 'make a partition'],
  [/^insert into logkeep\.stream |^insert into logkeep\.run /, 'open the ledger'],
  [/^select count\(\*\)::integer as entries from/, 'measure the overlap'],
  [/^select .* from logkeep\.(stream|sync_window|run)/s, 'look at progress'],
  [/^with free as \(/, 'lease'],
  [/^insert into logkeep\.sync_window/, 'plan windows'],
  [/set oversize = oversize \+|^delete from logkeep\.sync_window/, 'replan'],
  [/^update logkeep\.sync_window set lease_until = null/, 'release'],
  [/logkeep\.unknown_name/, 'note'],
  [/^with spent as/, 'spend'],
  [/^update logkeep\.run set outcome = \$2/, 'end the run'],
  [/^select count\(\*\)::integer as stored,/, 'ask what is known'],
  [/^update logkeep\.stream s set covered = covered - doubtful/, 'take a claim of the future back'],
  [/^with alive as \(update logkeep\.run set alive_until/, 'renew'],
  [/^select pg_advisory_xact_lock\(/, 'take a lock'],
  [/^update logkeep\.stream set active = false/, 'set others aside'],
  [/^update logkeep\.run\s+set outcome = 'crashed', finished_at = alive_until/, 'close dead runs'],
  [/^update logkeep\.run set outcome = 'crashed', finished_at = clock_timestamp\(\)/, 'take over'],
  [/^update logkeep\.stream s set asked_from = case/, 'move the beginning'],
  [/^set local datestyle|^with bound as \(/, 'look for partitions'],
  [/^select to_regclass\(/, 'name a partition'],
  [/^rollback$/, 'roll back'],
];

/** A process that ends by `crash` (null: never); `met` is told when it has. */
export function createMortal(crash: Crash | null, clock: Clock, met: (crash: Crash) => void): Mortal {
  let dead = false;
  let visits = 0;
  const { promise: end, reject } = Promise.withResolvers<never>();
  end.catch(() => {});
  const die = () => {
    dead = true;
    setTimeout(() => reject(new Crashed()), GRACE_MS);
  };

  /** Runs `work`, unless the process ends here; tells apart whether the end comes before or after. */
  async function live<T>(point: Point, work: () => Promise<T>): Promise<T> {
    if (dead) throw new Crashed();
    const last = crash !== null && point === crash.point && ++visits === crash.nth;
    if (last) met(crash);
    if (last && crash.when === 'before') {
      die();
      throw new Crashed();
    }
    const result = await work();
    if (last) die();
    if (dead) throw new Crashed();
    return result;
  }

  const mortalClient = (client: pg.PoolClient): pg.PoolClient =>
    new Proxy(client, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name !== 'query') return value.bind(target);
        return (statement: unknown, ...rest: unknown[]) => {
          if (typeof statement === 'string')
            return live(pointOf(statement), () => value.call(target, statement, ...rest));
          if (dead) throw new Crashed();
          const last = crash?.point === 'copy' && ++visits === crash.nth;
          if (last && crash.when === 'before') {
            met(crash);
            die();
            throw new Crashed();
          }
          const copy: unknown = value.call(target, statement, ...rest);
          // A COPY is a stream: Postgres has all its rows when it finishes.
          if (last && copy instanceof Writable) {
            copy.once('finish', () => {
              met(crash);
              die();
            });
          }
          return copy;
        };
      },
    });

  const mortalPool = (pool: pg.Pool): pg.Pool =>
    new Proxy(pool, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== 'function') return value;
        if (name === 'connect') {
          return async () => {
            if (dead) throw new Crashed();
            const client = await target.connect();
            if (!dead) return mortalClient(client);
            client.release(true);
            throw new Crashed();
          };
        }
        if (name === 'query') {
          return (text: string, values: unknown[]) => live(pointOf(text), () => target.query(text, values));
        }
        return value.bind(target);
      },
    });

  const mortalStream = (stream: Stream): Stream => ({
    ...stream,
    read: (options) => ({
      [Symbol.asyncIterator]() {
        const pages = stream.read(options)[Symbol.asyncIterator]();
        return {
          next: () => live('page', () => pages.next()),
          return: async () => (await pages.return?.()) ?? { done: true, value: undefined },
        };
      },
    }),
  });

  return {
    happened: () => dead,
    end,
    clock: { now: clock.now, sleep: (ms, signal) => live('wait', () => clock.sleep(ms, signal)) },
    app: (app) => {
      const pool = mortalPool(app.store.pool);
      return {
        ...app,
        store: { ...app.store, pool },
        partitions: new Partitions(pool),
        streams: app.streams.map((one) => ({ ...one, stream: mortalStream(one.stream) })),
      };
    },
  };
}

function pointOf(statement: string): Point {
  const found = STATEMENTS.find(([form]) => form.test(statement.trimStart()));
  if (found === undefined) throw new Error(`a statement that STATEMENTS does not name: ${statement}`);
  return found[1];
}
