import { hash } from 'node:crypto';
import type { RawEntry } from '../../json.ts';
import { fieldTexts } from '../../json-scan.ts';
import type { Ms } from '../../model.ts';
import {
  createUnknowns,
  idFlaw,
  isObject,
  type Normalised,
  type NormaliserOptions,
  rawText,
  rememberHidden,
  timeFlaw,
} from '../entry.ts';
import { closeExtra, note, type OddField, openDraft, place, readFields, storableMs } from '../fields.ts';
import type { RejectReason } from '../source.ts';
import { columnOf, FIELD, SPELLING } from './fields.ts';
import { createRequestReader, same } from './request.ts';
import { tables } from './table.ts';
import { told } from './told.ts';

/** Within one ms a message's entries go by rank; unknown states are 0. */
const RANK: Readonly<Record<string, number>> = {
  __proto__: null as never,
  CREATED: 1,
  ACTIVE: 2,
  ERROR: 3,
  RETRY: 4,
  CANCEL_REQUESTED: 5,
  CANCELED: 6,
  CANCELLED: 6,
  FAILED: 7,
  DELIVERED: 8,
};

const BLANK = (tables.stages[0]?.columns ?? []).map(() => null);
const ENTRY_ID = columnOf(0, 'entry_id');
const REQUEST_HASH = columnOf(0, 'request_hash');
const EXTRA = columnOf(0, 'extra');
const ESCAPED = columnOf(0, 'escaped');
const RANK_COLUMN = columnOf(0, 'rank');
const QUEUE_NAME = columnOf(0, 'queue_name');
const IDENTITY = [
  'messageId',
  'time',
  'state',
  'url',
  'endpointName',
  'error',
  'responseStatus',
  'nextDeliveryTime',
];

/** Turns entries of `/v2/logs` into rows; never throws because of an entry. One for each stream: it remembers requests. */
export function createNormaliser({
  redactor: plainRedactor,
  nowMs,
}: NormaliserOptions): (entries: readonly RawEntry[]) => Normalised {
  const redactor = rememberHidden(plainRedactor);
  const requests = createRequestReader(redactor);
  const unknowns = createUnknowns();
  return (entries) => {
    const rows: Normalised['rows'] = [];
    const rejects: Normalised['rejects'] = [];
    const now = nowMs();
    for (const entry of entries) {
      const reading =
        entry.text === null || !isObject(entry.value)
          ? null
          : readFields(fieldTexts(entry.text), entry.value);
      const value = reading?.value ?? (entry.value as Readonly<Record<string, unknown>>);
      const odd = reading?.odd ?? null;
      const reason = flaw(value, odd, now);
      if (reason !== null) {
        rejects.push({ reason, timeMs: storableMs(value?.time), rawText: rawText(entry, redactor) });
        continue;
      }
      const messageId = value.messageId as string;
      const timeMs = value.time as number;
      const { plain } = entry;
      const draft = openDraft(BLANK);
      const { values } = draft;
      let remembered = odd === null ? requests.recall(messageId) : undefined;
      let repeated = 0;
      for (const name in value) {
        const field = FIELD.get(name);
        if (field === undefined) {
          unknowns.meet(`field:${name}`);
          place(draft, null, name, value[name], odd?.get(name), plain, redactor);
        } else if (field.stage === 1) {
          if (remembered !== undefined && !same(value[name], remembered.value[name])) remembered = undefined;
          repeated += 1;
        } else {
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
      const request =
        remembered !== undefined && repeated === remembered.fields
          ? remembered.request
          : requests.read({ messageId, value, odd, plain });
      const id = hash('sha256', identity(value, odd), 'hex').slice(0, 32);
      const rank = typeof value.state === 'string' ? RANK[value.state] : undefined;
      if (rank === undefined && typeof value.state === 'string') unknowns.meet(`state:${value.state}`);
      values[ENTRY_ID] = Buffer.from(id, 'hex');
      values[REQUEST_HASH] = request.hash;
      values[RANK_COLUMN] = rank ?? 0;
      for (let index = 0; index < 5; index += 1) values[QUEUE_NAME + index] = request.shared[index] ?? null;
      values[EXTRA] = closeExtra(draft);
      values[ESCAPED] = draft.escaped || request.escaped;
      rows.push({
        timeMs,
        parts: [{ key: `${id}:${timeMs}`, values }, request.part],
        rawText: () => rawText(entry, redactor),
      });
    }
    return { rows, rejects, unknown: unknowns.take() };
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
