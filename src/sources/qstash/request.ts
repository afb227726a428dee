import type { Redactor } from '../../redact.ts';
import { closeExtra, escapeInto, note, type OddField, openDraft, place } from '../fields.ts';
import type { Part, Value } from '../tables.ts';
import { columnOf, FIELD, type QstashField, SPELLING } from './fields.ts';
import { tables } from './table.ts';
import { told } from './told.ts';

/** What was sent: its row, and what the message takes from it. */
export interface Request {
  /** Null: the entry says nothing about what was sent. */
  readonly part: Part | null;
  /** 32 hex digits */
  readonly hash: string | null;
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

/** The fields that say what was sent, in the order in which they are told. */
export const REQUEST_FIELDS: readonly QstashField[] = [...FIELD.values()].filter(
  (field) => field.stage === 1,
);
/** A row of what was sent that says nothing yet. */
export const BLANK: readonly null[] = (tables.stages[1]?.columns ?? []).map(() => null);
const MESSAGE_ID = columnOf(1, 'message_id');
const HASH = columnOf(1, 'hash');
const EXTRA = columnOf(1, 'extra');
const ESCAPED = columnOf(1, 'escaped');
const LABEL = columnOf(1, 'label');
const SHARED = ['queue_name', 'schedule_id', 'topic_name', 'endpoint_name', 'labels'].map((name) =>
  columnOf(1, name),
);

/** What an entry says that tells nothing of what was sent. */
export const NOTHING: Request = { part: null, hash: null, shared: SHARED.map(() => null), escaped: false };

/** What an entry says was sent, hidden with `redactor`. */
export function readRequest({ messageId, value, odd, plain }: EntryFields, redactor: Redactor): Request {
  const draft = openDraft(BLANK);
  let content = '';
  const spelt: string[] = [];
  for (const field of REQUEST_FIELDS) {
    const { name, spells } = field;
    const found = value[name];
    if (found === undefined) continue;
    const oddity = odd?.get(name);
    content += told(name, undefined) + told(found, oddity);
    const home = spells !== null && (value[spells] !== undefined || oddity !== undefined) ? null : field;
    if (place(draft, home, name, found, oddity, plain, redactor) && spells !== null) spelt.push(name);
  }
  if (content === '') return NOTHING;
  if (spelt.length > 0) note(draft, SPELLING, JSON.stringify(spelt));
  const { values } = draft;
  const stored = plain ? messageId : escapeInto(draft, messageId);
  values[EXTRA] = closeExtra(draft);
  return requestOf(stored, values, redactor.digest(content), draft.escaped);
}

/** A request with the digest of its content, of its message's id and its columns, the shared ones as text. */
export function requestOf(messageId: string, values: Value[], digest: string, escaped: boolean): Request {
  const hash = digest.slice(0, 32);
  values[HASH] = hash;
  values[MESSAGE_ID] = messageId;
  values[ESCAPED] = escaped;
  const shared = SHARED.map((column) => values[column] as string | readonly string[] | null);
  const label = values[LABEL];
  if (shared[4] === null && typeof label === 'string') shared[4] = [label];
  return { part: { key: `${messageId}:${hash}`, values }, hash, shared, escaped };
}

/** Whether the message takes the field's value too. */
export function isShared({ column }: QstashField): boolean {
  return column === LABEL || SHARED.includes(column);
}
