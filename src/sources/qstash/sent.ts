import type { Redactor } from '../../redact.ts';
import {
  BACKSLASH,
  hasFlag,
  KIND,
  kindOf,
  memberInteger,
  memberJson,
  memberText,
  memberTo,
  nameFrom,
  type Tape,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { decodeBase64, headersJson } from '../fields.ts';
import type { Value } from '../tables.ts';
import type { QstashField } from './fields.ts';
import { BLANK, isShared, NOTHING, REQUEST_FIELDS, type Request, requestOf } from './request.ts';
import { told } from './told.ts';
import { ToldBytes, tellMember } from './told-bytes.ts';

/** Members of an entry that say what was sent, in their order, and which fields they are; none of them is odd. */
export interface Sent {
  readonly members: number[];
  readonly fields: QstashField[];
}

const NAMES_TOLD = REQUEST_FIELDS.map(({ name }) => Buffer.from(told(name, undefined)));

/**
 * Reads what was sent straight from its bytes: the very request that `readRequest` would make. Its longer values are
 * places in `slab`, where the members stand one behind the other from `at` on. Null where a value is not as
 * usual.
 */
export function createSentReader(
  redactor: Redactor,
): (tape: Tape, messageId: string, sent: Sent, slab: Buffer, at: number) => Request | null {
  const content = new ToldBytes();
  return (tape, messageId, { members, fields }, slab, at) => {
    if (members.length === 0) return NOTHING;
    const values: Value[] = BLANK.slice();
    let next = at;
    for (let index = 0; index < members.length; index += 1) {
      const member = members[index] as number;
      const field = fields[index] as QstashField;
      const start = nameFrom(tape, member);
      const value = columnValue(tape, member, field, redactor, slab, next - start);
      if (value === null) return null;
      values[field.column] = value;
      next += memberTo(tape, member) - start;
    }
    content.clear();
    for (let index = 0; index < REQUEST_FIELDS.length; index += 1) {
      const found = fields.indexOf(REQUEST_FIELDS[index] as QstashField);
      if (found < 0) continue;
      content.told(NAMES_TOLD[index] as Buffer);
      tellMember(content, tape, members[found] as number);
    }
    return requestOf(messageId, values, redactor.digest(content.bytes), false);
  };
}

/** A field's value for its column, in the slab, where it stands `shift` bytes further on; null where it is not as usual. */
function columnValue(
  tape: Tape,
  member: number,
  field: QstashField,
  redactor: Redactor,
  slab: Buffer,
  shift: number,
): Value {
  const kind = kindOf(tape, member);
  switch (field.kind) {
    case 'text':
      if (kind > KIND.escaped) return null;
      if (kind === KIND.escaped || isShared(field)) return memberText(tape, member);
      return { bytes: slab, from: valueFrom(tape, member) + shift, to: valueTo(tape, member) + shift };
    case 'bytes':
      return kind === KIND.text ? decodeBase64(memberText(tape, member)) : null;
    case 'headers': {
      if (kind !== KIND.object || hasFlag(tape, member, BACKSLASH)) return null;
      const json = memberJson(tape, member);
      if (tape.encoding !== 'latin1' || redactor.mayHide(json))
        return headersJson(JSON.parse(json), redactor);
      return { bytes: slab, from: valueFrom(tape, member) + shift, to: valueTo(tape, member) + shift };
    }
    case 'int4':
    case 'int8': {
      if (kind !== KIND.integer) return null;
      const value = memberInteger(tape, member);
      return field.kind === 'int4' && (value | 0) !== value ? null : value;
    }
    case 'texts': {
      if (kind !== KIND.array || hasFlag(tape, member, BACKSLASH)) return null;
      const list: unknown[] = JSON.parse(memberJson(tape, member));
      return list.every((item) => typeof item === 'string') ? list : null;
    }
    default:
      return null;
  }
}
