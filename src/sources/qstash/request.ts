import type { Redactor } from '../../redact.ts';
import { closeExtra, escapeInto, note, type OddField, openDraft, place } from '../fields.ts';
import type { Part, Value } from '../tables.ts';
import { columnOf, FIELD, type QstashField, SPELLING } from './fields.ts';
import { tables } from './table.ts';
import { told } from './told.ts';

/** A value that a message takes from what was sent. */
export type SharedValue = string | readonly string[] | null;

/** What was sent: its row, and what the message takes from it. */
export interface Request {
  /** Null: the entry says nothing about what was sent. */
  readonly part: Part | null;
  /** 32 hex digits */
  readonly hash: string | null;
  /** queue_name, schedule_id, topic_name, endpoint_name and labels, for the message. */
  readonly shared: readonly SharedValue[];
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
const BLANK: readonly null[] = (tables.stages[1]?.columns ?? []).map(() => null);
/** Columns of what was sent that are filled beside its fields, and the label's. */
export const REQUEST_COLUMN = {
  messageId: columnOf(1, 'message_id'),
  hash: columnOf(1, 'hash'),
  extra: columnOf(1, 'extra'),
  escaped: columnOf(1, 'escaped'),
  label: columnOf(1, 'label'),
};
/** Columns that the message takes over, in the order of `Request.shared`. */
export const SHARED = ['queue_name', 'schedule_id', 'topic_name', 'endpoint_name', 'labels'].map((name) =>
  columnOf(1, name),
);

/** Where `labels` stands among them. */
export const LABELS = SHARED.indexOf(columnOf(1, 'labels'));

/** What an entry says that tells nothing of what was sent. */
const NOTHING: Request = { part: null, hash: null, shared: SHARED.map(() => null), escaped: false };

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
  values[REQUEST_COLUMN.extra] = closeExtra(draft);
  return requestOf(stored, values, redactor.digest(content), draft.escaped);
}

/** A request with the digest of its content, of its message's id and its columns, the shared ones as text. */
function requestOf(messageId: string, values: Value[], digest: string, escaped: boolean): Request {
  const hash = digest.slice(0, 32);
  values[REQUEST_COLUMN.hash] = hash;
  values[REQUEST_COLUMN.messageId] = messageId;
  values[REQUEST_COLUMN.escaped] = escaped;
  const shared = SHARED.map((column) => values[column] as SharedValue);
  const label = values[REQUEST_COLUMN.label] as string | null;
  return { part: { key: `${messageId}:${hash}`, values }, hash, shared: labelled(shared, label), escaped };
}

/** What a message takes from what was sent: where there are no labels, the one label is all of them. */
function labelled(shared: Request['shared'], label: string | null): Request['shared'] {
  return label === null || shared[LABELS] !== null ? shared : shared.with(LABELS, [label]);
}
