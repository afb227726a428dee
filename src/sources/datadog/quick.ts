import { needsEscape } from '../../escape.ts';
import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import { redactJson } from '../../redact-json.ts';
import { nameTable } from '../../tape/names.ts';
import {
  endMember,
  entrySpan,
  firstMember,
  hasFlag,
  KIND,
  kindOf,
  memberJson,
  memberText,
  type Tape,
  UNICODE,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { timeFlaw } from '../entry.ts';
import { storableMs } from '../fields.ts';
import type { Row } from '../source.ts';
import type { Value } from '../tables.ts';
import { CONTAINER, columnOf, type Transport, TYPE } from './fields.ts';
import { decodeId } from './id.ts';
import { tables } from './table.ts';
import { sourceOf } from './tags.ts';
import type { TimestampReader } from './timestamp.ts';

const BLANK: readonly Value[] = (tables.stages[0]?.columns ?? []).map(() => null);
const COLUMN = {
  eventId: columnOf('event_id'),
  id: columnOf('id'),
  timestamp: columnOf('timestamp'),
  source: columnOf('source'),
  tags: columnOf('tags'),
  attributes: columnOf('attributes'),
  intakeTime: columnOf('intake_time'),
  escaped: columnOf('escaped'),
};
const [ATTRIBUTES, TAGS, TIMESTAMP] = [0, 1, 2];
const TEXTS = ['message', 'host', 'service', 'status'];
const TEXT_COLUMNS = TEXTS.map(columnOf);
const INNER = nameTable(['attributes', 'tags', 'timestamp', ...TEXTS]);
const FIRST_TEXT = 3;
/** No known id is longer; a longer one is looked at for more. */
const MAX_ID = 134;

/**
 * Reads logs of which all is known and fits its column straight from their bytes: what they take to be read is most
 * of what a sync costs. Declines (null) any other; `normalise.ts` reads it, and makes the same row of these too.
 */
export function createQuickReader(
  transport: Transport,
  timestamps: TimestampReader,
  redactor: Redactor,
): (tape: Tape, index: number, now: Ms) => Row | null {
  const [ID, LOG, LOG_TYPE] = [0, 1, 2];
  const outer = nameTable(['id', CONTAINER[transport], ...(transport === 'v2' ? ['type'] : [])]);
  const outerMembers = transport === 'v2' ? 3 : 2;
  return (tape, index, now) => {
    let id: string | null = null;
    const first = firstMember(tape, index);
    const end = endMember(tape, index);
    if (end - first !== outerMembers) return null;
    for (let member = first; member < end; member += 1) {
      const name = outer.find(tape, member);
      const kind = kindOf(tape, member);
      if (name === ID && kind === KIND.text) id = memberText(tape, member);
      else if (name === LOG_TYPE && kind === KIND.text && memberText(tape, member) === TYPE) continue;
      else if (name !== LOG || kind !== KIND.object) return null;
    }
    if (id === null || id.length > MAX_ID) return null;
    const values = BLANK.slice();
    let timeMs = Number.NaN;
    const endInner = endMember(tape, index, true);
    for (let member = firstMember(tape, index, true); member < endInner; member += 1) {
      const name = INNER.find(tape, member);
      const kind = kindOf(tape, member);
      if (name >= FIRST_TEXT) {
        const value = textValue(tape, member, kind);
        if (value === null) return null;
        values[TEXT_COLUMNS[name - FIRST_TEXT] as number] = value;
      } else if (name === ATTRIBUTES) {
        if (kind !== KIND.object || hasFlag(tape, member, UNICODE)) return null;
        values[COLUMN.attributes] = {
          bytes: tape.bytes,
          from: valueFrom(tape, member),
          to: valueTo(tape, member),
        };
      } else if (name === TAGS) {
        const tags = kind === KIND.array && !hasFlag(tape, member, UNICODE) ? tagsOf(tape, member) : null;
        if (tags === null) return null;
        values[COLUMN.tags] = tags;
        values[COLUMN.source] = sourceOf(tags);
      } else if (name === TIMESTAMP && kind === KIND.text)
        timeMs = timestamps.canonical(memberText(tape, member));
      else return null;
    }
    if (timeFlaw(timeMs, now) !== null) return null;
    const decoded = decodeId(id);
    if (decoded === null || decoded.eventMs !== timeMs) return null;
    values[COLUMN.eventId] = decoded.innerId;
    values[COLUMN.id] = id;
    values[COLUMN.timestamp] = timeMs;
    values[COLUMN.intakeTime] = storableMs(decoded.intakeMs);
    values[COLUMN.escaped] = false;
    const { bytes } = tape;
    const [from, to] = entrySpan(tape, index);
    return {
      timeMs,
      parts: [{ key: `${decoded.innerId}:${timeMs}`, values }],
      rawText: () => redactJson(bytes.toString('utf8', from, to), redactor),
    };
  };
}

function textValue(tape: Tape, member: number, kind: number): Value {
  if (kind === KIND.text)
    return { bytes: tape.bytes, from: valueFrom(tape, member), to: valueTo(tape, member) };
  if (kind !== KIND.escaped) return null;
  const text = memberText(tape, member);
  return needsEscape(text) ? null : text;
}

function tagsOf(tape: Tape, member: number): readonly string[] | null {
  const tags: unknown[] = JSON.parse(memberJson(tape, member));
  for (const tag of tags) if (typeof tag !== 'string') return null;
  return tags as readonly string[];
}
