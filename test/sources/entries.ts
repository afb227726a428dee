import { type Entries, parsedEntries, readEntries } from '../../src/sources/entries.ts';
import type { Normalised } from '../../src/sources/entry.ts';
import { isRow, type Reject, type Row } from '../../src/sources/source.ts';

/** The entries of an answer with this text, as a sync reads them. */
export function entriesOf(text: string, keys: readonly string[], container: string | null = null): Entries {
  const { entries } = readEntries({ body: Buffer.from(text), text }, keys, container);
  if (entries === null) throw new Error(`no entries under ${keys.join(' or ')}`);
  return entries;
}

/** The same entries without their places in the answer: all of them are read exactly. */
export function exactly(entries: Entries): Entries {
  return parsedEntries(Array.from({ length: entries.length }, (_, index) => entries.raw(index)));
}

/** What the entries say, parsed. */
export function valuesOf(entries: Entries): readonly unknown[] {
  return Array.from({ length: entries.length }, (_, index) => entries.raw(index).value);
}

/** Entries gone through, and kept. */
export interface Kept {
  readonly rows: readonly Row[];
  readonly rejects: readonly Reject[];
}

/** Goes through entries and keeps what they became. */
export function keep(entries: Iterable<Row | Reject>): Kept {
  const rows: Row[] = [];
  const rejects: Reject[] = [];
  for (const made of entries) {
    if (isRow(made)) rows.push(made);
    else rejects.push(made);
  }
  return { rows, rejects };
}

/** A normaliser whose entries are all made at once. */
export function keeping(normalise: (entries: Entries) => Normalised) {
  return (entries: Entries): Kept & { readonly unknown: readonly string[] } => {
    const { entries: made, unknown } = normalise(entries);
    return { ...keep(made), unknown: unknown() };
  };
}
