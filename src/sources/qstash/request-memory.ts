import { hashBytes, sameBytes } from '../../bytes.ts';
import type { Redactor } from '../../redact.ts';
import {
  KIND,
  kindOf,
  memberJson,
  memberText,
  memberTo,
  nameFrom,
  type Tape,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import type { Texts } from '../../tape/texts.ts';
import type { QstashField } from './fields.ts';
import { readRequest } from './request.ts';
import { type Sent, SentMessage, SentReader } from './sent.ts';

/** So many messages are remembered, and so many slabs of what was sent: 8 MiB in all. */
const REMEMBERED = 5_000;
/** A power of two, at least half of them free; twice as many when they are not. */
const FIRST_SLOTS = 256;
const SLABS = 32;
/** What is longer is not remembered, but read from each entry: a slab of its own would have no bound. */
const SLAB_BYTES = 256 * 1024;

/** Reads what was sent, exactly, and knows it again by its bytes. */
export interface RequestMemory {
  /** Of the entry whose message id is the text of `id`, a member without escapes; valid until the next is read. */
  read(tape: Tape, id: number, sent: Sent): SentMessage;
}

/** A message that is remembered. */
interface Place {
  readonly message: SentMessage;
  /** Where its id, then the members' names and values as they came stand, one behind the other. */
  slab: Buffer;
  from: number;
  sentFrom: number;
  to: number;
}

/** The service repeats what was sent in each of a message's entries: all but the first are only compared. */
export function createRequestMemory(redactor: Redactor, texts: Texts): RequestMemory {
  const reader = new SentReader(redactor, texts);
  /** By the bytes of the messages' ids: a string of each entry's would cost more than all the rest. */
  let slots: (Place | null)[] = new Array(FIRST_SLOTS).fill(null);
  let known = 0;
  /** Those known, and behind them those forgotten, which are filled again: what lives as long as a few pages is dear. */
  const places: Place[] = [];
  /** One that is not remembered. */
  const lone = new SentMessage(reader);
  // Large buffers for many messages, filled again and again: one each would cost more than what it holds.
  const slabs: Buffer[] = [];
  let slab: Buffer = Buffer.alloc(0);
  let at = 0;
  /** Slabs that are full, and the one being filled. */
  let filled = 0;

  /** Makes room for a message's bytes, at most a slab's, in the slab; all others may be forgotten for it. */
  function makeRoom(length: number): void {
    if (known === REMEMBERED || (at + length > slab.length && filled === SLABS)) forget();
    if (at + length <= slab.length) return;
    slab = slabs[filled] ??= Buffer.allocUnsafeSlow(SLAB_BYTES);
    filled += 1;
    at = 0;
  }

  function forget(): void {
    slots.fill(null);
    known = 0;
    slab = Buffer.alloc(0);
    at = 0;
    filled = 0;
  }

  function remember(tape: Tape, id: number, sent: Sent, place: Place): void {
    const { bytes } = tape;
    place.slab = slab;
    place.from = at;
    at += bytes.copy(slab, at, valueFrom(tape, id), valueTo(tape, id));
    place.sentFrom = at;
    for (let index = 0; index < sent.count; index += 1) {
      const member = sent.members[index] as number;
      at += bytes.copy(slab, at, nameFrom(tape, member), memberTo(tape, member));
    }
    place.to = at;
    readSent(tape, id, sent, place.message);
  }

  function readSent(tape: Tape, id: number, sent: Sent, message: SentMessage): SentMessage {
    const messageId = memberText(tape, id);
    if (!reader.read(messageId, message)) {
      const value = valuesOf(tape, sent);
      message.take(messageId, readRequest({ messageId, value, odd: null, plain: true }, redactor));
    }
    return message;
  }

  function newPlace(): Place {
    places[known] ??= { message: new SentMessage(reader), slab, from: 0, sentFrom: 0, to: 0 };
    known += 1;
    return places[known - 1] as Place;
  }

  /** The slot of the message whose id these bytes are: its own, or the free one where it belongs. */
  function slotOf(bytes: Buffer, from: number, to: number): number {
    const mask = slots.length - 1;
    for (let slot = hashBytes(bytes, from, to) & mask; ; slot = (slot + 1) & mask) {
      const place = slots[slot] as Place | null;
      if (place === null) return slot;
      const length = place.sentFrom - place.from;
      if (length === to - from && sameBytes(bytes, from, place.slab, place.from, length)) return slot;
    }
  }

  function grow(): void {
    const before = slots;
    slots = new Array(before.length * 2).fill(null);
    for (const place of before)
      if (place !== null) slots[slotOf(place.slab, place.from, place.sentFrom)] = place;
  }

  return {
    read(tape, id, sent) {
      const { bytes } = tape;
      const from = valueFrom(tape, id);
      const to = valueTo(tape, id);
      reader.show(tape, sent);
      const found = slots[slotOf(bytes, from, to)] as Place | null;
      if (found !== null && isSame(tape, sent, found)) return found.message;
      const length = bytesOf(tape, id, sent);
      if (length > SLAB_BYTES) return readSent(tape, id, sent, lone);
      makeRoom(length);
      if (known * 2 >= slots.length) grow();
      const slot = slotOf(bytes, from, to);
      const place = slots[slot] ?? newPlace();
      remember(tape, id, sent, place);
      slots[slot] = place;
      return place.message;
    },
  };
}

function bytesOf(tape: Tape, id: number, { members, count }: Sent): number {
  let length = valueTo(tape, id) - valueFrom(tape, id);
  for (let index = 0; index < count; index += 1) {
    const member = members[index] as number;
    length += memberTo(tape, member) - nameFrom(tape, member);
  }
  return length;
}

function valuesOf(tape: Tape, { members, fields, count }: Sent): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (let index = 0; index < count; index += 1) {
    const member = members[index] as number;
    const { name } = fields[index] as QstashField;
    const isText = kindOf(tape, member) <= KIND.escaped;
    values[name] = isText ? memberText(tape, member) : JSON.parse(memberJson(tape, member));
  }
  return values;
}

/** Names are known ones and no value has a bare quote, so equal bytes are equal members. */
function isSame(tape: Tape, { members, count }: Sent, { slab, sentFrom, to }: Place): boolean {
  let at = sentFrom;
  for (let index = 0; index < count; index += 1) {
    const member = members[index] as number;
    const start = nameFrom(tape, member);
    const length = memberTo(tape, member) - start;
    if (at + length > to) return false;
    const same =
      length < NATIVE_FROM
        ? sameBytes(tape.bytes, start, slab, at, length)
        : tape.bytes.compare(slab, at, at + length, start, start + length) === 0;
    if (!same) return false;
    at += length;
  }
  return at === to;
}

/** From so many bytes on a native comparison costs less. */
const NATIVE_FROM = 48;
