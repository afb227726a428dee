import type { RawEntry } from '../../json.ts';
import { fieldTexts } from '../../json-scan.ts';
import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import type { Entries } from '../entries.ts';
import {
  createUnknowns,
  idFlaw,
  isObject,
  type Normalised,
  type NormaliserOptions,
  rawText,
  readerOf,
  timeFlaw,
} from '../entry.ts';
import {
  closeExtra,
  type Draft,
  escapeInto,
  extraJson,
  note,
  openDraft,
  place,
  readFields,
  storableMs,
} from '../fields.ts';
import type { Reject, Row } from '../source.ts';
import { ABSENT, BESIDE, CONTAINER, columnOf, FIELD, type Transport, TYPE } from './fields.ts';
import { decodeId } from './id.ts';
import { createQuickReader } from './quick.ts';
import { tables } from './table.ts';
import { sourceOf } from './tags.ts';
import { createTimestampReader, type TimestampReader } from './timestamp.ts';

const BLANK = (tables.stages[0]?.columns ?? []).map(() => null);
const EVENT_ID = columnOf('event_id');
const ID = columnOf('id');
const TIMESTAMP = columnOf('timestamp');
const SOURCE = columnOf('source');
const TAGS = columnOf('tags');
const INTAKE_TIME = columnOf('intake_time');
const EXTRA = columnOf('extra');
const ESCAPED = columnOf('escaped');

const NO_FIELDS: Readonly<Record<string, unknown>> = {};

/** Turns logs of either API into rows; never throws because of an entry. One for each stream. */
export function createNormaliser({
  redactor,
  nowMs,
  transport = 'v1',
}: NormaliserOptions & { readonly transport?: Transport }): (entries: Entries) => Normalised {
  const unknowns = createUnknowns();
  const timestamps = createTimestampReader();
  const context = { redactor, transport, timestamps, meet: unknowns.meet };
  return readerOf({
    nowMs,
    quick: createQuickReader(transport, timestamps, redactor),
    exact: (entry, now) => readEntry(entry, now, context),
    unknown: unknowns.take,
  });
}

interface Context {
  readonly redactor: Redactor;
  readonly transport: Transport;
  readonly timestamps: TimestampReader;
  readonly meet: (what: string) => void;
}

function readEntry(entry: RawEntry, now: Ms, context: Context): Row | Reject {
  const { redactor, transport, timestamps, meet } = context;
  const container = CONTAINER[transport];
  const parsed = isObject(entry.value) ? entry.value : NO_FIELDS;
  const inner = parsed[container];
  const found = isObject(inner) ? inner : NO_FIELDS;
  const texts = entry.text === null || found === NO_FIELDS ? null : fieldTexts(entry.text);
  const reading = texts === null ? null : readFields(fieldTexts(texts.get(container)?.at(-1) ?? ''), found);
  const log = reading?.value ?? found;
  const odd = reading?.odd ?? null;
  const { timestamp } = log;
  let timeMs = Number.NaN;
  let canonical = false;
  if (typeof timestamp === 'string') {
    timeMs = timestamps.canonical(timestamp);
    canonical = !Number.isNaN(timeMs);
    if (!canonical) timeMs = timestamps.loose(timestamp);
  }
  const reason = parsed === NO_FIELDS ? 'not_an_object' : (idFlaw(parsed.id) ?? timeFlaw(timeMs, now));
  if (reason !== null) return { reason, timeMs: storableMs(timeMs), rawText: rawText(entry, redactor) };
  const { plain } = entry;
  const id = parsed.id as string;
  const draft = openDraft(BLANK);
  const { values } = draft;
  for (const name in log) {
    const field = FIELD.get(name);
    const oddity = odd?.get(name);
    if (field === undefined) {
      if (name !== 'timestamp') meet(`field:${name}`);
      else if (canonical && oddity === undefined) continue;
      place(draft, null, name, log[name], oddity, plain, redactor);
    } else {
      place(draft, field, name, log[name], oddity, plain, redactor);
    }
  }
  keepBeside(draft, parsed, texts, plain, transport, redactor, meet);
  const rawId = plain ? id : escapeInto(draft, id);
  const decoded = decodeId(id);
  const known = decoded !== null && decoded.eventMs === timeMs;
  const eventId = known ? decoded.innerId : rawId;
  if (!known) meet('id:undecoded');
  values[EVENT_ID] = eventId;
  values[ID] = rawId;
  values[TIMESTAMP] = timeMs;
  values[SOURCE] = sourceOf(values[TAGS] as readonly string[] | null);
  values[INTAKE_TIME] = known ? storableMs(decoded.intakeMs) : null;
  values[EXTRA] = closeExtra(draft);
  values[ESCAPED] = draft.escaped;
  return {
    timeMs,
    key: `${eventId}:${timeMs}`,
    parts: () => ({ entry: values, shared: [] }),
    rawText: () => rawText(entry, redactor),
  };
}

/** Keeps what an entry says beside the id and the log itself; mostly nothing. */
function keepBeside(
  draft: Draft,
  parsed: Readonly<Record<string, unknown>>,
  texts: ReadonlyMap<string, readonly string[]> | null,
  plain: boolean,
  transport: Transport,
  redactor: Redactor,
  meet: (what: string) => void,
): void {
  const container = CONTAINER[transport];
  const reading = texts === null ? null : readFields(texts, parsed, container);
  const outer = reading?.value ?? parsed;
  let beside: Draft | null = null;
  for (const name in outer) {
    const oddity = reading?.odd?.get(name);
    const usual =
      name === 'id' || name === container || (transport === 'v2' && name === 'type' && outer.type === TYPE);
    if (usual && oddity === undefined) continue;
    if (name !== 'id' && name !== container && name !== 'type') meet(`field:${name}`);
    beside ??= openDraft([]);
    place(beside, null, name, outer[name], oddity, plain, redactor);
  }
  const json = beside === null ? null : extraJson(beside);
  if (json !== null) note(draft, BESIDE, json);
  if (transport === 'v2' && outer.type === undefined) note(draft, ABSENT, '["type"]');
}
