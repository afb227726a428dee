import { parseEnvelope, type RawEntry } from '../json.ts';
import { scanPage } from '../tape/scan.ts';
import { entryText, releaseTape, type Tape } from '../tape/tape.ts';

/** The entries of one answer, none of them made into anything yet. */
export interface Entries {
  readonly length: number;
  /** Where they stand in the answer's bytes; null where it is not as usual: then they are parsed. */
  readonly tape: Tape | null;
  /** One entry, parsed for exact reading. */
  raw(index: number): RawEntry;
  /** Gives their memory to the next ones: nothing may be read from them any more. Need not be called. */
  release(): void;
}

/** One answer: its envelope without the entries, and these. */
export interface Answer {
  readonly envelope: Readonly<Record<string, unknown>>;
  /** Null where not exactly one of the keys says anything (null says nothing), and that is an array. */
  readonly entries: Entries | null;
}

/** An answer's body, and its text for those who need all of it. */
export interface Body {
  readonly body: Buffer;
  /** As `readUtf8` reads it: bytes that are no UTF-8 are lone surrogates in it. */
  readonly text: string;
  /** Gives its memory back; absent: nothing is to be given back. */
  readonly release?: () => void;
}

/**
 * Reads an answer whose entries are in the array that one of `keys` names; `container` names the object of an entry
 * that holds its fields, null where the entry itself does. Throws SyntaxError on what is not JSON.
 */
export function readEntries(answer: Body, keys: readonly string[], container: string | null): Answer {
  const scanned = scanPage(answer.body, keys, container);
  if (scanned !== null) return { envelope: scanned.envelope, entries: scannedEntries(scanned.tape, answer) };
  const { envelope, key, entries } = parseEnvelope(answer.text, keys);
  return { envelope, entries: key === null ? null : parsedEntries(entries) };
}

/** Entries that are parsed already. */
export function parsedEntries(entries: readonly RawEntry[]): Entries {
  return {
    length: entries.length,
    tape: null,
    raw: (index) => entries[index] as RawEntry,
    release: () => {},
  };
}

/** No entries. */
export const NO_ENTRIES: Entries = parsedEntries([]);

function scannedEntries(tape: Tape, answer: Body): Entries {
  return {
    length: tape.length,
    tape,
    raw: (index) => parseEntry(entryText(tape, index)),
    release: () => {
      releaseTape(tape);
      answer.release?.();
    },
  };
}

/** The one entry whose JSON text is `text`. */
export function parseEntry(text: string): RawEntry {
  const [entry, ...more] = parseEnvelope(`{"entries":[${text}]}`, ['entries']).entries;
  if (entry === undefined || more.length > 0) throw new Error('expected the text of one entry');
  return entry;
}
