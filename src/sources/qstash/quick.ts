import { hash } from 'node:crypto';
import { needsEscape } from '../../escape.ts';
import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import { redactJson } from '../../redact-json.ts';
import { nameTable } from '../../tape/names.ts';
import {
  BACKSLASH,
  endMember,
  entrySpan,
  firstMember,
  hasFlag,
  INEXACT,
  KIND,
  kindOf,
  memberInteger,
  memberJson,
  memberText,
  type Tape,
  UNICODE,
  valueFrom,
  valueTo,
} from '../../tape/tape.ts';
import { idFlaw, timeFlaw } from '../entry.ts';
import { decodeBase64, headersJson, storableMs } from '../fields.ts';
import type { Row } from '../source.ts';
import type { Value } from '../tables.ts';
import { columnOf, FIELD, IDENTITY } from './fields.ts';
import { messageValues, RANK } from './message.ts';
import { createRequestMemory } from './request-memory.ts';
import type { Sent } from './sent.ts';
import { tables } from './table.ts';
import { told } from './told.ts';
import { ToldBytes, tellMember } from './told-bytes.ts';

const FIELDS = [...FIELD.values()];
const NAMES = nameTable([...FIELD.keys()]);
const BLANK: readonly Value[] = (tables.stages[0]?.columns ?? []).map(() => null);
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
/** For each field its place in the identity; -1: none. */
const IN_IDENTITY = FIELDS.map(({ name }) => IDENTITY.indexOf(name));
const ABSENT = Buffer.from(told(undefined, undefined));

/**
 * Reads entries of which all is known and fits its column straight from their bytes: what they take to be read is
 * most of what a sync costs. Declines (null) any other; `normalise.ts` reads it, and makes the same row of these
 * too. What was sent is read exactly, once a message.
 */
export function createQuickReader(redactor: Redactor): (tape: Tape, index: number, now: Ms) => Row | null {
  const memory = createRequestMemory(redactor);
  const identity = new ToldBytes();
  /** The members that tell the entry apart, in the identity's order; -1: absent. */
  const telling = IDENTITY.map(() => -1);
  const sent: Sent = { members: [], fields: [] };
  return (tape, index, now) => {
    const values = BLANK.slice();
    telling.fill(-1);
    sent.members.length = 0;
    sent.fields.length = 0;
    const end = endMember(tape, index);
    for (let member = firstMember(tape, index); member < end; member += 1) {
      const which = NAMES.find(tape, member);
      const field = FIELDS[which];
      if (field === undefined || field.spells !== null) return null;
      const place = IN_IDENTITY[which] as number;
      if (place >= 0) telling[place] = member;
      if (field.stage === 1) {
        if (hasFlag(tape, member, UNICODE | INEXACT)) return null;
        sent.members.push(member);
        sent.fields.push(field);
        continue;
      }
      const value = columnValue(tape, member, field.kind, redactor);
      if (value === null) return null;
      values[field.column] = value;
    }
    const messageId = values[COLUMN.messageId];
    const timeMs = values[COLUMN.time];
    const state = values[COLUMN.state] as string | null;
    if (idFlaw(messageId) !== null || timeFlaw(timeMs, now) !== null) return null;
    const rank = state === null ? 0 : RANK[state];
    // A state seen for the first time is to be reported.
    if (rank === undefined) return null;
    const request = memory.read(tape, messageId as string, sent);
    identity.clear();
    for (let place = 0; place < telling.length; place += 1) {
      const member = telling[place] as number;
      if (member < 0) identity.told(ABSENT);
      else tellMember(identity, tape, member);
    }
    const id = hash('sha256', identity.bytes, 'hex').slice(0, 32);
    values[COLUMN.entryId] = id;
    values[COLUMN.requestHash] = request.hash;
    values[COLUMN.escaped] = request.escaped;
    const message = messageValues({
      messageId: messageId as string,
      timeMs: timeMs as Ms,
      id,
      rank,
      state,
      url: values[COLUMN.url] as string | null,
      error: values[COLUMN.error] as string | null,
      responseStatus: values[COLUMN.responseStatus] as number | null,
      shared: request.shared,
    });
    const { bytes } = tape;
    const [from, to] = entrySpan(tape, index);
    return {
      timeMs: timeMs as Ms,
      parts: [
        { key: `${id}:${timeMs}`, values },
        request.part,
        { key: messageId as string, values: message },
      ],
      rawText: () => redactJson(bytes.toString('utf8', from, to), redactor),
    };
  };
}

/** A field's value for its column; null where it is not as usual. */
function columnValue(tape: Tape, member: number, fieldKind: string, redactor: Redactor): Value {
  const kind = kindOf(tape, member);
  switch (fieldKind) {
    case 'text': {
      if (kind === KIND.text) return memberText(tape, member);
      if (kind !== KIND.escaped) return null;
      const text = memberText(tape, member);
      return needsEscape(text) ? null : text;
    }
    case 'bytes':
      return kind === KIND.text ? decodeBase64(memberText(tape, member)) : null;
    case 'headers':
      return kind === KIND.object && !hasFlag(tape, member, BACKSLASH | INEXACT)
        ? headersValue(tape, member, redactor)
        : null;
    default: {
      if (kind !== KIND.integer) return null;
      const value = memberInteger(tape, member);
      if (fieldKind === 'time') return storableMs(value);
      return fieldKind === 'int4' && (value | 0) !== value ? null : value;
    }
  }
}

function headersValue(tape: Tape, member: number, redactor: Redactor): Value {
  const json = memberJson(tape, member);
  if (tape.encoding !== 'latin1' || redactor.mayHide(json)) return headersJson(JSON.parse(json), redactor);
  return { bytes: tape.bytes, from: valueFrom(tape, member), to: valueTo(tape, member) };
}
