import { isMark, type RawEntry, unmark, withoutMarks } from '../../json.ts';
import { fieldTexts } from '../../json-scan.ts';
import type { Redactor } from '../../redact.ts';
import {
  createUnknowns,
  idFlaw,
  isObject,
  type Normalised,
  type NormaliserOptions,
  rawText,
  timeFlaw,
} from '../entry.ts';
import {
  closeExtra,
  type Draft,
  escapeInto,
  escapeJsonInto,
  extraJson,
  note,
  openDraft,
  place,
  readFields,
  storableMs,
} from '../fields.ts';
import { ABSENT, BESIDE, CONTAINER, columnOf, FIELD, type Transport, TYPE } from './fields.ts';
import { decodeId } from './id.ts';
import { tables } from './table.ts';
import { createTimestampReader } from './timestamp.ts';

/** What a page's logs became, and how many rows have their raw id for identity, as it did not decode to their time. */
export interface DatadogNormalised extends Normalised {
  readonly undecoded: number;
}

const BLANK = (tables.stages[0]?.columns ?? []).map(() => null);
const EVENT_ID = columnOf('event_id');
const ID = columnOf('id');
const TIMESTAMP = columnOf('timestamp');
const SOURCE = columnOf('source');
const TAGS = columnOf('tags');
const INTAKE_TIME = columnOf('intake_time');
const EXTRA = columnOf('extra');
const ESCAPED = columnOf('escaped');

const ATTRIBUTES = 'attributes';
const ATTRIBUTES_COLUMN = columnOf(ATTRIBUTES);
const SOURCE_TAG = 'source:';
const NO_FIELDS: Readonly<Record<string, unknown>> = {};

/** Turns logs of either API into rows; never throws because of an entry. One for each stream. */
export function createNormaliser({
  redactor,
  nowMs,
  transport = 'v1',
}: NormaliserOptions & { readonly transport?: Transport }): (
  entries: readonly RawEntry[],
) => DatadogNormalised {
  const container = CONTAINER[transport];
  const timestamps = createTimestampReader();
  const unknowns = createUnknowns();
  return (entries) => {
    const rows: Normalised['rows'] = [];
    const rejects: Normalised['rejects'] = [];
    let undecoded = 0;
    const now = nowMs();
    for (const given of entries) {
      const entry = marksStayInside(given, container) ? given : withoutMarks(given);
      const parsed = isObject(entry.value) ? entry.value : NO_FIELDS;
      const inner = parsed[container];
      const found = isObject(inner) ? inner : NO_FIELDS;
      const texts = entry.text === null || found === NO_FIELDS ? null : fieldTexts(entry.text);
      const reading =
        texts === null ? null : readFields(fieldTexts(texts.get(container)?.at(-1) ?? ''), found);
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
      if (reason !== null) {
        rejects.push({ reason, timeMs: storableMs(timeMs), rawText: rawText(entry, redactor) });
        continue;
      }
      const { plain } = entry;
      const id = parsed.id as string;
      const draft = openDraft(BLANK);
      const { values } = draft;
      for (const name in log) {
        const field = FIELD.get(name);
        const oddity = odd?.get(name);
        if (name === ATTRIBUTES && entry.marked === true && isObject(log[name])) {
          const json = unmark(JSON.stringify(log[name]));
          values[ATTRIBUTES_COLUMN] = plain ? json : escapeJsonInto(draft, json);
        } else if (field === undefined) {
          if (name === 'timestamp') {
            if (canonical && oddity === undefined) continue;
          } else {
            unknowns.meet(`field:${name}`);
          }
          place(draft, null, name, log[name], oddity, plain, redactor);
        } else {
          place(draft, field, name, log[name], oddity, plain, redactor);
        }
      }
      keepBeside(draft, parsed, texts, plain, transport, redactor, unknowns.meet);
      const rawId = plain ? id : escapeInto(draft, id);
      const decoded = decodeId(id);
      const known = decoded !== null && decoded.eventMs === timeMs;
      const eventId = known ? decoded.innerId : rawId;
      if (!known) {
        undecoded += 1;
        unknowns.meet('id:undecoded');
      }
      values[EVENT_ID] = eventId;
      values[ID] = rawId;
      values[TIMESTAMP] = timeMs;
      values[SOURCE] = sourceOf(values[TAGS] as readonly string[] | null);
      values[INTAKE_TIME] = known ? storableMs(decoded.intakeMs) : null;
      values[EXTRA] = closeExtra(draft);
      values[ESCAPED] = draft.escaped;
      rows.push({
        timeMs,
        parts: [{ key: `${eventId}:${timeMs}`, values }],
        rawText: () => rawText(entry, redactor),
      });
    }
    return { rows, rejects, unknown: unknowns.take(), undecoded };
  };
}

/** Whether marked integers stand in the log's attributes alone, which go into their column as one JSON text. */
function marksStayInside(entry: RawEntry, container: string): boolean {
  if (entry.marked !== true) return true;
  if (!isObject(entry.value)) return false;
  for (const name in entry.value) {
    if (name !== container && (typeof entry.value[name] === 'object' || isMark(entry.value[name])))
      return false;
  }
  const log = entry.value[container];
  if (!isObject(log)) return false;
  for (const name in log) {
    const value = log[name];
    const nested = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (name === ATTRIBUTES && nested) continue;
    if (isMark(value) || nested) return false;
    if (Array.isArray(value) && !value.every((item) => typeof item === 'string')) return false;
  }
  return true;
}

function sourceOf(tags: readonly string[] | null): string | null {
  if (tags === null) return null;
  for (const tag of tags) {
    if (tag.startsWith(SOURCE_TAG)) return tag.slice(SOURCE_TAG.length);
  }
  return null;
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
