import { isBase64 } from '../../base64.ts';
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
import type { Texts } from '../../tape/texts.ts';
import { type FieldKind, headersJson, storableMs } from '../fields.ts';
import type { Utf8Slot, Value } from '../tables.ts';
import { createSlots, isTextList, isUsualText, pointAt } from '../usual.ts';
import { ShownHeaders } from './shown-headers.ts';

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
  readonly #texts: Texts;
  /** Of the columns that hold any. */
  readonly #headers: (ShownHeaders | undefined)[] = [];

  constructor(columns: number, redactor: Redactor, texts: Texts) {
    this.#slots = createSlots(columns);
    this.#redactor = redactor;
    this.#texts = texts;
  }

  value(tape: Tape, member: number, column: number, fieldKind: FieldKind): Value {
    switch (fieldKind) {
      case 'text':
        return kindOf(tape, member) === KIND.text
          ? pointAt(this.#slot(column), tape, member)
          : memberText(tape, member);
      case 'texts':
        return JSON.parse(memberJson(tape, member)) as string[];
      case 'bytes':
        return pointAt(this.#slot(column), tape, member);
      case 'headers':
        return this.#shown(tape, member, column);
      default:
        return memberInteger(tape, member);
    }
  }

  #shown(tape: Tape, member: number, column: number): Value {
    this.#headers[column] ??= new ShownHeaders(this.#redactor, this.#texts);
    const slot = this.#slot(column);
    const headers = this.#headers[column];
    return headers.show(slot, tape, member)
      ? slot
      : headersJson(JSON.parse(memberJson(tape, member)), this.#redactor);
  }

  #slot(column: number): Utf8Slot {
    return this.#slots[column] as Utf8Slot;
  }
}
