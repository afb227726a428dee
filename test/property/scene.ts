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

const HOUR = 60 * MINUTE;

const FAULTS: readonly Fault[] = [
  { kind: 'rate_limit', resetS: 1 },
  { kind: 'rate_limit', headers: false, body: 'text' },
  { kind: 'unavailable' },
  { kind: 'reset', when: 'before' },
  { kind: 'reset', when: 'body' },
  { kind: 'cut' },
  { kind: 'slow', ms: 15 },
  { kind: 'silent' },
  { kind: 'repeat_cursor' },
  { kind: 'repeat_page' },
  { kind: 'empty_page' },
  { kind: 'start_over' },
  { kind: 'bad_cursor' },
  { kind: 'bad_cursor' },
  { kind: 'unknown_field' },
  { kind: 'unknown_entry' },
  { kind: 'unknown_envelope' },
  { kind: 'not_json' },
  { kind: 'no_date' },
  { kind: 'wrong_date', byMs: 3 * HOUR },
  { kind: 'wrong_date', byMs: -3 * HOUR },
  { kind: 'wrong_date', byMs: 720 * HOUR },
  { kind: 'wrong_date', byMs: 50_000 },
];
const DATADOG_FAULTS: readonly Fault[] = [
  { kind: 'partial', how: 'status' },
  { kind: 'partial', how: 'status' },
  { kind: 'query_timeout' },
  { kind: 'compact' },
  { kind: 'compact' },
];
const FAULTS_OF: Readonly<Record<Which, readonly Fault[]>> = {
  qstash: FAULTS,
  'datadog v1': [...FAULTS, ...DATADOG_FAULTS],
  'datadog v2': [...FAULTS, ...DATADOG_FAULTS, { kind: 'partial', how: 'warning' }],
};

export function faultsOf(which: Which): readonly Fault[] {
  return FAULTS_OF[which];
}

/** The fault, told from others of its kind that are met in another way. */
export function wayOf(which: Which, fault: Fault): string {
  switch (fault.kind) {
    case 'rate_limit':
      return fault.headers === false ? 'rate_limit without headers' : 'rate_limit with headers';
    case 'reset':
      return `reset ${fault.when ?? 'before'}`;
    case 'partial':
      return `partial ${which} ${fault.how ?? 'status'}`;
    case 'wrong_date':
      return `wrong_date ${fault.byMs / 1000} s`;
    default:
      return fault.kind;
  }
}

/** All ways, of all APIs. */
export const WAYS: readonly string[] = [
  ...new Set(WHICH.flatMap((which) => faultsOf(which).map((fault) => wayOf(which, fault)))),
];

/** A process that reads until it has caught up, crashes, or has used its requests. */
export interface Round {
  /** How long before it nobody reads. */
  readonly pauseMs: number;
  readonly crash: Crash | null;
  /** Another process takes its window over while the first page is on its way, and dies. */
  readonly robbed: boolean;
  readonly faultShare: number;
  readonly faultSeed: number;
  /** Faults that are sure to come, each as soon as it can. */
  readonly sure: readonly Fault[];
  readonly requests: number;
  readonly timeoutMs: number;
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
  /** Room for so many of the longest entries in an answer; null: for all there are. */
  readonly bodyRoom: number | null;
  /** Which turn it is. */
  readonly nth: number;
  readonly rounds: readonly Round[];
  readonly qstash: Partial<QstashBehaviour>;
  readonly datadog: Partial<DatadogBehaviour>;
}

/** Scenes of one API, `turn` and counting: what chance would leave out now and then comes round in turn. */
export function scenes(which: Which, turn: number): fc.Arbitrary<Scene> {
  let made = turn;
  const crash = fc.record<Crash>({
    point: fc.constantFrom(...POINTS.filter((point) => !(point in LED_TO))),
    nth: fc.constantFrom(1, 1, 2, 3, 5),
    when: fc.constantFrom('before', 'after'),
  });
  const round = fc.record<Round>({
    pauseMs: fc.constantFrom(0, 5_000, 70_000, 11 * MINUTE),
    crash: fc.oneof({ weight: 4, arbitrary: crash }, { weight: 1, arbitrary: fc.constant(null) }),
    robbed: fc.constant(false),
    faultShare: fc.constantFrom(0, 0.15, 0.3, 0.45),
    faultSeed: fc.nat(),
    sure: fc.constant([]),
    requests: fc.constantFrom(4, 12, 1_000, 1_000),
    timeoutMs: fc.constant(5_000),
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
      bodyRoom: fc.constantFrom(null, 1, 3),
      // Made once, and kept when a scene shrinks.
      nth: fc.noShrink(fc.constant(null).map(() => made++)),
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
      const { nth } = scene;
      const crash = inTurn(LED, nth);
      const { point } = crash;
      const [first, second, third, ...rest] = scene.rounds as [Round, Round, Round, ...Round[]];
      const way = WAY_TO[point] ?? LED_TO[point];
      const given: Round = { ...first, ...way?.round, crash };
      const before = way?.before === undefined ? [] : [{ ...first, ...way.before, crash: null }];
      const faults = faultsOf(which);
      const sure = [0, 1, 2].map((n) => faults[(3 * nth + n) % faults.length] as Fault);
      const timeoutMs = sure.some(({ kind }) => kind === 'silent') ? 300 : second.timeoutMs;
      const later = nth % 4 === 3 ? { ...third, crash: inTurn(OPENING, Math.floor(nth / 4)) } : third;
      return { ...scene, rounds: [...before, given, { ...second, sure, timeoutMs }, later, ...rest] };
    });
}

/** Points that every process gets to when it begins. */
const OPENING: readonly Point[] = ['take a lock', 'set others aside', 'close dead runs', 'open the ledger'];
/** The rest: twice as many as these at most are the scenes of a run. */
const LED: readonly Point[] = POINTS.filter((point) => !OPENING.includes(point));

/** Each of the points in turn, before and then after. */
function inTurn(points: readonly Point[], turn: number): Crash {
  const when = Math.floor(turn / points.length) % 2 === 0 ? 'before' : 'after';
  return { point: points[turn % points.length] as Point, nth: 1, when };
}

/** What leads to a point: how the round is, and perhaps one before it. */
interface Way {
  readonly before?: Partial<Round>;
  readonly round: Partial<Round>;
}

const CALM = { faultShare: 0, requests: 1_000 } as const;

/** What leads to a point that not every run gets to. */
const WAY_TO: Readonly<Partial<Record<Point, Way>>> = {
  wait: { round: { sure: [{ kind: 'rate_limit' }] } },
  replan: { round: { ...CALM, sure: [{ kind: 'bad_cursor' }] } },
  release: { round: { faultShare: 0, requests: 1 } },
  'measure the overlap': { before: CALM, round: CALM },
  'look for partitions': { round: CALM },
  'name a partition': { round: CALM },
  'make a partition': { round: CALM },
};

/** The same for those that chance would not get to. */
const LED_TO: Readonly<Partial<Record<Point, Way>>> = {
  // A lease is renewed after three seconds; a longer timer of ours ends after it.
  renew: { round: { ...CALM, sure: [{ kind: 'slow', ms: 3_200 }] } },
  'take a claim of the future back': {
    before: { ...CALM, sure: Array(100).fill({ kind: 'wrong_date', byMs: 3 * HOUR }) },
    round: CALM,
  },
  'move the beginning': { round: { ...CALM, sure: [{ kind: 'wrong_date', byMs: -3 * HOUR }] } },
  'take over': { round: { ...CALM, robbed: true } },
  'roll back': { round: { ...CALM, robbed: true } },
};
