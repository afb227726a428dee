import { needsEscape } from '../escape.ts';
import {
  BACKSLASH,
  hasFlag,
  KIND,
  kindOf,
  memberJson,
  memberText,
  type Tape,
  valueFrom,
  valueTo,
} from '../tape/tape.ts';
import type { Utf8Slot } from './tables.ts';

const QUOTE = 34;
const COMMA = 44;
const NONE = Buffer.alloc(0);

/** Whether a member is a text that Postgres takes as it is. */
export function isUsualText(tape: Tape, member: number): boolean {
  const kind = kindOf(tape, member);
  return kind === KIND.text || (kind === KIND.escaped && !needsEscape(memberText(tape, member)));
}

/** Whether a member is an array of nothing but strings. */
export function isTextList(tape: Tape, member: number): boolean {
  if (kindOf(tape, member) !== KIND.array) return false;
  const { bytes } = tape;
  let at = valueFrom(tape, member) + 1;
  const last = valueTo(tape, member) - 1;
  if (at === last) return true;
  if (!hasFlag(tape, member, BACKSLASH)) {
    while (bytes[at] === QUOTE) {
      at = bytes.indexOf(QUOTE, at + 1) + 1;
      if (at === last) return true;
      if (bytes[at] !== COMMA) break;
      at += 1;
    }
  }
  const items: unknown[] = JSON.parse(memberJson(tape, member));
  return items.every((item) => typeof item === 'string');
}

/** One place for each column of a stage, to be pointed at values of one entry after the other. */
export function createSlots(columns: number): readonly Utf8Slot[] {
  return Array.from({ length: columns }, () => ({ bytes: NONE, from: 0, to: 0 }));
}

/** The slot, pointed at a member's text or JSON as it stands in the answer. */
export function pointAt(slot: Utf8Slot, tape: Tape, member: number): Utf8Slot {
  slot.bytes = tape.bytes;
  slot.from = valueFrom(tape, member);
  slot.to = valueTo(tape, member);
  return slot;
}
