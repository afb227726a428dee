import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import { redactJson } from '../../redact-json.ts';
import { type NameTable, nameTable } from '../../tape/names.ts';
import {
  endMember,
  entryText,
  firstMember,
  hasFlag,
  KIND,
  kindOf,
  memberJson,
  memberText,
  type Tape,
  UNICODE,
} from '../../tape/tape.ts';
import { timeFlaw } from '../entry.ts';
import { storableMs } from '../fields.ts';
import type { Row } from '../source.ts';
import type { RowParts, Utf8Slot, Value } from '../tables.ts';
import { createSlots, isTextList, isUsualText, pointAt } from '../usual.ts';
import { CONTAINER, columnOf, type Transport, TYPE } from './fields.ts';
import { decodeId, type LogId, MAX_ID_CHARS } from './id.ts';
import { tables } from './table.ts';
import { sourceOf } from './tags.ts';
import type { TimestampReader } from './timestamp.ts';

const COLUMNS = tables.stages[0]?.columns ?? [];
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
const TEXTS = ['message', 'host', 'service', 'status'];
const INNER_NAMES = ['attributes', 'tags', 'timestamp', ...TEXTS];
/** The columns of the names. */
const INNER_COLUMNS = INNER_NAMES.map(columnOf);
const INNER = nameTable(INNER_NAMES);
const [ID, LOG, LOG_TYPE] = [0, 1, 2];
const NOTHING_SHARED: RowParts['shared'] = [];

/**
 * Reads logs of which all is known and fits its column straight from their bytes: what they take to be read is most
 * of what a sync costs. Declines (null) any other; `normalise.ts` reads it, and makes the same row of these too.
 */
export function createQuickReader(
  transport: Transport,
  timestamps: TimestampReader,
  redactor: Redactor,
): (tape: Tape, index: number, now: Ms) => Row | null {
  const reader = new QuickReader(transport, timestamps, redactor);
  return (tape, index, now) => reader.read(tape, index, now);
}

class QuickRow implements Row {
  readonly timeMs: Ms;
  readonly id: LogId;
  readonly rawId: string;
  readonly tape: Tape;
  readonly index: number;
  readonly #reader: QuickReader;

  constructor(reader: QuickReader, tape: Tape, index: number, rawId: string, id: LogId) {
    this.#reader = reader;
    this.tape = tape;
    this.index = index;
    this.timeMs = id.eventMs;
    this.rawId = rawId;
    this.id = id;
  }

  get key(): string {
    return `${this.id.innerId}:${this.timeMs}`;
  }

  parts(): RowParts {
    return this.#reader.parts(this);
  }

  rawText(): string {
    return redactJson(entryText(this.tape, this.index), this.#reader.redactor);
  }
}

/** What it holds of a log is written anew for each: hardly anything is left for the collector. */
class QuickReader {
  readonly redactor: Redactor;
  readonly #timestamps: TimestampReader;
  readonly #outer: NameTable;
  readonly #outerMembers: number;
  /** The log whose members were looked up last. */
  #tape: Tape | null = null;
  #index = -1;
  /** The member that fills each column; -1: absent. */
  readonly #own = COLUMNS.map(() => -1);
  readonly #values: Value[] = COLUMNS.map(() => null);
  readonly #slots = createSlots(COLUMNS.length);
  readonly #parts: RowParts = { entry: this.#values, shared: NOTHING_SHARED };

  constructor(transport: Transport, timestamps: TimestampReader, redactor: Redactor) {
    this.redactor = redactor;
    this.#timestamps = timestamps;
    this.#outer = nameTable(['id', CONTAINER[transport], ...(transport === 'v2' ? ['type'] : [])]);
    this.#outerMembers = transport === 'v2' ? 3 : 2;
  }

  read(tape: Tape, index: number, now: Ms): Row | null {
    const rawId = this.#rawId(tape, index);
    if (rawId === null || !this.#look(tape, index, true)) return null;
    const timestamp = this.#own[COLUMN.timestamp] as number;
    if (timestamp < 0) return null;
    const timeMs = this.#timestamps.canonical(memberText(tape, timestamp));
    if (timeFlaw(timeMs, now) !== null) return null;
    const id = decodeId(rawId);
    return id === null || id.eventMs !== timeMs ? null : new QuickRow(this, tape, index, rawId, id);
  }

  parts({ tape, index, id, rawId }: QuickRow): RowParts {
    if (this.#tape !== tape || this.#index !== index) this.#look(tape, index, false);
    const values = this.#values;
    for (let column = 0; column < values.length; column += 1) {
      const member = this.#own[column] as number;
      values[column] = member < 0 ? null : this.#text(tape, member, column);
    }
    const tags = this.#own[COLUMN.tags] as number;
    if (tags >= 0) {
      const texts: readonly string[] = JSON.parse(memberJson(tape, tags));
      values[COLUMN.tags] = texts;
      values[COLUMN.source] = sourceOf(texts);
    }
    values[COLUMN.eventId] = id.innerId;
    values[COLUMN.id] = rawId;
    values[COLUMN.timestamp] = id.eventMs;
    values[COLUMN.intakeTime] = storableMs(id.intakeMs);
    values[COLUMN.escaped] = false;
    return this.#parts;
  }

  /** The id, where beside it there is but the log itself. */
  #rawId(tape: Tape, index: number): string | null {
    let id: string | null = null;
    const first = firstMember(tape, index);
    const end = endMember(tape, index);
    if (end - first !== this.#outerMembers) return null;
    for (let member = first; member < end; member += 1) {
      const name = this.#outer.find(tape, member);
      const kind = kindOf(tape, member);
      if (name === ID && kind === KIND.text) id = memberText(tape, member);
      else if (name === LOG_TYPE && kind === KIND.text && memberText(tape, member) === TYPE) continue;
      else if (name !== LOG || kind !== KIND.object) return null;
    }
    return id === null || id.length > MAX_ID_CHARS ? null : id;
  }

  /** Finds a log's members. False where one is not known or, if `strict`, not as usual. */
  #look(tape: Tape, index: number, strict: boolean): boolean {
    this.#tape = null;
    this.#own.fill(-1);
    const end = endMember(tape, index, true);
    for (let member = firstMember(tape, index, true); member < end; member += 1) {
      const column = INNER_COLUMNS[INNER.find(tape, member)];
      if (column === undefined || (strict && !isUsual(tape, member, column))) return false;
      this.#own[column] = member;
    }
    this.#tape = tape;
    this.#index = index;
    return true;
  }

  /** The place of a text or of JSON; an escaped text itself. */
  #text(tape: Tape, member: number, column: number): Value {
    if (kindOf(tape, member) === KIND.escaped) return memberText(tape, member);
    return pointAt(this.#slots[column] as Utf8Slot, tape, member);
  }
}

/** Whether a member fits its column as it is. */
function isUsual(tape: Tape, member: number, column: number): boolean {
  const kind = kindOf(tape, member);
  switch (column) {
    case COLUMN.attributes:
      return kind === KIND.object && !hasFlag(tape, member, UNICODE);
    case COLUMN.tags:
      return !hasFlag(tape, member, UNICODE) && isTextList(tape, member);
    case COLUMN.timestamp:
      return kind === KIND.text;
    default:
      return isUsualText(tape, member);
  }
}
