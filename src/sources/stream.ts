import { createHash } from 'node:crypto';
import type { Ms } from '../model.ts';
import { type Entries, parsedEntries, parseEntry } from './entries.ts';
import type { Normalised } from './entry.ts';
import type { Page, Reject, Row } from './source.ts';

/** 32 hex digits over what decides which entries an API shows; the order of the keys is free. */
export function fingerprintOf(parts: Readonly<Record<string, string | null | readonly string[]>>): string {
  const sorted = Object.entries(parts).sort(([a], [b]) => (a < b ? -1 : 1));
  return createHash('sha256').update(JSON.stringify(sorted)).digest('hex').slice(0, 32);
}

/** The server's clock minus ours, in ms; the Date header knows whole seconds, so it is right to half a second. */
export function skewOf(dateMs: Ms | null, now: Ms): number | null {
  return dateMs === null ? null : dateMs + 500 - now;
}

/** What `normalise` makes of the one entry whose JSON text is `text`. */
export function normaliseOne(text: string, normalise: (entries: Entries) => Normalised): Row | Reject {
  for (const made of normalise(parsedEntries([parseEntry(text)])).entries) return made;
  throw new Error('an entry became neither a row nor a reject');
}

/** A page whose entries are made of `raw` as they are asked for. */
export function lazyPage(
  frame: Pick<Page, 'next' | 'dateMs' | 'bytes' | 'readTo'>,
  raw: Entries,
  normalise: (entries: Entries) => Normalised,
): Page {
  const { entries, unknown } = normalise(raw);
  let released = false;
  return {
    ...frame,
    entries,
    release() {
      if (!released) raw.release();
      released = true;
    },
    get unknown() {
      return unknown();
    },
  };
}
