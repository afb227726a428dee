import fc from 'fast-check';
import { afterAll, expect, test } from 'vitest';
import { LogkeepError } from '../../src/errors.ts';
import { unescapeText } from '../../src/escape.ts';
import { canonicalJson } from '../../src/json.ts';
import type { Ms, Span } from '../../src/model.ts';
import { syncStreams } from '../../src/operations/sync.ts';
import { onceEach, storedDatadog, storedQstash } from '../stored.ts';
import { askOf, createWorld, START, type World } from '../world.ts';
import { Crashed, createMortal, POINTS, type Point } from './crashing.ts';
import { type Draft, type Fate, makeDatadog, makeQstash, markOf } from './entries.ts';
import {
  DATADOG_FAULTS,
  FAULTS,
  faultsOf,
  type Round,
  type Scene,
  scenes,
  WHICH,
  type Which,
} from './scene.ts';

const MINUTE = 60_000;
const RUNS = Number(process.env.LOGKEEP_PROPERTY_RUNS ?? 17);
const SEED = Number(process.env.LOGKEEP_PROPERTY_SEED ?? 20_261_121);
const tally = {
  faults: new Map<string, number>(FAULTS.concat(DATADOG_FAULTS).map(({ kind }) => [kind, 0])),
  crashes: new Map<Point, { before: number; after: number }>(
    POINTS.map((point) => [point, { before: 0, after: 0 }]),
  ),
  runs: 0,
  entries: 0,
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
    `seed ${SEED}, ${tally.runs} runs, ${tally.entries} entries (LOGKEEP_PROPERTY_SEED, LOGKEEP_PROPERTY_RUNS)`,
    `faults: ${[...tally.faults].map(([kind, n]) => `${kind} ${n}`).join(', ')}`,
    `crashes (before/after): ${[...tally.crashes].map(([point, n]) => `${point} ${n.before}/${n.after}`).join(', ')}`,
    `quarantined: ${[...tally.quarantined].map(([reason, n]) => `${reason} ${n}`).join(', ')}`,
  ];
  process.stdout.write(`${lines.join('\n')}\n`);
});

test('every fault and every crash point occurred, and every reason for quarantine', () => {
  const never = [
    ...[...tally.faults].filter(([, n]) => n === 0).map(([kind]) => `fault ${kind}`),
    ...[...tally.crashes].flatMap(([point, n]) =>
      (['before', 'after'] as const).filter((when) => n[when] === 0).map((when) => `crash ${when} ${point}`),
    ),
    ...(['no_id', 'no_time', 'time_out_of_bounds', 'not_an_object', 'identity_clash'] as const)
      .filter((reason) => !tally.quarantined.has(reason))
      .map((reason) => `quarantine for ${reason}`),
  ];
  expect(never).toEqual([]);
});

/** One entry, what must become of it, and its texts: two where it has a twin. */
interface Expected {
  readonly slot: number;
  readonly timeMs: Ms;
  readonly fate: Fate;
  readonly late: boolean;
}

async function play(which: Which, scene: Scene): Promise<void> {
  const stream = which === 'qstash' ? 'qstash.main' : 'datadog.main';
  const world = await createWorld({
    streams: [stream],
    sandbox: {
      seed: scene.rounds[0]?.faultSeed ?? 1,
      qstash: { ...scene.qstash, lateness: { minMs: 0, maxMs: 0 } },
      datadog: { ...scene.datadog, lateness: { minMs: 0, maxMs: 0 } },
    },
    settings: {
      pageSize: scene.pageSize,
      timeoutMs: 5_000,
      ...(which === 'datadog v2' ? { own: { api: 'v2' } } : {}),
    },
  });
  try {
    tally.runs += 1;
    const expected: Expected[] = [];
    let since = START - 40 * MINUTE;
    for (const [number, round] of scene.rounds.entries()) {
      // Waits for quota leave parts of a ms behind, which no entry's time has.
      world.clock.advance(round.pauseMs + Math.ceil(world.clock.now()) - world.clock.now());
      expected.push(...add(world, which, scene, number, { from: since, to: world.clock.now() + 1 }));
      since = Math.ceil(world.clock.now()) + 1;
      await read(world, which, round);
      await world.endLeases();
      await expectClaimsKept(world, which, expected);
    }
    for (const [kind, n] of Object.entries(world.sandbox.faults.counts())) {
      if (tally.faults.has(kind)) tally.faults.set(kind, (tally.faults.get(kind) ?? 0) + n);
    }
    world.sandbox.faults.clear();
    tally.entries += expected.length;
    world.clock.advance(40 * MINUTE);
    await catchUp(world, null);
    await expectClaimsKept(world, which, expected, true);
    await catchUp(world, { from: START - 60 * MINUTE, to: world.clock.now() });
    await expectWhole(world, which, expected);
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
    const draft: Draft = nameless && which === 'datadog v1' ? { ...drafted, fate: 'no_time' } : drafted;
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

/** One process, which ends as the round says. */
async function read(world: World, which: Which, round: Round): Promise<void> {
  const api = which === 'qstash' ? 'qstash' : 'datadog';
  world.sandbox.faults.clear();
  world.sandbox.faults.next(api, ...round.sure);
  world.sandbox.faults.random({
    probability: round.faultShare,
    faults: faultsOf(which),
    api,
    seed: round.faultSeed,
  });
  const mortal = createMortal(round.crash, world.clock, ({ point, when }) => {
    const met = tally.crashes.get(point);
    if (met !== undefined) met[when] += 1;
  });
  const app = await world.open({ clock: mortal.clock });
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

/** Rebuilt entries, by their mark. */
async function rebuilt(world: World, which: Which): Promise<ReadonlyMap<number, readonly string[]>> {
  const texts =
    which === 'qstash'
      ? await storedQstash(world)
      : await storedDatadog(world, which === 'datadog v1' ? 'v1' : 'v2');
  return bySlot(texts);
}

function bySlot(texts: readonly string[]): ReadonlyMap<number, readonly string[]> {
  const slots = new Map<number, string[]>();
  for (const text of texts) {
    const slot = markOf(text);
    slots.set(slot, [...(slots.get(slot) ?? []), text]);
  }
  return slots;
}

/** The entries as they went over the wire, in the spelling of `rebuilt`; each under all raw ids it ever had. */
function wire(world: World, which: Which): ReadonlyMap<number, readonly string[]> {
  if (which === 'qstash') return bySlot(onceEach(world.sandbox.qstash.truth()));
  const texts = world.sandbox.datadog.truth().flatMap((log) => {
    const text = which === 'datadog v1' ? log.text : log.textV2;
    const now = JSON.stringify(log.id);
    return [text, ...log.formerIds.map((id) => text.replace(`"id":${now}`, `"id":${JSON.stringify(id)}`))];
  });
  return bySlot(onceEach(texts.map((text) => ({ text }))));
}

/** I8: what coverage claims is there, but for what came late; with `all`, the rest of the time before it too. */
async function expectClaimsKept(
  world: World,
  which: Which,
  expected: readonly Expected[],
  all = false,
): Promise<void> {
  const spans = await world.query<{ from: Date; to: Date }>(
    'select lower(span) as from, upper(span) as to from logkeep.stream, unnest(covered) span',
  );
  const stored = await rebuilt(world, which);
  const missing = expected.filter(
    ({ slot, timeMs, fate, late }) =>
      fate === 'row' &&
      !late &&
      (all || spans.some(({ from, to }) => timeMs >= +from && timeMs < +to)) &&
      !stored.has(slot),
  );
  expect(missing).toEqual([]);
  const [counts] = await world.query(
    `select (select coalesce(sum(new), 0)::integer from logkeep.run) as counted,
      (select count(*)::integer from logkeep.qstash_log) + (select count(*)::integer from logkeep.datadog_log) as rows,
      (select count(*)::integer from logkeep.run where fetched <> new + known + quarantined) as wrong`,
  );
  expect(counts).toEqual({ counted: counts?.rows, rows: counts?.rows, wrong: 0 });
}

/** I1, I5, I7: at the end every entry is one row that says what the wire said, or waits in quarantine, once. */
async function expectWhole(world: World, which: Which, expected: readonly Expected[]): Promise<void> {
  const stored = await rebuilt(world, which);
  const sent = wire(world, which);
  const waiting = await world.query<{ reason: string; raw: string }>(
    'select reason, raw from logkeep.quarantine',
  );
  const held = bySlot(onceEach(waiting.map(({ raw }) => ({ text: unescapeText(raw) }))));
  const reasons = new Map(waiting.map(({ reason, raw }) => [`${markOf(raw)} ${reason}`, reason]));
  for (const reason of reasons.values())
    tally.quarantined.set(reason, (tally.quarantined.get(reason) ?? 0) + 1);
  const wrong: string[] = [];
  for (const { slot, fate } of expected) {
    const rows = stored.get(slot) ?? [];
    const texts = (sent.get(slot) ?? []).map(shownAlike);
    const rejected = (held.get(slot) ?? []).map(shownAlike);
    const say = (what: string) =>
      wrong.push(
        `slot ${slot} (${fate}): ${what}\nrows ${rows.join('\n     ')}\nheld ${rejected}\nsent ${texts.join('\n     ')}`.slice(
          0,
          3000,
        ),
      );
    if (fate === 'row') {
      if (rows.length !== 1) say(`${rows.length} rows, expected 1`);
      else if (!texts.includes(rows[0] as string)) say('the row is not what was sent');
      if (rejected.some((text) => !texts.includes(text) || !reasons.has(`${slot} identity_clash`)))
        say('quarantined');
    } else {
      if (rows.length > 0) say('a row, expected none');
      if (rejected.length === 0 || rejected.some((text) => !texts.includes(text)))
        say('not quarantined as sent');
      if (!reasons.has(`${slot} ${fate}`)) say('quarantined for another reason');
    }
  }
  const slots = new Set(expected.map(({ slot }) => slot));
  const strange = [...stored.keys(), ...held.keys()].filter((slot) => !slots.has(slot));
  expect({ wrong: wrong.slice(0, 2), strange }).toEqual({ wrong: [], strange: [] });
}

/** What redaction hid, in the spelling of `onceEach`. */
function shownAlike(text: string): string {
  return canonicalJson(text).replace(/"REDACTED:hmac:[0-9a-f]{32}"/g, '"HIDDEN"');
}
