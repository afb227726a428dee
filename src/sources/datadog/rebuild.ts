import { objectJson, readExtra, type StoredRow, storedField, storedJson } from '../rebuild.ts';
import { ABSENT, BESIDE, CONTAINER, FIELD, type Transport, TYPE } from './fields.ts';

/**
 * The log that a row of `datadog_log` was made from, as the given API sent it: equal as JSON, but for what redaction
 * hid in `extra`. A row read by v1 and later by v2 has a status, which v1 did not send.
 */
export function rebuildDatadog(row: StoredRow, transport: Transport): string {
  const { fields, remarks } = readExtra(storedJson(row, 'extra'));
  const log = new Map<string, readonly string[]>([
    ['timestamp', [JSON.stringify(new Date(Number(row.timestamp)).toISOString())]],
  ]);
  for (const { name, kind } of FIELD.values()) {
    const text = storedField(row, name, kind);
    if (text !== null) log.set(name, [text]);
  }
  for (const [name, texts] of fields) log.set(name, texts);
  const members = new Map<string, readonly string[]>([
    ['id', [storedField(row, 'id', 'text') ?? 'null']],
    [CONTAINER[transport], [objectJson(log)]],
  ]);
  const absent = JSON.parse(remarks.get(ABSENT) ?? '[]') as string[];
  if (transport === 'v2' && !absent.includes('type')) members.set('type', [JSON.stringify(TYPE)]);
  for (const [name, texts] of readExtra(remarks.get(BESIDE) ?? null).fields) members.set(name, texts);
  return objectJson(members);
}
