import { SPARE } from './int-list.ts';

/** What a member's value is, in the lowest three bits of its mark. */
export const KIND = {
  /** A string without escapes: its bytes are its text. */
  text: 0,
  escaped: 1,
  /** At most 15 characters, no fraction, no exponent, not -0: a double holds it. */
  integer: 2,
  number: 3,
  /** true, false or null */
  word: 4,
  object: 5,
  array: 6,
} as const;

const KIND_BITS = 7;
/** In a mark: a `\u` escape stands somewhere in the value. */
export const UNICODE = 8;
/** In a mark: any escape stands in it. */
export const BACKSLASH = 16;
/** In a mark: a number stands in it that a double might not give back. */
export const INEXACT = 32;
/** All of them. */
export const FLAGS = UNICODE | BACKSLASH | INEXACT;

/** Integers of a member: name from and to, value from and to (strings without their quotes), mark. */
export const MEMBER = 5;
/** Integers of an entry: text from and to, members from and to, inner members from and to, odd (1) or not. */
export const ENTRY = 7;

/**
 * The entries of one answer as places in its bytes. Nothing is copied; the bytes are valid JSON in valid UTF-8
 * without U+E000, which our own escaping uses.
 */
export interface Tape {
  readonly bytes: Buffer;
  /** How many entries. */
  readonly length: number;
  /** `latin1` where all bytes are ASCII: quicker to decode. */
  readonly encoding: 'latin1' | 'utf8';
  readonly entries: Int32Array;
  readonly members: Int32Array;
}

/** Gives back what a tape was written on; nothing may be read from it any more. */
export function releaseTape({ entries, members }: Tape): void {
  SPARE.short.giveBack(entries);
  SPARE.long.giveBack(members);
}

/** The JSON text of an entry. */
export function entryText({ bytes, entries }: Tape, index: number): string {
  return bytes.toString('utf8', entries[index * ENTRY], entries[index * ENTRY + 1]);
}

/** True: keys repeat or are escaped, or numbers are absurd: only its text says what the entry says. */
export function isOdd({ entries }: Tape, index: number): boolean {
  return entries[index * ENTRY + 6] === 1;
}

/** Numbers of the entry's members, from and to; `inner`: of its container's. */
export function firstMember({ entries }: Tape, index: number, inner = false): number {
  return entries[index * ENTRY + (inner ? 4 : 2)] as number;
}

/** The number behind the last member. */
export function endMember({ entries }: Tape, index: number, inner = false): number {
  return entries[index * ENTRY + (inner ? 5 : 3)] as number;
}

export function nameFrom({ members }: Tape, member: number): number {
  return members[member * MEMBER] as number;
}

export function nameTo({ members }: Tape, member: number): number {
  return members[member * MEMBER + 1] as number;
}

export function valueFrom({ members }: Tape, member: number): number {
  return members[member * MEMBER + 2] as number;
}

export function valueTo({ members }: Tape, member: number): number {
  return members[member * MEMBER + 3] as number;
}

/** Where the member ends, a closing quote included. */
export function memberTo(tape: Tape, member: number): number {
  return valueTo(tape, member) + (kindOf(tape, member) <= KIND.escaped ? 1 : 0);
}

/** One of KIND. */
export function kindOf({ members }: Tape, member: number): number {
  return (members[member * MEMBER + 4] as number) & KIND_BITS;
}

/** Whether the mark has any of `flags`. */
export function hasFlag({ members }: Tape, member: number, flags: number): boolean {
  return ((members[member * MEMBER + 4] as number) & flags) !== 0;
}

/** A string's text. */
export function memberText(tape: Tape, member: number): string {
  const from = valueFrom(tape, member);
  const to = valueTo(tape, member);
  if (kindOf(tape, member) === KIND.escaped) return JSON.parse(tape.bytes.toString('utf8', from - 1, to + 1));
  return tape.bytes.toString(tape.encoding, from, to);
}

/** The JSON text of an object or array. */
export function memberJson(tape: Tape, member: number): string {
  return tape.bytes.toString(tape.encoding, valueFrom(tape, member), valueTo(tape, member));
}

const MINUS = 45;
const ZERO = 48;

/** The value of an `integer`. */
export function memberInteger({ bytes, members }: Tape, member: number): number {
  let at = members[member * MEMBER + 2] as number;
  const to = members[member * MEMBER + 3] as number;
  const negative = bytes[at] === MINUS;
  if (negative) at += 1;
  let value = 0;
  for (; at < to; at++) value = value * 10 + ((bytes[at] as number) - ZERO);
  return negative ? -value : value;
}
