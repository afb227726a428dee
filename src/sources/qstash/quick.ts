import { hash } from 'node:crypto';
import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import { redactJson } from '../../redact-json.ts';
import { nameTable } from '../../tape/names.ts';
import {
  endMember,
  entryText,
  firstMember,
  hasFlag,
  INEXACT,
  KIND,
  kindOf,
  memberInteger,
  type Tape,
  UNICODE,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { Texts } from '../../tape/texts.ts';
import { timeFlaw } from '../entry.ts';
import type { FieldKind } from '../fields.ts';
import type { Row } from '../source.ts';
import type { Part, RowParts, Value } from '../tables.ts';
import { columnOf, FIELD, IDENTITY } from './fields.ts';
import { ColumnReader, isUsual } from './members.ts';
import { MESSAGE_STAGE, type MessageFacts, messageValues, RANK } from './message.ts';
import { createRequestMemory, type RequestMemory } from './request-memory.ts';
import { Sent } from './sent.ts';
import { tables } from './table.ts';
import { told } from './told.ts';
import { ToldBytes, tellMember } from './told-bytes.ts';

const FIELDS = [...FIELD.values()];
const NAMES = nameTable([...FIELD.keys()]);
const COLUMNS = tables.stages[0]?.columns ?? [];
const COLUMN = {
  entryId: columnOf(0, 'entry_id'),
  time: columnOf(0, 'time'),
  requestHash: columnOf(0, 'request_hash'),
  escaped: columnOf(0, 'escaped'),
  messageId: columnOf(0, 'message_id'),
  state: columnOf(0, 'state'),
  url: columnOf(0, 'url'),
  error: columnOf(0, 'error'),
  responseStatus: columnOf(0, 'response_status'),
};
/** The kind of field that each column takes; null: none, or its value is at hand anyway. */
const KINDS = COLUMNS.map((_, column) =>
  column === COLUMN.time
    ? null
    : (FIELDS.find((field) => field.stage === 0 && field.column === column)?.kind ?? null),
);
/** For each field its place in the identity; -1: none. */
const IN_IDENTITY = FIELDS.map(({ name }) => IDENTITY.indexOf(name));
const ABSENT = Buffer.from(told(undefined, undefined));
const STATES = Object.keys(RANK);
const STATE_TABLE = nameTable(STATES);
/** Whether a longer id is too long is to be seen from its text. */
const MAX_ID_BYTES = 125;

/**
 * Reads entries of which all is known and fits its column straight from their bytes: what they take to be read is
 * most of what a sync costs. Declines (null) any other; `normalise.ts` reads it, and makes the same row of these
 * too. What was sent is read exactly, once a message.
 */
export function createQuickReader(redactor: Redactor): (tape: Tape, index: number, now: Ms) => Row | null {
  const reader = new QuickReader(redactor);
  return (tape, index, now) => reader.read(tape, index, now);
}

class QuickRow implements Row {
  readonly timeMs: Ms;
  /** 32 hex digits */
  readonly id: string;
  readonly tape: Tape;
  readonly index: number;
  readonly #reader: QuickReader;

  constructor(reader: QuickReader, tape: Tape, index: number, timeMs: Ms, id: string) {
    this.#reader = reader;
    this.tape = tape;
    this.index = index;
    this.timeMs = timeMs;
    this.id = id;
  }

  get key(): string {
    return `${this.id}:${this.timeMs}`;
  }

  parts(): RowParts {
    return this.#reader.parts(this);
  }

  rawText(): string {
    return redactJson(entryText(this.tape, this.index), this.#reader.redactor);
  }
}

/** What it holds of an entry is written anew for each: hardly anything is left for the collector. */
class QuickReader {
  readonly redactor: Redactor;
  readonly #memory: RequestMemory;
  readonly #told = new ToldBytes();
  readonly #texts = new Texts();
  /** The entry whose members were looked up last. */
  #tape: Tape | null = null;
  #index = -1;
  /** The member that fills each column; -1: absent. */
  readonly #own = COLUMNS.map(() => -1);
  /** The members that tell the entry apart, in the identity's order; -1: absent. */
  readonly #telling = IDENTITY.map(() => -1);
  readonly #sent = new Sent();
  readonly #values: Value[] = COLUMNS.map(() => null);
  readonly #columns: ColumnReader;
  readonly #message: { key: string; readonly values: Value[] } = {
    key: '',
    values: MESSAGE_STAGE.columns.map(() => null),
  };
  readonly #facts: { -readonly [Fact in keyof MessageFacts]: MessageFacts[Fact] } = {
    messageId: '',
    timeMs: 0,
    id: '',
    rank: 0,
    state: null,
    url: null,
    error: null,
    responseStatus: null,
    shared: [],
  };
  readonly #shared: (Part | null)[] = [null, this.#message];
  readonly #parts: RowParts = { entry: this.#values, shared: this.#shared };

  constructor(redactor: Redactor) {
    this.redactor = redactor;
    this.#columns = new ColumnReader(COLUMNS.length, redactor, this.#texts);
    this.#memory = createRequestMemory(redactor, this.#texts);
  }

  read(tape: Tape, index: number, now: Ms): Row | null {
    if (!this.#look(tape, index, true)) return null;
    const own = this.#own;
    const id = own[COLUMN.messageId] as number;
    const time = own[COLUMN.time] as number;
    if (id < 0 || time < 0) return null;
    const idBytes = valueTo(tape, id) - valueFrom(tape, id);
    if (kindOf(tape, id) !== KIND.text || idBytes === 0 || idBytes > MAX_ID_BYTES) return null;
    const timeMs = memberInteger(tape, time);
    if (timeFlaw(timeMs, now) !== null) return null;
    // A state seen for the first time is to be reported.
    if (this.#state(tape) === undefined) return null;
    return new QuickRow(this, tape, index, timeMs, this.#identity(tape));
  }

  parts(row: QuickRow): RowParts {
    const { tape, index, id, timeMs } = row;
    if (this.#tape !== tape || this.#index !== index) this.#look(tape, index, false);
    const idMember = this.#own[COLUMN.messageId] as number;
    const sent = this.#memory.read(tape, idMember, this.#sent);
    const values = this.#values;
    for (let column = 0; column < values.length; column += 1) {
      const member = this.#own[column] as number;
      const kind = KINDS[column] as FieldKind | null;
      values[column] = member < 0 || kind === null ? null : this.#columns.value(tape, member, column, kind);
    }
    values[COLUMN.time] = timeMs;
    values[COLUMN.entryId] = id;
    values[COLUMN.requestHash] = sent.hash;
    values[COLUMN.escaped] = sent.escaped;
    const state = this.#state(tape) ?? null;
    const facts = this.#facts;
    facts.messageId = sent.messageId;
    facts.timeMs = timeMs;
    facts.id = id;
    facts.rank = state === null ? 0 : (RANK[state] as number);
    facts.state = state;
    facts.url = this.#text(tape, COLUMN.url);
    facts.error = this.#text(tape, COLUMN.error);
    facts.responseStatus = values[COLUMN.responseStatus] as number | null;
    facts.shared = sent.shared;
    this.#message.key = sent.messageId;
    messageValues(facts, this.#message.values);
    this.#shared[0] = sent.part;
    return this.#parts;
  }

  /** Finds an entry's members. False where one is not known or, if `strict`, not as usual. */
  #look(tape: Tape, index: number, strict: boolean): boolean {
    this.#tape = null;
    this.#own.fill(-1);
    this.#telling.fill(-1);
    const sent = this.#sent;
    sent.count = 0;
    const end = endMember(tape, index);
    for (let member = firstMember(tape, index); member < end; member += 1) {
      const which = NAMES.find(tape, member);
      const field = FIELDS[which];
      if (field === undefined || field.spells !== null) return false;
      const place = IN_IDENTITY[which] as number;
      if (place >= 0) this.#telling[place] = member;
      if (field.stage === 1) {
        if (hasFlag(tape, member, UNICODE | INEXACT)) return false;
        sent.add(member, field);
      } else {
        if (strict && !isUsual(tape, member, field.kind)) return false;
        this.#own[field.column] = member;
      }
    }
    this.#tape = tape;
    this.#index = index;
    return true;
  }

  #identity(tape: Tape): string {
    const content = this.#told;
    content.clear();
    for (let place = 0; place < this.#telling.length; place += 1) {
      const member = this.#telling[place] as number;
      if (member < 0) content.told(ABSENT);
      else tellMember(content, tape, member);
    }
    return hash('sha256', content.bytes, 'hex').slice(0, 32);
  }

  /** Null: the entry has none; undefined: it is not known. */
  #state(tape: Tape): string | null | undefined {
    const member = this.#own[COLUMN.state] as number;
    if (member < 0) return null;
    if (kindOf(tape, member) !== KIND.text) return undefined;
    return STATES[STATE_TABLE.findBytes(tape.bytes, valueFrom(tape, member), valueTo(tape, member))];
  }

  /** A text that outlives the page. */
  #text(tape: Tape, column: number): string | null {
    const member = this.#own[column] as number;
    return member < 0 ? null : this.#texts.of(tape, member);
  }
}
