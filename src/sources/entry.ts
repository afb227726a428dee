import { EARLIEST_MS } from '../durations.ts';
import { escapeText } from '../escape.ts';
import type { RawEntry } from '../json.ts';
import type { Ms } from '../model.ts';
import type { Redactor } from '../redact.ts';
import { redactJson } from '../redact-json.ts';
import { isOdd, type Tape } from '../tape/tape.ts';
import type { Entries } from './entries.ts';
import type { Reject, RejectReason, Row } from './source.ts';

/** What becomes of a page's entries. */
export interface Normalised {
  /** Each of them, made as it is asked for; once. */
  readonly entries: Iterable<Row | Reject>;
  /** What was seen for the first time and is not known, such as `field:NAME` or `state:NAME`; taken by asking. */
  unknown(): string[];
}

/** What turning entries into rows needs; `nowMs` is the local clock. */
export interface NormaliserOptions {
  readonly redactor: Redactor;
  readonly nowMs: () => Ms;
}

/** Clocks are wrong, but not by more. */
const AHEAD_MS = 2 * 86_400_000;
/** Longer ids would not fit Postgres's index; the longest seen has 114 bytes. */
const MAX_ID_BYTES = 1000;
const MAX_UNKNOWN = 1000;
const MAX_UNKNOWN_CHARS = 100;
const MAX_HIDDEN = 1000;
const MAX_HIDDEN_CHARS = 2000;

/** Whether `value` is a JSON object. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What keeps an entry with this id from becoming a row. */
export function idFlaw(id: unknown): RejectReason | null {
  if (typeof id !== 'string' || id === '') return 'no_id';
  const long = id.length > MAX_ID_BYTES / 8 && Buffer.byteLength(escapeText(id)) > MAX_ID_BYTES;
  return long ? 'too_large' : null;
}

/** What keeps an entry of this time from becoming a row at `nowMs`; the pump checks it against the window. */
export function timeFlaw(time: unknown, nowMs: Ms): RejectReason | null {
  if (typeof time !== 'number' || !Number.isInteger(time)) return 'no_time';
  return time >= EARLIEST_MS && time < nowMs + AHEAD_MS ? null : 'time_out_of_bounds';
}

/** The entry's JSON text for quarantine, redacted. */
export function rawText(entry: RawEntry, redactor: Redactor): string {
  return redactJson(entry.text ?? JSON.stringify(entry.value), redactor);
}

/** The same redactor, which remembers what it hid: the same token comes with entry after entry. */
export function rememberHidden(redactor: Redactor): Redactor {
  const hidden = new Map<string, string>();
  return {
    ...redactor,
    hide(value) {
      const known = hidden.get(value);
      if (known !== undefined) return known;
      const fresh = redactor.hide(value);
      if (hidden.size >= MAX_HIDDEN) hidden.clear();
      if (value.length <= MAX_HIDDEN_CHARS) hidden.set(value, fresh);
      return fresh;
    },
  };
}

/** How a source's entries become rows. */
export interface Readers {
  readonly nowMs: () => Ms;
  /** Makes the row of a usual entry from its bytes, the very row that `exact` would make; null: it is not usual. */
  readonly quick: (tape: Tape, index: number, now: Ms) => Row | null;
  readonly exact: (entry: RawEntry, now: Ms) => Row | Reject;
  /** What was seen for the first time and is not known. */
  readonly unknown: () => string[];
}

/** Reads entries: the usual ones quickly, any other exactly. */
export function readerOf({ nowMs, quick, exact, unknown }: Readers): (entries: Entries) => Normalised {
  function* make(entries: Entries): Generator<Row | Reject, void> {
    const { length, tape } = entries;
    const now = nowMs();
    for (let index = 0; index < length; index += 1) {
      const usual = tape === null || isOdd(tape, index) ? null : quick(tape, index, now);
      yield usual ?? exact(entries.raw(index), now);
    }
  }
  return (entries) => ({ entries: make(entries), unknown });
}

/** Reports each of the unknown once, and only so many: names come from outside. */
export function createUnknowns(): { meet(what: string): void; take(): string[] } {
  const seen = new Set<string>();
  let fresh: string[] = [];
  return {
    meet(what) {
      if (seen.has(what) || seen.size >= MAX_UNKNOWN) return;
      seen.add(what);
      fresh.push(what.slice(0, MAX_UNKNOWN_CHARS));
    },
    take() {
      const taken = fresh;
      fresh = [];
      return taken;
    },
  };
}
