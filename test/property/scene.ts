import fc from 'fast-check';
import type { DatadogBehaviour } from '../../src/sandbox/datadog/behaviour.ts';
import type { Fault } from '../../src/sandbox/faults.ts';
import type { QstashBehaviour } from '../../src/sandbox/qstash/behaviour.ts';
import { type Crash, POINTS, type Point } from './crashing.ts';
import { type Draft, drafts } from './entries.ts';

const MINUTE = 60_000;

/** Which API, and by which of its transports. */
export const WHICH = ['qstash', 'datadog v1', 'datadog v2'] as const;
export type Which = (typeof WHICH)[number];

export const FAULTS: readonly Fault[] = [
  { kind: 'rate_limit', resetS: 1 },
  { kind: 'rate_limit', headers: false, body: 'text' },
  { kind: 'unavailable' },
  { kind: 'reset', when: 'before' },
  { kind: 'reset', when: 'body' },
  { kind: 'cut' },
  { kind: 'slow', ms: 15 },
  { kind: 'repeat_cursor' },
  { kind: 'empty_page' },
  { kind: 'start_over' },
  { kind: 'bad_cursor' },
  { kind: 'bad_cursor' },
  { kind: 'unknown_field' },
  { kind: 'unknown_envelope' },
  { kind: 'not_json' },
  { kind: 'no_date' },
];
export const DATADOG_FAULTS: readonly Fault[] = [
  { kind: 'partial', how: 'status' },
  { kind: 'partial', how: 'warning' },
  { kind: 'query_timeout' },
  { kind: 'compact' },
  { kind: 'compact' },
];

/** A process that reads until it has caught up, crashes, or has used its requests. */
export interface Round {
  /** How long before it nobody reads. */
  readonly pauseMs: number;
  readonly crash: Crash | null;
  readonly faultShare: number;
  readonly faultSeed: number;
  /** Faults that are sure to come, each as soon as it can. */
  readonly sure: readonly Fault[];
  readonly requests: number;
}

export interface Scene {
  readonly pageSize: number;
  /** Entries, each with its place in the time since the round before, from 0 to 1, or at the ms of the one before. */
  readonly entries: readonly {
    readonly draft: Draft;
    readonly at: number;
    readonly tie: boolean;
    readonly round: number;
  }[];
  /** So many pages of entries share one ms. */
  readonly burstPages: number;
  readonly rounds: readonly Round[];
  readonly qstash: Partial<QstashBehaviour>;
  readonly datadog: Partial<DatadogBehaviour>;
}

/** Scenes of one API, `turn` and counting: what chance would leave out now and then comes round in turn. */
export function scenes(which: Which, turn: number): fc.Arbitrary<Scene> {
  let made = turn;
  const crash = fc.record<Crash>({
    point: fc.constantFrom(...POINTS),
    nth: fc.constantFrom(1, 1, 2, 3, 5),
    when: fc.constantFrom('before', 'after'),
  });
  const round = fc.record<Round>({
    pauseMs: fc.constantFrom(0, 5_000, 70_000, 11 * MINUTE),
    crash: fc.oneof({ weight: 4, arbitrary: crash }, { weight: 1, arbitrary: fc.constant(null) }),
    faultShare: fc.constantFrom(0, 0.15, 0.3, 0.45),
    faultSeed: fc.nat(),
    sure: fc.constant([]),
    requests: fc.constantFrom(4, 12, 1_000, 1_000),
  });
  const entry = fc.record({
    draft: drafts(which === 'qstash' ? 'qstash' : 'datadog'),
    at: fc.double({ min: 0, max: 0.999, noNaN: true }),
    tie: fc.constantFrom(false, false, true),
    round: fc.constantFrom(0, 0, 0, 1, 2),
  });
  return fc
    .record<Scene>({
      pageSize: fc.integer({ min: 3, max: 12 }),
      entries: fc.array(entry, { minLength: 25, maxLength: 70 }),
      burstPages: fc.constantFrom(0, 0, 1, 2.4),
      rounds: fc.array(round, { minLength: 3, maxLength: 5 }),
      qstash: fc.record({
        envelope: fc.constantFrom('events', 'logs'),
        ties: fc.constantFrom('written', 'reversed', 'shuffled'),
        cursorAtEnd: fc.constantFrom('absent', 'empty', 'null'),
        emptyLastPage: fc.boolean(),
        badCursor: fc.constantFrom('error', 'start_over', 'empty'),
        cursorMaxAgeMs: fc.constantFrom(null, 30_000),
        disorderMs: fc.constantFrom(0, 3),
      }),
      datadog: fc.record({
        toInclusive: fc.boolean(),
        idLayout: fc.constantFrom(0, 1, 2, 3),
        nextAtEnd: fc.constantFrom('null', 'absent', 'empty'),
        lostStartAt: fc.constantFrom('position', 'start_over', 'error'),
        badCursor: fc.constantFrom('error', 'start_over', 'empty'),
        v2Meta: fc.constantFrom('page', 'full'),
        v2CursorAtEnd: fc.boolean(),
      }),
    })
    .map((scene) => {
      // Chance alone would leave out a point or a fault now and then, so each scene is given its turn's.
      const nth = made++;
      const point = POINTS[nth % POINTS.length] as Point;
      // The number of points is odd: each comes before and after in turn.
      const when = nth % 2 === 0 ? 'before' : 'after';
      const [first, second, ...rest] = scene.rounds as [Round, Round, ...Round[]];
      const given: Round = { ...first, ...WAY_TO[point], crash: { point, nth: 1, when } };
      const faults = faultsOf(which);
      const sure = [0, 1, 2].map((n) => faults[(3 * nth + n) % faults.length] as Fault);
      return { ...scene, rounds: [given, { ...second, sure }, ...rest] };
    });
}

/** What leads to a point that not every run gets to. */
const WAY_TO: Readonly<Partial<Record<Point, Partial<Round>>>> = {
  wait: { sure: [{ kind: 'rate_limit' }] },
  replan: { sure: [{ kind: 'bad_cursor' }], faultShare: 0, requests: 1_000 },
  release: { requests: 2, faultShare: 0 },
};

export function faultsOf(which: Which): readonly Fault[] {
  return which === 'qstash' ? FAULTS : [...FAULTS, ...DATADOG_FAULTS];
}
