import type { Redactor } from '../../redact.ts';
import {
  BACKSLASH,
  hasFlag,
  INEXACT,
  KIND,
  kindOf,
  memberInteger,
  memberJson,
  memberText,
  type Tape,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { decodeBase64, type FieldKind, headersJson, isBase64, storableMs } from '../fields.ts';
import type { Utf8Slot, Value } from '../tables.ts';
import { createSlots, isTextList, isUsualText, pointAt } from '../usual.ts';

/** Whether a member, which is not odd, fits a column of this kind as it stands there. */
export function isUsual(tape: Tape, member: number, fieldKind: FieldKind): boolean {
  const kind = kindOf(tape, member);
  switch (fieldKind) {
    case 'text':
      return isUsualText(tape, member);
    case 'texts':
      return !hasFlag(tape, member, BACKSLASH) && isTextList(tape, member);
    case 'bytes':
      return kind === KIND.text && isBase64(tape.bytes, valueFrom(tape, member), valueTo(tape, member));
    case 'headers':
      return kind === KIND.object && !hasFlag(tape, member, BACKSLASH | INEXACT);
    case 'time':
      return kind === KIND.integer && storableMs(memberInteger(tape, member)) !== null;
    case 'int4': {
      const value = kind === KIND.integer ? memberInteger(tape, member) : Number.NaN;
      return (value | 0) === value;
    }
    case 'int8':
      return kind === KIND.integer;
    default:
      return false;
  }
}

/** Gives usual members as values for their columns: the longer ones as places, which are the same for each entry. */
export class ColumnReader {
  readonly #slots: readonly Utf8Slot[];
  readonly #redactor: Redactor;

  constructor(columns: number, redactor: Redactor) {
    this.#slots = createSlots(columns);
    this.#redactor = redactor;
  }

  value(tape: Tape, member: number, column: number, fieldKind: FieldKind): Value {
    switch (fieldKind) {
      case 'text':
        return kindOf(tape, member) === KIND.text
          ? this.#place(tape, member, column)
          : memberText(tape, member);
      case 'texts':
        return JSON.parse(memberJson(tape, member)) as string[];
      case 'bytes':
        return decodeBase64(memberText(tape, member));
      case 'headers': {
        const json = memberJson(tape, member);
        return tape.encoding !== 'latin1' || this.#redactor.mayHide(json)
          ? headersJson(JSON.parse(json), this.#redactor)
          : this.#place(tape, member, column);
      }
      default:
        return memberInteger(tape, member);
    }
  }

  #place(tape: Tape, member: number, column: number): Value {
    return pointAt(this.#slots[column] as Utf8Slot, tape, member);
  }
}
