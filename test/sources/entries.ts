import { type Entries, parsedEntries, readEntries } from '../../src/sources/entries.ts';

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
