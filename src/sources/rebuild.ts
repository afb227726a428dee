import { unescapeJson, unescapeText } from '../escape.ts';
import { fieldTexts } from '../json-scan.ts';
import { type FieldKind, OWN, RAW } from './fields.ts';

/** A value as Postgres gives it back: int8 as text, timestamptz in ms, bytea as bytes, jsonb as its text. */
export type StoredValue = string | number | bigint | boolean | Uint8Array | readonly string[] | null;

/** A row by its columns' names. */
export type StoredRow = Readonly<Record<string, StoredValue | undefined>>;

/** What a row's `extra` kept. */
export interface Kept {
  /** Fields beside the columns, as JSON text; more than one where a field was repeated. */
  readonly fields: ReadonlyMap<string, readonly string[]>;
  /** Remarks of ours, as JSON text. */
  readonly remarks: ReadonlyMap<string, string>;
}

/** Reads `extra` (already unescaped JSON text, or null). */
export function readExtra(extra: string | null): Kept {
  const fields = new Map<string, readonly string[]>();
  const remarks = new Map<string, string>();
  for (const [name, texts] of extra === null ? [] : fieldTexts(extra)) {
    if (name.startsWith(OWN)) remarks.set(name, texts[0] ?? 'null');
    else fields.set(name, texts);
  }
  for (const [name, [text = 'null']] of fieldTexts(remarks.get(RAW) ?? '{}')) {
    const texts = JSON.parse(text) as string | readonly string[];
    fields.set(name, typeof texts === 'string' ? [texts] : texts);
  }
  return { fields, remarks };
}

/** A column of jsonb (unescaped), or null. */
export function storedJson(row: StoredRow, column: string): string | null {
  const value = row[column] ?? null;
  if (value === null) return null;
  return row.escaped === true ? unescapeJson(String(value)) : String(value);
}

/** A column's value as the JSON text it was made from; null for an absent field. */
export function storedField(row: StoredRow, column: string, kind: FieldKind): string | null {
  const value = row[column] ?? null;
  if (value === null) return null;
  switch (kind) {
    case 'text':
      return JSON.stringify(plain(row, value as string));
    case 'texts':
      return JSON.stringify((value as readonly string[]).map((item) => plain(row, item)));
    case 'bytes':
      return JSON.stringify(Buffer.from(value as Uint8Array).toString('base64'));
    case 'object':
    case 'headers':
      return storedJson(row, column);
    default:
      return String(value);
  }
}

/** JSON text of an object. */
export function objectJson(members: Iterable<readonly [name: string, texts: readonly string[]]>): string {
  const parts: string[] = [];
  for (const [name, texts] of members) {
    for (const text of texts) parts.push(`${JSON.stringify(name)}:${text}`);
  }
  return `{${parts.join()}}`;
}

function plain(row: StoredRow, text: string): string {
  return row.escaped === true ? unescapeText(text) : text;
}
