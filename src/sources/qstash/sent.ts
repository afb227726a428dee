import type { Redactor } from '../../redact.ts';
import { KIND, kindOf, memberJson, type Tape } from '../../tape/tape.ts';
import type { Texts } from '../../tape/texts.ts';
import type { Part, Value } from '../tables.ts';
import { FIELD, type QstashField } from './fields.ts';
import { ColumnReader, isUsual } from './members.ts';
import { LABELS, REQUEST_COLUMN, REQUEST_FIELDS, type Request, SHARED, type SharedValue } from './request.ts';
import { tables } from './table.ts';
import { told } from './told.ts';
import { ToldBytes, tellMember } from './told-bytes.ts';

/** Members of an entry that say what was sent, in their order, and which fields they are; none of them is odd. */
export class Sent {
  count = 0;
  readonly members = new Int32Array(FIELD.size);
  readonly fields: (QstashField | null)[] = Array.from({ length: FIELD.size }, () => null);

  add(member: number, field: QstashField): void {
    this.members[this.count] = member;
    this.fields[this.count] = field;
    this.count += 1;
  }
}

const NAMES_TOLD = REQUEST_FIELDS.map(({ name }) => Buffer.from(told(name, undefined)));
const COLUMNS = tables.stages[1]?.columns.length ?? 0;

/** A message and what was sent with it, to be filled anew for another message. */
export class SentMessage implements Request, Part {
  messageId = '';
  part: Part | null = null;
  hash: string | null = null;
  escaped = false;
  takenBy: object | null = null;
  shared: readonly SharedValue[] = [];
  /** Filled where `shared` is made here. */
  readonly #own: SharedValue[] = SHARED.map(() => null);
  readonly #reader: SentReader;

  constructor(reader: SentReader) {
    this.#reader = reader;
  }

  /** Takes over what another reader made of it. */
  take(messageId: string, { part, hash, shared, escaped }: Request): void {
    this.messageId = messageId;
    this.part = part;
    this.hash = hash;
    this.shared = shared;
    this.escaped = escaped;
    this.takenBy = null;
  }

  /** Begins a message that nothing was sent with, yet; gives what is to be told of `shared`. */
  begin(messageId: string): SharedValue[] {
    this.take(messageId, { part: null, hash: null, shared: this.#own.fill(null), escaped: false });
    return this.#own;
  }

  /** From here on its part is the row that the reader makes of the entry shown. */
  end(hash: string): void {
    this.part = this;
    this.hash = hash;
  }

  get key(): string {
    return `${this.messageId}:${this.hash}`;
  }

  /** The row of stage 1, of the entry that the reader was shown last; written over by the next. */
  get values(): readonly Value[] {
    return this.#reader.values(this);
  }
}

/**
 * Reads what was sent straight from its bytes: the very request that `readRequest` would make. Its row is made only when
 * asked for, of the entry that was shown last: all of a message say the same.
 */
export class SentReader {
  readonly #redactor: Redactor;
  readonly #texts: Texts;
  readonly #content = new ToldBytes();
  readonly #columns: ColumnReader;
  readonly #values: Value[] = Array.from({ length: COLUMNS }, () => null);
  #tape: Tape | null = null;
  #sent = new Sent();

  constructor(redactor: Redactor, texts: Texts) {
    this.#redactor = redactor;
    this.#texts = texts;
    this.#columns = new ColumnReader(COLUMNS, redactor, texts);
  }

  /** From here on rows are made of this entry. */
  show(tape: Tape, sent: Sent): void {
    this.#tape = tape;
    this.#sent = sent;
  }

  /** Reads what the entry shown says was sent into `message`; false where a value is not as usual. */
  read(messageId: string, message: SentMessage): boolean {
    const tape = this.#tape as Tape;
    const { members, fields, count } = this.#sent;
    const shared = message.begin(messageId);
    if (count === 0) return true;
    let label: string | null = null;
    for (let index = 0; index < count; index += 1) {
      const member = members[index] as number;
      const { kind, column } = fields[index] as QstashField;
      if (!isUsual(tape, member, kind)) return false;
      const place = SHARED.indexOf(column);
      if (place >= 0) shared[place] = this.#outliving(tape, member);
      else if (column === REQUEST_COLUMN.label) label = this.#texts.of(tape, member);
    }
    if (label !== null) shared[LABELS] ??= [label];
    message.end(this.#digest(tape).slice(0, 32));
    return true;
  }

  values({ messageId, hash }: SentMessage): readonly Value[] {
    const tape = this.#tape as Tape;
    const { members, fields, count } = this.#sent;
    const values = this.#values.fill(null);
    for (let index = 0; index < count; index += 1) {
      const { kind, column } = fields[index] as QstashField;
      values[column] = this.#columns.value(tape, members[index] as number, column, kind);
    }
    values[REQUEST_COLUMN.messageId] = messageId;
    values[REQUEST_COLUMN.hash] = hash;
    values[REQUEST_COLUMN.escaped] = false;
    return values;
  }

  /** The value of a text or of a list of texts. */
  #outliving(tape: Tape, member: number): string | readonly string[] {
    return kindOf(tape, member) <= KIND.escaped
      ? this.#texts.of(tape, member)
      : JSON.parse(memberJson(tape, member));
  }

  #digest(tape: Tape): string {
    const { members, fields, count } = this.#sent;
    const content = this.#content;
    content.clear();
    for (let index = 0; index < REQUEST_FIELDS.length; index += 1) {
      const found = fields.indexOf(REQUEST_FIELDS[index] as QstashField);
      if (found < 0 || found >= count) continue;
      content.told(NAMES_TOLD[index] as Buffer);
      tellMember(content, tape, members[found] as number);
    }
    return this.#redactor.digest(content.bytes);
  }
}
