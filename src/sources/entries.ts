import { LogkeepError } from '../errors.ts';
import { parseEnvelope, type RawEntry } from '../json.ts';
import { scanPage } from '../tape/scan.ts';
import { entryText, releaseTape, type Tape } from '../tape/tape.ts';
import { quote } from './refusal.ts';

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
 * that holds its fields, null where the entry itself does. Throws SyntaxError on what is not JSON, and `protocol` on
 * what cannot be whole, or cannot be known to be: an error beside the entries, or a name said twice.
 */
export function readEntries(answer: Body, keys: readonly string[], container: string | null): Answer {
  const scanned = scanPage(answer.body, keys, container);
  if (scanned !== null) {
    checkErrors(scanned.envelope);
    return { envelope: scanned.envelope, entries: scannedEntries(scanned.tape, answer) };
  }
  // The scan leaves every answer in which a name may be repeated to the parser.
  const { envelope, key, entries, repeated } = parseEnvelope(answer.text, keys);
  if (repeated !== null) throw repeats(repeated);
  if (key === null) return { envelope, entries: null };
  checkErrors(envelope);
  return { envelope, entries: parsedEntries(entries) };
}

/** The refusal of an answer that says a name twice: readers differ in which of the two values they take. */
export function repeats(name: string): LogkeepError {
  return new LogkeepError(
    'protocol',
    `the answer says \`${quote(name)}\` twice: expected each name once; which value applies is ambiguous`,
  );
}

/** Throws `protocol` where an answer tells of an error. */
export function checkErrors(envelope: unknown): void {
  const { error, errors } = (envelope ?? {}) as { readonly error?: unknown; readonly errors?: unknown };
  for (const [name, said] of Object.entries({ error, errors })) {
    // What it says is not quoted: it may be of any shape and length.
    if (!isNothing(said))
      throw new LogkeepError('protocol', `the answer is partial, it reports an error in \`${name}\``);
  }
}

function isNothing(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === '';
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
