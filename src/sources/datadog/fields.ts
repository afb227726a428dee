import type { Field, FieldKind } from '../fields.ts';
import { tables } from './table.ts';

/** Which of the two APIs an entry came through. */
export type Transport = 'v1' | 'v2';

/** The field that holds the log itself, beside its id. */
export const CONTAINER: Readonly<Record<Transport, string>> = { v1: 'content', v2: 'attributes' };

/** In `extra`: the fields beside the log itself (which, like the log's own, have a RAW of theirs). */
export const BESIDE = 'logkeep:entry';
/** In `extra`: fields that the transport always sends, and did not. */
export const ABSENT = 'logkeep:absent';
/** What v2 says of each entry. */
export const TYPE = 'log';

/** The log's fields that have a column, by name; but for `timestamp`, which every row has. */
export const FIELD: ReadonlyMap<string, Field> = new Map(
  (
    [
      ['message', 'text'],
      ['host', 'text'],
      ['service', 'text'],
      ['status', 'text'],
      ['tags', 'texts'],
      ['attributes', 'object'],
    ] as const satisfies readonly (readonly [string, FieldKind])[]
  ).map(([name, kind]) => [name, { name, kind, column: columnOf(name) }]),
);

/** Position of a column in the stage. Throws on a name that is none. */
export function columnOf(name: string): number {
  const at = tables.stages[0]?.columns.findIndex((column) => column.name === name) ?? -1;
  if (at < 0) throw new Error(`datadog: the stage has no column ${name}`);
  return at;
}
