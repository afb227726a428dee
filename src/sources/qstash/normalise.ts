import { hash } from 'node:crypto';
import type { RawEntry } from '../../json.ts';
import { fieldTexts } from '../../json-scan.ts';
import type { Ms } from '../../model.ts';
import type { Redactor } from '../../redact.ts';
import type { Entries } from '../entries.ts';
import {
  createUnknowns,
  idFlaw,
  isObject,
  type Normalised,
  type NormaliserOptions,
  rawText,
  readerOf,
  rememberHidden,
  timeFlaw,
} from '../entry.ts';
import { closeExtra, note, type OddField, openDraft, place, readFields, storableMs } from '../fields.ts';
import type { Reject, RejectReason, Row } from '../source.ts';
import { columnOf, FIELD, IDENTITY, SPELLING } from './fields.ts';
import { messageValues, RANK } from './message.ts';
import { createQuickReader } from './quick.ts';
import { readRequest } from './request.ts';
import { tables } from './table.ts';
import { told } from './told.ts';

const BLANK = (tables.stages[0]?.columns ?? []).map(() => null);
const ENTRY_ID = columnOf(0, 'entry_id');
const REQUEST_HASH = columnOf(0, 'request_hash');
const EXTRA = columnOf(0, 'extra');
const ESCAPED = columnOf(0, 'escaped');
const MESSAGE_ID = columnOf(0, 'message_id');
const STATE = columnOf(0, 'state');
const URL_COLUMN = columnOf(0, 'url');
const ERROR = columnOf(0, 'error');
const RESPONSE_STATUS = columnOf(0, 'response_status');

/** Turns entries of `/v2/logs` into rows; never throws because of an entry. One for each stream: it remembers requests. */
export function createNormaliser({
  redactor: plainRedactor,
  nowMs,
}: NormaliserOptions): (entries: Entries) => Normalised {
  const redactor = rememberHidden(plainRedactor);
  const unknowns = createUnknowns();
  const quick = createQuickReader(redactor);
  return readerOf({
    nowMs,
    quick,
    exact: (entry, now) => readEntry(entry, now, redactor, unknowns.meet),
    unknown: unknowns.take,
  });
}

function readEntry(
  entry: RawEntry,
  now: Ms,
  redactor: Redactor,
  meetUnknown: (what: string) => void,
): Row | Reject {
  const reading =
    entry.text === null || !isObject(entry.value) ? null : readFields(fieldTexts(entry.text), entry.value);
  const value = reading?.value ?? (entry.value as Readonly<Record<string, unknown>>);
  const odd = reading?.odd ?? null;
  const reason = flaw(value, odd, now);
  if (reason !== null) return { reason, timeMs: storableMs(value?.time), rawText: rawText(entry, redactor) };
  const messageId = value.messageId as string;
  const timeMs = value.time as number;
  const { plain } = entry;
  const draft = openDraft(BLANK);
  const { values } = draft;
  for (const name in value) {
    const field = FIELD.get(name);
    if (field === undefined) {
      meetUnknown(`field:${name}`);
      place(draft, null, name, value[name], odd?.get(name), plain, redactor);
    } else if (field.stage === 0) {
      const oddity = odd?.get(name);
      if (field.spells === null) {
        place(draft, field, name, value[name], oddity, plain, redactor);
      } else {
        const home = Object.hasOwn(value, field.spells) || oddity !== undefined ? null : field;
        if (place(draft, home, name, value[name], oddity, plain, redactor))
          note(draft, SPELLING, `["${name}"]`);
      }
    }
  }
  const request = readRequest({ messageId, value, odd, plain }, redactor);
  const id = hash('sha256', identity(value, odd), 'hex').slice(0, 32);
  const rank = typeof value.state === 'string' ? RANK[value.state] : undefined;
  if (rank === undefined && typeof value.state === 'string') meetUnknown(`state:${value.state}`);
  values[ENTRY_ID] = id;
  values[REQUEST_HASH] = request.hash;
  values[EXTRA] = closeExtra(draft);
  values[ESCAPED] = draft.escaped || request.escaped;
  const message = messageValues({
    messageId: values[MESSAGE_ID] as string,
    timeMs,
    id,
    rank: rank ?? 0,
    state: values[STATE] as string | null,
    url: values[URL_COLUMN] as string | null,
    error: values[ERROR] as string | null,
    responseStatus: values[RESPONSE_STATUS] as number | null,
    shared: request.shared,
  });
  return {
    timeMs,
    key: `${id}:${timeMs}`,
    parts: () => ({
      entry: values,
      shared: [request.part, { key: values[MESSAGE_ID] as string, values: message }],
    }),
    rawText: () => rawText(entry, redactor),
  };
}

type Odd = ReadonlyMap<string, OddField> | null;

function flaw(entry: unknown, odd: Odd, nowMs: Ms): RejectReason | null {
  if (!isObject(entry)) return 'not_an_object';
  const flawed = idFlaw(entry.messageId);
  if (flawed !== null) return flawed;
  return odd?.get('time')?.exact === false ? 'no_time' : timeFlaw(entry.time, nowMs);
}

/** Stable, documented fields alone, as received. */
function identity(value: Readonly<Record<string, unknown>>, odd: Odd): string {
  let content = '';
  for (const name of IDENTITY) content += told(value[name], odd?.get(name));
  return content;
}
