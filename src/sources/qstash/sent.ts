import type { Redactor } from '../../redact.ts';
import { KIND, kindOf, memberJson, memberText, type Tape } from '../../tape/tape.ts';
import type { Part, Value } from '../tables.ts';
import { FIELD, type QstashField } from './fields.ts';
import { ColumnReader, isUsual } from './members.ts';
import { labelled, NOTHING, REQUEST_COLUMN, REQUEST_FIELDS, type Request, SHARED } from './request.ts';
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

/**
 * Reads what was sent straight from its bytes: the very request that `readRequest` would make. Its row is made only when
 * asked for, of the entry that was shown last: all of a message say the same.
 */
export class SentReader {
  readonly #redactor: Redactor;
  readonly #content = new ToldBytes();
  readonly #columns: ColumnReader;
  readonly #values: Value[] = Array.from({ length: COLUMNS }, () => null);
  #tape: Tape | null = null;
  #sent = new Sent();

  constructor(redactor: Redactor) {
    this.#redactor = redactor;
    this.#columns = new ColumnReader(COLUMNS, redactor);
  }

  /** From here on rows are made of this entry. */
  show(tape: Tape, sent: Sent): void {
    this.#tape = tape;
    this.#sent = sent;
  }

  /** What the entry shown says was sent; null where a value is not as usual. */
  read(messageId: string): Request | null {
    const tape = this.#tape as Tape;
    const { members, fields, count } = this.#sent;
    if (count === 0) return NOTHING;
    const shared: (string | readonly string[] | null)[] = SHARED.map(() => null);
    let label: string | null = null;
    for (let index = 0; index < count; index += 1) {
      const member = members[index] as number;
      const { kind, column } = fields[index] as QstashField;
      if (!isUsual(tape, member, kind)) return null;
      const place = SHARED.indexOf(column);
      if (place >= 0) shared[place] = outliving(tape, member);
      else if (column === REQUEST_COLUMN.label) label = memberText(tape, member);
    }
    const hash = this.#digest(tape).slice(0, 32);
    return {
      part: new SentPart(this, messageId, hash),
      hash,
      shared: labelled(shared, label),
      escaped: false,
    };
  }

  /** The row of stage 1, of the entry shown; written over by the next. */
  values(messageId: string, hash: string): readonly Value[] {
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

class SentPart implements Part {
  readonly key: string;
  readonly #reader: SentReader;
  readonly #messageId: string;
  readonly #hash: string;

  constructor(reader: SentReader, messageId: string, hash: string) {
    this.key = `${messageId}:${hash}`;
    this.#reader = reader;
    this.#messageId = messageId;
    this.#hash = hash;
  }

  get values(): readonly Value[] {
    return this.#reader.values(this.#messageId, this.#hash);
  }
}

/** The value of a text or of a list of texts. */
function outliving(tape: Tape, member: number): string | readonly string[] {
  return kindOf(tape, member) <= KIND.escaped
    ? memberText(tape, member)
    : JSON.parse(memberJson(tape, member));
}
