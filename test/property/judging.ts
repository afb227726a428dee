import { expect } from 'vitest';
import { unescapeText } from '../../src/escape.ts';
import { canonicalJson } from '../../src/json.ts';
import type { Ms } from '../../src/model.ts';
import { onceEach, storedDatadog, storedQstash } from '../stored.ts';
import type { World } from '../world.ts';
import { type Fate, markOf } from './entries.ts';
import type { Which } from './scene.ts';

/** One entry, what must become of it, and its texts: two where it has a twin. */
export interface Expected {
  readonly slot: number;
  readonly timeMs: Ms;
  readonly fate: Fate;
  readonly late: boolean;
}

/** The earliest time that was asked for. */
export async function askedFrom(world: World): Promise<Ms> {
  const [asked] = await world.query<{ from: Date }>('select asked_from as from from logkeep.stream');
  return Number(asked?.from);
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

/** A round with answers whose Date was ahead: when it began and when it ended. */
export interface Misled {
  readonly fromMs: Ms;
  readonly toMs: Ms;
}

/** What a Date ahead of the time by less than this claims too much is not seen; the overlap brings it. */
const UNSEEN_MS = 61_000;
/** How long after its time an entry is seen, if it is not late. */
const SEEN_MS = 2_500;

/**
 * I8: what coverage claims is there, but for what came late; with `all`, the rest of the time before it too. Before a
 * round with a Date ahead of the time everything was settled, so only what is younger may be claimed by mistake: for as
 * long as coverage ends in the future, which the next run sees, or for a minute, which none can.
 */
export async function expectClaimsKept(
  world: World,
  which: Which,
  expected: readonly Expected[],
  misled: readonly Misled[] | 'all',
): Promise<void> {
  const all = misled === 'all';
  const spans = await world.query<{ from: Date; to: Date }>(
    'select lower(span) as from, upper(span) as to from logkeep.stream, unnest(covered) span',
  );
  const isFuture = spans.some(({ to }) => +to > world.clock.now() + UNSEEN_MS);
  const isDoubtful = (timeMs: Ms): boolean =>
    !all &&
    misled.some(({ fromMs, toMs }) => timeMs > fromMs - SEEN_MS && (isFuture || timeMs < toMs + UNSEEN_MS));
  const stored = await rebuilt(world, which);
  const missing = expected.filter(
    ({ slot, timeMs, fate, late }) =>
      fate === 'row' &&
      !late &&
      !isDoubtful(timeMs) &&
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

/** I1, I5, I7: at the end every entry is one row that says what the wire said, or waits in quarantine, once; tells the reasons. */
export async function expectWhole(
  world: World,
  which: Which,
  expected: readonly Expected[],
): Promise<readonly string[]> {
  const stored = await rebuilt(world, which);
  const sent = wire(world, which);
  const waiting = await world.query<{ reason: string; raw: string }>(
    'select reason, raw from logkeep.quarantine',
  );
  const held = bySlot(onceEach(waiting.map(({ raw }) => ({ text: unescapeText(raw) }))));
  const reasons = new Map(waiting.map(({ reason, raw }) => [`${markOf(raw)} ${reason}`, reason]));
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
  const strange = [...stored.keys(), ...held.keys()].filter(
    (slot) => !slots.has(slot) && !Number.isNaN(slot),
  );
  expect({ wrong: wrong.slice(0, 2), strange }).toEqual({ wrong: [], strange: [] });
  return [...reasons.values()];
}

/** Entries that the API made up (`unknown_entry`), which bear no mark: each in the time asked for is one row. */
export async function expectUnknownKept(world: World, which: Which): Promise<void> {
  const fromMs = await askedFrom(world);
  const side = which === 'qstash' ? world.sandbox.qstash : world.sandbox.datadog;
  const made = side.truth().filter(({ text, timeMs }) => Number.isNaN(markOf(text)) && timeMs >= fromMs);
  const rows = (await rebuilt(world, which)).get(Number.NaN) ?? [];
  const sent = wire(world, which).get(Number.NaN) ?? [];
  expect(rows.filter((row) => !sent.includes(row))).toEqual([]);
  // What lay before the time asked for may be a row too: no claim is made of it.
  expect(rows.length).toBeGreaterThanOrEqual(onceEach(made).length);
}

/** What redaction hid, in the spelling of `onceEach`. */
function shownAlike(text: string): string {
  return canonicalJson(text).replace(/"REDACTED:hmac:[0-9a-f]{32}"/g, '"HIDDEN"');
}
