import type { Redactor } from '../../redact.ts';
import { sameBytes } from '../../tape/names.ts';
import { KIND, kindOf, memberJson, memberText, memberTo, nameFrom, type Tape } from '../../tape/tape.ts';
import type { QstashField } from './fields.ts';
import { type Request, readRequest } from './request.ts';
import { createSentReader, type Sent } from './sent.ts';

/** So many messages are remembered, and so many slabs of what was sent. */
const REMEMBERED = 5_000;
const SLABS = 32;
const SLAB_BYTES = 256 * 1024;

/** Reads what was sent, exactly, and knows it again by its bytes. */
export interface RequestMemory {
  read(tape: Tape, messageId: string, sent: Sent): Request;
}

interface Remembered {
  /** The members' names and values as they came, one behind the other, begin at `from` of the slab. */
  readonly slab: Buffer;
  readonly from: number;
  readonly to: number;
  readonly request: Request;
}

/** The service repeats what was sent in each of a message's entries: all but the first are only compared. */
export function createRequestMemory(redactor: Redactor): RequestMemory {
  const known = new Map<string, Remembered>();
  const readSent = createSentReader(redactor);
  // One large buffer for many messages: a buffer each would cost more than what it holds.
  let slab = Buffer.alloc(0);
  let at = 0;
  let slabs = 0;

  /** Copies the members into the slab; gives where they begin there. */
  function copy(tape: Tape, members: readonly number[]): number {
    let length = 0;
    for (const member of members) length += memberTo(tape, member) - nameFrom(tape, member);
    if (at + length > slab.length) {
      slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, length));
      at = 0;
      slabs += 1;
    }
    if (known.size >= REMEMBERED || slabs > SLABS) {
      known.clear();
      slabs = 1;
    }
    const from = at;
    for (const member of members)
      at += tape.bytes.copy(slab, at, nameFrom(tape, member), memberTo(tape, member));
    return from;
  }

  return {
    read(tape, messageId, sent) {
      const remembered = known.get(messageId);
      if (remembered !== undefined && isSame(tape, sent.members, remembered)) return remembered.request;
      const from = copy(tape, sent.members);
      const request =
        readSent(tape, messageId, sent, slab, from) ??
        readRequest({ messageId, value: valuesOf(tape, sent), odd: null, plain: true }, redactor);
      known.set(messageId, { slab, from, to: at, request });
      return request;
    },
  };
}

function valuesOf(tape: Tape, { members, fields }: Sent): Record<string, unknown> {
  const values: Record<string, unknown> = {};
  for (const [index, member] of members.entries()) {
    const { name } = fields[index] as QstashField;
    const isText = kindOf(tape, member) <= KIND.escaped;
    values[name] = isText ? memberText(tape, member) : JSON.parse(memberJson(tape, member));
  }
  return values;
}

/** Names are known ones and no value has a bare quote, so equal bytes are equal members. */
function isSame(tape: Tape, members: readonly number[], { slab, from, to }: Remembered): boolean {
  let at = from;
  for (let index = 0; index < members.length; index += 1) {
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
