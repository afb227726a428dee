import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import type { Ms, Span } from '../../src/model.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import type { Fault } from '../../src/sandbox/faults.ts';
import type { Stream, StreamSettings } from '../../src/sources/source.ts';
import { askOf, createWorld, START, type World } from '../world.ts';
import { Crashed, createMortal, POINTS, type Point } from './crashing.ts';
import { type Draft, makeDatadog, makeQstash } from './entries.ts';
import {
  askedFrom,
  type Expected,
  expectClaimsKept,
  expectUnknownKept,
  expectWhole,
  type Misled,
} from './judging.ts';
import { faultsOf, type Round, type Scene, scenes, WAYS, WHICH, type Which, wayOf } from './scene.ts';

const MINUTE = 60_000;
const RUNS = Number(process.env.LOGKEEP_PROPERTY_RUNS ?? 17);
const SEED = Number(process.env.LOGKEEP_PROPERTY_SEED ?? 20_261_121);
const tally = {
  faults: new Map<string, number>(WAYS.map((way) => [way, 0])),
  crashes: new Map<Point, { before: number; after: number }>(
    POINTS.map((point) => [point, { before: 0, after: 0 }]),
  ),
  runs: 0,
  entries: 0,
  /** Answers longer than `max_body`. */
  long: 0,
  quarantined: new Map<string, number>(),
};

for (const which of WHICH) {
  test(`${which}: whatever comes, goes wrong or crashes, every entry ends as one row that rebuilds it, or in quarantine`, async () => {
    await fc.assert(
      fc.asyncProperty(scenes(which, WHICH.indexOf(which) * RUNS), (scene) => play(which, scene)),
      { numRuns: RUNS, seed: SEED, endOnFailure: true, timeout: 60_000 },
    );
  }, 600_000);
}

afterAll(() => {
  const lines = [
    `seed ${SEED}, ${tally.runs} runs, ${tally.entries} entries, ${tally.long} answers beyond max_body (LOGKEEP_PROPERTY_SEED, LOGKEEP_PROPERTY_RUNS)`,
    `faults: ${[...tally.faults].map(([way, n]) => `${way} ${n}`).join(', ')}`,
    `crashes (before/after): ${[...tally.crashes].map(([point, n]) => `${point} ${n.before}/${n.after}`).join(', ')}`,
    `quarantined: ${[...tally.quarantined].map(([reason, n]) => `${reason} ${n}`).join(', ')}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
});

test('every way to fail and every crash point occurred, and every reason for quarantine', () => {
  const never = [
    ...[...tally.faults].filter(([, n]) => n === 0).map(([way]) => `fault ${way}`),
    ...(tally.long === 0 ? ['an answer beyond max_body'] : []),
    ...[...tally.crashes].flatMap(([point, n]) =>
      (['before', 'after'] as const).filter((when) => n[when] === 0).map((when) => `crash ${when} ${point}`),
    ),
    ...(['no_id', 'no_time', 'time_out_of_bounds', 'not_an_object', 'identity_clash'] as const)
      .filter((reason) => !tally.quarantined.has(reason))
      .map((reason) => `quarantine for ${reason}`),
  ];
  expect(never).toEqual([]);
});

async function play(which: Which, scene: Scene): Promise<void> {
  const stream = which === 'qstash' ? 'qstash.main' : 'datadog.main';
  const maxBody = maxBodyOf(which, scene);
  const settings = {
    pageSize: scene.pageSize,
    timeoutMs: 5_000,
    ...(maxBody === null ? {} : { maxBodyBytes: maxBody }),
    ...(which === 'datadog v2' ? { own: { api: 'v2' } } : {}),
  };
  const world = await createWorld({
    streams: [stream],
    sandbox: {
      seed: scene.rounds[0]?.faultSeed ?? 1,
      qstash: { ...scene.qstash, lateness: { minMs: 0, maxMs: 0 } },
      datadog: { ...scene.datadog, lateness: { minMs: 0, maxMs: 0 } },
    },
    settings,
  });
  try {
    tally.runs += 1;
    const expected: Expected[] = [];
    const misled: Misled[] = [];
    let since = START - 40 * MINUTE;
    for (const [number, round] of scene.rounds.entries()) {
      // Waits for quota leave parts of a ms behind, which no entry's time has.
      world.clock.advance(round.pauseMs + Math.ceil(world.clock.now()) - world.clock.now());
      expected.push(...add(world, which, scene, number, { from: since, to: world.clock.now() + 1 }));
      since = Math.ceil(world.clock.now()) + 1;
      const fromMs = world.clock.now();
      const faults = await read(world, which, round, { ...settings, timeoutMs: round.timeoutMs });
      if (faults.some((fault) => fault.kind === 'wrong_date' && fault.byMs > 0))
        misled.push({ fromMs, toMs: world.clock.now() });
      await world.endLeases();
      await expectClaimsKept(world, which, expected, misled);
    }
    for (const fault of world.sandbox.faults.happened()) {
      const way = wayOf(which, fault);
      tally.faults.set(way, (tally.faults.get(way) ?? 0) + 1);
    }
    world.sandbox.faults.clear();
    tally.entries += expected.length;
    tally.long += world.sandbox.requests().filter(({ bytes }) => bytes > (maxBody ?? bytes)).length;
    world.clock.advance(40 * MINUTE);
    await catchUp(world, null);
    await expectClaimsKept(world, which, expected, 'all');
    await catchUp(world, { from: await askedFrom(world), to: world.clock.now() });
    for (const reason of await expectWhole(world, which, expected))
      tally.quarantined.set(reason, (tally.quarantined.get(reason) ?? 0) + 1);
    await expectUnknownKept(world, which);
  } finally {
    await world.close();
  }
}

/** Adds the entries of a round, as if they had been there when their time came. */
function add(world: World, which: Which, scene: Scene, round: number, span: Span): readonly Expected[] {
  const { sandbox } = world;
  const last = scene.rounds.length - 1;
  const ours = scene.entries.flatMap((entry, index) =>
    Math.min(entry.round, last) === round ? [{ ...entry, slot: 1000 * round + index }] : [],
  );
  const burst = round === 0 ? Math.round(scene.burstPages * scene.pageSize) : 0;
  let previous: Ms = span.from;
  return ours.map(({ draft: drafted, at, tie, slot }, index) => {
    const nameless = drafted.fate === 'no_id' || drafted.fate === 'not_an_object';
    // v1 pages from one id to the next: a log without an id cannot be where a page begins.
    // Nor does a page of one log get past a twin that bears the same.
    const draft: Draft =
      which === 'datadog v1'
        ? {
            ...drafted,
            fate: nameless ? 'no_time' : drafted.fate,
            twin: drafted.twin && scene.bodyRoom !== 1,
          }
        : drafted;
    const own = span.from + Math.floor(at * (span.to - span.from));
    const edge = Math.floor(own / 1000) * 1000;
    const timeMs =
      !nameless && (tie || (index > 0 && index < burst))
        ? previous
        : index % 7 === 0 && edge >= span.from
          ? edge
          : own;
    if (!nameless) previous = timeMs;
    if (which === 'qstash') {
      const made = makeQstash(slot, draft, timeMs);
      sandbox.qstash.add(made.inputs);
      return { slot, timeMs, fate: made.fate, late: made.late };
    }
    const made = makeDatadog(slot, draft, timeMs, scene.datadog.idLayout ?? 3);
    sandbox.datadog.add(made.inputs);
    return { slot, timeMs, fate: made.fate, late: made.late };
  });
}

/** An answer that has room for one entry at least, whatever it is; null: what is the default. */
function maxBodyOf(which: Which, { bodyRoom, entries, datadog }: Scene): number | null {
  if (bodyRoom === null) return null;
  const lengths = entries.flatMap(({ draft }) =>
    which === 'qstash'
      ? makeQstash(9_999, draft, START).inputs.map(({ entry }) => bytesOf(entry))
      : makeDatadog(9_999, draft, START, datadog.idLayout ?? 3).inputs.map(({ log }) => bytesOf(log)),
  );
  return Math.ceil(bodyRoom * Math.max(...lengths)) + 1_000;
}

function bytesOf(json: unknown): number {
  return Buffer.byteLength(typeof json === 'string' ? json : JSON.stringify(json));
}

/** One process, which ends as the round says; tells what went wrong with its requests. */
async function read(
  world: World,
  which: Which,
  round: Round,
  settings: Partial<StreamSettings>,
): Promise<readonly Fault[]> {
  const before = world.sandbox.faults.happened().length;
  const api = which === 'qstash' ? 'qstash' : 'datadog';
  world.sandbox.faults.clear();
  world.sandbox.faults.next(api, ...round.sure);
  world.sandbox.faults.random({
    probability: round.faultShare,
    // Each would take as long as a request may.
    faults: faultsOf(which).filter(({ kind }) => kind !== 'silent'),
    api,
    seed: round.faultSeed,
  });
  const mortal = createMortal(round.crash, world.clock, ({ point, when }) => {
    const met = tally.crashes.get(point);
    if (met !== undefined) met[when] += 1;
  });
  const wrap = round.robbed ? robbedBy(world) : (stream: Stream) => stream;
  const app = await world.open({ clock: mortal.clock, settings, wrap });
  let allowance = round.requests;
  try {
    const reading = syncStreams(mortal.app(app), askOf({ mayRequest: () => allowance-- > 0 }));
    const [result] = await Promise.race([reading, mortal.end]);
    if (!mortal.happened() && result?.error) expect(EXPECTED_KINDS).toContain(result.error.kind);
  } catch (error) {
    const dead =
      error instanceof Crashed || (error instanceof LogkeepError && error.cause instanceof Crashed);
    if (!mortal.happened() || !dead) throw error;
  } finally {
    await app.close();
  }
  return world.sandbox.faults.happened().slice(before);
}

/** Another process takes the window over, once, while its first page is on its way, and dies. */
function robbedBy(world: World): (stream: Stream) => Stream {
  let done = false;
  return (stream) => ({
    ...stream,
    async *read(options) {
      for await (const page of stream.read(options)) {
        if (!done) {
          done = true;
          await world.query(
            `update logkeep.sync_window set fence = fence + 1, holder = 'another', lease_until = clock_timestamp() - interval '1 s'`,
          );
        }
        yield page;
      }
    },
  });
}

/** What may end a run when the API misbehaves: nothing of the database, and no bug. */
const EXPECTED_KINDS = ['unavailable', 'protocol', 'timeout', 'request'];

async function catchUp(world: World, again: Span | null): Promise<void> {
  await world.endLeases();
  const [result] = await world.sync({ again });
  expect({ outcome: result?.outcome, error: result?.error?.message ?? null }).toEqual({
    outcome: 'done',
    error: null,
  });
}
