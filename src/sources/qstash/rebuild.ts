import { objectJson, readExtra, type StoredRow, storedField, storedJson } from '../rebuild.ts';
import { FIELD, SPELLING } from './fields.ts';

/**
 * The entry that a row of `qstash_log` and its `qstash_request` (null: it has none) were made from: equal as JSON
 * to what was sent, but for what redaction hid.
 */
export function rebuildQstash(log: StoredRow, request: StoredRow | null): string {
  const rows = [log, request];
  const members = new Map<string, readonly string[]>();
  const extras = rows.map((row) => readExtra(row === null ? null : storedJson(row, 'extra')));
  const spelt = new Set(
    extras.flatMap(({ remarks }) => JSON.parse(remarks.get(SPELLING) ?? '[]') as string[]),
  );
  for (const field of FIELD.values()) {
    const row = rows[field.stage] ?? null;
    if (row === null || (field.spells === null ? spelt.has(spelling(field.name)) : !spelt.has(field.name)))
      continue;
    const text = storedField(row, field.into, field.kind);
    if (text !== null) members.set(field.name, [text]);
  }
  for (const { fields } of extras) {
    for (const [name, texts] of fields) members.set(name, texts);
  }
  return objectJson(members);
}

/** The other spelling of a field, or the field's own name. */
function spelling(name: string): string {
  for (const field of FIELD.values()) {
    if (field.spells === name) return field.name;
  }
  return name;
}
