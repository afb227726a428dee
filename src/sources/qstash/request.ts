import type { Redactor } from '../../redact.ts';
import { closeExtra, escapeInto, note, type OddField, openDraft, place } from '../fields.ts';
import type { Part } from '../source.ts';
import { columnOf, FIELD, type QstashField, SPELLING } from './fields.ts';
import { tables } from './table.ts';
import { told } from './told.ts';

/** What was sent: its row, and what the message takes from it. */
export interface Request {
  /** Null: the entry says nothing about what was sent. */
  readonly part: Part | null;
  readonly hash: Uint8Array | null;
  /** queue_name, schedule_id, topic_name, endpoint_name and labels, for the message. */
  readonly shared: readonly (string | readonly string[] | null)[];
  readonly escaped: boolean;
}

/** One entry's fields, with those whose values lie (null: none do). */
export interface EntryFields {
  readonly messageId: string;
  readonly value: Readonly<Record<string, unknown>>;
  readonly odd: ReadonlyMap<string, OddField> | null;
  readonly plain: boolean;
}

const REQUEST_FIELDS: readonly QstashField[] = [...FIELD.values()].filter((field) => field.stage === 1);
const BLANK = (tables.stages[1]?.columns ?? []).map(() => null);
const MESSAGE_ID = columnOf(1, 'message_id');
const HASH = columnOf(1, 'hash');
const EXTRA = columnOf(1, 'extra');
const ESCAPED = columnOf(1, 'escaped');
const LABEL = columnOf(1, 'label');
const SHARED = ['queue_name', 'schedule_id', 'topic_name', 'endpoint_name', 'labels'].map((name) =>
  columnOf(1, name),
);

const NOTHING: Request = { part: null, hash: null, shared: SHARED.map(() => null), escaped: false };

/** The service repeats what was sent in each of a message's entries: so many messages, and characters, are remembered. */
const REMEMBERED = 5_000;
const REMEMBERED_CHARS = 8_000_000;

/** What was read from an entry of a message, to be compared with the next one's. */
export interface Remembered {
  readonly value: Readonly<Record<string, unknown>>;
  /** How many of the entry's fields say what was sent. */
  readonly fields: number;
  readonly request: Request;
}

/** Reads what was sent, and remembers it by message for some time. */
export interface RequestReader {
  recall(messageId: string): Remembered | undefined;
  read(entry: EntryFields): Request;
}

/** A reader that hides with `redactor`. */
export function createRequestReader(redactor: Redactor): RequestReader {
  const known = new Map<string, Remembered>();
  let chars = 0;
  return {
    recall: (messageId) => known.get(messageId),
    read(entry) {
      const { request, fields } = readRequest(entry, redactor);
      const { value } = entry;
      if (entry.odd !== null) return request;
      chars += lengthOf(value.body) + lengthOf(value.responseBody);
      if (known.size >= REMEMBERED || chars > REMEMBERED_CHARS) {
        known.clear();
        chars = 0;
      }
      known.set(entry.messageId, { value, fields, request });
      return request;
    },
  };
}

function readRequest(
  { messageId, value, odd, plain }: EntryFields,
  redactor: Redactor,
): { readonly request: Request; readonly fields: number } {
  const draft = openDraft(BLANK);
  let content = '';
  let fields = 0;
  const spelt: string[] = [];
  for (const field of REQUEST_FIELDS) {
    const { name, spells } = field;
    const found = value[name];
    if (found === undefined) continue;
    const oddity = odd?.get(name);
    fields += 1;
    content += told(name, undefined) + told(found, oddity);
    const home = spells !== null && (value[spells] !== undefined || oddity !== undefined) ? null : field;
    if (place(draft, home, name, found, oddity, plain, redactor) && spells !== null) spelt.push(name);
  }
  if (fields === 0) return { request: NOTHING, fields };
  if (spelt.length > 0) note(draft, SPELLING, JSON.stringify(spelt));
  const hash = redactor.digest(content).subarray(0, 16);
  draft.values[HASH] = hash;
  draft.values[MESSAGE_ID] = plain ? messageId : escapeInto(draft, messageId);
  draft.values[EXTRA] = closeExtra(draft);
  draft.values[ESCAPED] = draft.escaped;
  const shared = SHARED.map((column) => draft.values[column] as string | readonly string[] | null);
  const label = draft.values[LABEL];
  if (shared[4] === null && typeof label === 'string') shared[4] = [label];
  const part = { key: `${messageId}:${hash.toString('hex')}`, values: draft.values };
  return { request: { part, hash, shared, escaped: draft.escaped }, fields };
}

function lengthOf(value: unknown): number {
  return typeof value === 'string' ? value.length : 0;
}

/** Whether two parsed values say the same; exact ones only, since it recurses. */
export function same(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a)) {
    if (!Array.isArray(b) || a.length !== b.length) return false;
    for (let index = 0; index < a.length; index += 1) {
      if (!same(a[index], b[index])) return false;
    }
    return true;
  }
  if (Array.isArray(b)) return false;
  const [left, right] = [a as Record<string, unknown>, b as Record<string, unknown>];
  let names = 0;
  for (const name in left) {
    if (!same(left[name], right[name])) return false;
    names += 1;
  }
  for (const _ in right) names -= 1;
  return names === 0;
}
