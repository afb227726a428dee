import { decodeBase64 } from '../base64.ts';
import { escapeJson, escapeText, needsEscape } from '../escape.ts';
import { inspect } from '../json-scan.ts';
import type { Ms } from '../model.ts';
import type { Redactor } from '../redact.ts';
import { hiddenJson, redactJson } from '../redact-json.ts';
import { isObject } from './entry.ts';
import type { Value } from './tables.ts';

/** How a field of an entry goes into a column: what does not fit exactly goes to `extra` instead. */
export type FieldKind = 'text' | 'texts' | 'int4' | 'int8' | 'time' | 'object' | 'headers' | 'bytes';

/** A field that has a column. */
export interface Field {
  /** As the API writes it. */
  readonly name: string;
  readonly kind: FieldKind;
  /** Position among the stage's columns. */
  readonly column: number;
}

/** A field whose parsed value does not say all that its text says. */
export interface OddField {
  /** All its texts, in order; the parsed value is the last one's. */
  readonly texts: readonly string[];
  /** The last text is what its parsed value prints. */
  readonly exact: boolean;
  /** The last text can be held by jsonb. */
  readonly storable: boolean;
}

/** Names in `extra` that are ours begin with this; an entry's own field of such a name is kept as raw text. */
export const OWN = 'logkeep:';
/** In `extra`: field -> its JSON text (a list where the field is repeated), where jsonb cannot hold it exactly. */
export const RAW = 'logkeep:raw';

/** A row in the making. */
export interface Draft {
  readonly values: Value[];
  /** Members of `extra` as JSON text, each with a comma behind it; and those of its RAW. */
  extra: string;
  raw: string;
  escaped: boolean;
}

/** A draft with a copy of `blank` (a null for each column) to fill. */
export function openDraft(blank: readonly Value[]): Draft {
  return { values: blank.slice(), extra: '', raw: '', escaped: false };
}

/** An object's fields, and which of them are odd (null: none). */
export interface Reading {
  readonly value: Readonly<Record<string, unknown>>;
  readonly odd: ReadonlyMap<string, OddField> | null;
}

const FAITHFUL = { exact: true, storable: true };

/**
 * Reads an object from its fields' texts, where the value that was parsed with the page may lie. `except` is not
 * looked into, but odd if repeated.
 */
export function readFields(
  fields: ReadonlyMap<string, readonly string[]>,
  parsed: Readonly<Record<string, unknown>>,
  except: string | null = null,
): Reading {
  const value: Record<string, unknown> = Object.create(null);
  let odd: Map<string, OddField> | null = null;
  for (const [name, texts] of fields) {
    const last = texts[texts.length - 1] ?? 'null';
    // V8 may have taken other names for the backslash (see `inspect`).
    value[name] = name !== '\\' && Object.hasOwn(parsed, name) ? parsed[name] : JSON.parse(last);
    const { exact, storable } = name === except || last.startsWith('"') ? FAITHFUL : inspect(last);
    if (exact && texts.length === 1) continue;
    odd ??= new Map();
    odd.set(name, { texts, exact, storable });
  }
  return { value, odd };
}

/**
 * Puts a field into its column, or into `extra` if it has none (null) or does not fit it exactly.
 * `plain`: no string of the entry needs escaping. True if it went into the column.
 */
export function place(
  draft: Draft,
  field: Field | null,
  name: string,
  value: unknown,
  odd: OddField | undefined,
  plain: boolean,
  redactor: Redactor,
): boolean {
  if (odd !== undefined) return placeOdd(draft, field, name, value, odd, redactor);
  if (field !== null) {
    const fitted = columnValue(field.kind, value, redactor);
    if (fitted !== null) {
      draft.values[field.column] = plain ? fitted : escapeValue(draft, field.kind, fitted);
      return true;
    }
  }
  keep(draft, name, JSON.stringify(value), redactor);
  return false;
}

/** Keeps a field in `extra`; `json` must be storable. */
function keep(draft: Draft, name: string, json: string, redactor: Redactor): void {
  if (name.startsWith(OWN)) keepRaw(draft, name, [json], redactor);
  else draft.extra += `${JSON.stringify(name)}:${redactField(name, json, redactor)},`;
}

/** Keeps a remark of ours in `extra`, under a name that begins with OWN. */
export function note(draft: Draft, name: string, json: string): void {
  draft.extra += `${JSON.stringify(name)}:${json},`;
}

/** The text of `extra`, escaped for jsonb; null where there is nothing to keep. */
export function closeExtra(draft: Draft): string | null {
  const json = extraJson(draft);
  return json === null ? null : escapeJsonInto(draft, json);
}

/** What the draft keeps beside its columns, as JSON text; null for nothing. */
export function extraJson(draft: Draft): string | null {
  let members = draft.extra;
  if (draft.raw !== '') members += `"${RAW}":{${draft.raw.slice(0, -1)}},`;
  return members === '' ? null : `{${members.slice(0, -1)}}`;
}

/** Ms since the epoch within the years that Postgres and JavaScript both know, else null. */
export function storableMs(value: unknown): Ms | null {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 253_402_300_799_999
    ? value
    : null;
}

/** `text` escaped, and noted in the draft if that changed it. */
export function escapeInto(draft: Draft, text: string): string {
  if (!needsEscape(text)) return text;
  draft.escaped = true;
  return escapeText(text);
}

/** JSON text escaped, and noted in the draft if that changed it. */
function escapeJsonInto(draft: Draft, json: string): string {
  const escaped = escapeJson(json);
  if (escaped !== json) draft.escaped = true;
  return escaped;
}

function placeOdd(
  draft: Draft,
  field: Field | null,
  name: string,
  value: unknown,
  odd: OddField,
  redactor: Redactor,
): boolean {
  const repeated = odd.texts.length > 1;
  const last = odd.texts[odd.texts.length - 1] ?? '';
  if (repeated) keepRaw(draft, name, odd.texts, redactor);
  if (field !== null) {
    const fitted = odd.exact
      ? columnValue(field.kind, value, redactor)
      : columnText(field.kind, value, last, odd, redactor);
    if (fitted !== null) {
      draft.values[field.column] = escapeValue(draft, field.kind, fitted);
      return true;
    }
  }
  if (repeated) return false;
  if (odd.storable) keep(draft, name, last, redactor);
  else keepRaw(draft, name, odd.texts, redactor);
  return false;
}

function keepRaw(draft: Draft, name: string, texts: readonly string[], redactor: Redactor): void {
  const redacted = texts.map((json) => redactField(name, json, redactor));
  draft.raw += `${JSON.stringify(name)}:${JSON.stringify(redacted.length === 1 ? redacted[0] : redacted)},`;
}

function redactField(name: string, json: string, redactor: Redactor): string {
  return redactor.hides(name) ? hiddenJson(json, redactor) : redactJson(json, redactor);
}

function columnValue(kind: FieldKind, value: unknown, redactor: Redactor): Value | null {
  switch (kind) {
    case 'text':
      return typeof value === 'string' ? value : null;
    case 'int4':
      return typeof value === 'number' && (value | 0) === value ? value : null;
    case 'int8':
      return Number.isSafeInteger(value) ? (value as number) : null;
    case 'time':
      return storableMs(value);
    case 'object':
      return isObject(value) ? JSON.stringify(value) : null;
    case 'headers':
      return isObject(value) ? headersJson(value, redactor) : null;
    case 'bytes':
      return typeof value === 'string' ? decodeBase64(value) : null;
    case 'texts':
      return isTexts(value) ? value : null;
  }
}

/** The value for the column where the parsed one is not what the text says; null: none fits. */
function columnText(
  kind: FieldKind,
  value: unknown,
  json: string,
  odd: OddField,
  redactor: Redactor,
): Value | null {
  if (kind === 'int8' && /^-?\d{16,19}$/.test(json)) {
    const integer = BigInt(json);
    return BigInt.asIntN(64, integer) === integer ? integer : null;
  }
  if (!odd.storable || !isObject(value)) return null;
  if (kind === 'object') return json;
  return kind === 'headers' ? redactJson(json, redactor) : null;
}

function escapeValue(draft: Draft, kind: FieldKind, value: Value): Value {
  if (kind === 'text') return escapeInto(draft, value as string);
  if (kind === 'texts') return (value as readonly string[]).map((item) => escapeInto(draft, item));
  if (kind !== 'object' && kind !== 'headers') return value;
  return escapeJsonInto(draft, value as string);
}

/** Headers as JSON text, redacted: arrays of strings by name, or anything else, which is redacted at every depth. */
export function headersJson(headers: Record<string, unknown>, redactor: Redactor): string {
  let shown = headers;
  for (const name in headers) {
    const values = headers[name];
    if (!isTexts(values)) return redactJson(JSON.stringify(headers), redactor);
    if (redactor.hides(name)) {
      if (shown === headers) shown = { ...headers };
      shown[name] = values.map((value) => redactor.hide(value));
    }
  }
  return JSON.stringify(shown);
}

function isTexts(values: unknown): values is readonly string[] {
  if (!Array.isArray(values)) return false;
  for (let index = 0; index < values.length; index += 1) {
    if (typeof values[index] !== 'string') return false;
  }
  return true;
}
