import { isFailure, LogkeepError } from '../../errors.ts';
import type { Ms, Span } from '../../model.ts';
import { distanceOf, type RawPage } from '../chain.ts';

/** Ways of asking for a span, newest first, that one entry of it may spoil. */
export interface SpanReader {
  readonly label: string;
  /** Its entries, of one state if that is given, up to one that is longer than the cap; returns whether there was one. */
  upToTooLong(window: Span, state: string | null): AsyncGenerator<RawPage, boolean>;
}

/** Pages come in the order of writing, a few ms out of that of time: so far it is looked for on the other side. */
const DISORDER_MS = 10_000;

/**
 * Event time of the newest entry not given yet, which alone is longer than the cap: found by asking for one entry of
 * windows that end where what was given ends (`oldestMs`; null: nothing was), and proven by reading its ms, since
 * entries may come or go meanwhile. Throws `cursor` where none is found.
 */
export async function locate(read: SpanReader, window: Span, oldestMs: Ms | null): Promise<Ms> {
  const tooLong = (from: Ms, last: Ms) => beginsTooLong(read, { from, to: last + 1 });
  const last = oldestMs === null ? window.to - 1 : Math.min(oldestMs, window.to - 1);
  for (const newest of [last, last - 1]) {
    // Behind an entry of the oldest ms that was given stands the next older one.
    if (newest >= window.from && (await tooLong(window.from, newest))) {
      const isInSight = (distanceMs: Ms) => tooLong(newest - distanceMs, newest);
      const at = newest - (await distanceOf(isInSight, newest - window.from, oldestMs === null));
      const found = await within(read, { from: at, to: at + 1 });
      if (found === null) throw lost(read, at);
      return found;
    }
  }
  // Or one more of that ms, or one of a few ms later that was written before: only all of a span tells.
  for (let from = last, width = 1; from < Math.min(window.to, last + DISORDER_MS); from += width) {
    if (from > last + 1) width *= 2;
    const found = await within(read, { from, to: Math.min(from + width, window.to) });
    if (found !== null) return found;
  }
  throw lost(read, last);
}

/** Whether a span's newest entry is too long. */
async function beginsTooLong(read: SpanReader, span: Span): Promise<boolean> {
  const pages = read.upToTooLong(span, null);
  for (;;) {
    const { done, value } = await pages.next();
    if (done === true) return value;
    if (value.entries.length > 0) return false;
  }
}

/** The ms of an entry that is too long, where the span holds one; each part is read to its end, or to that entry. */
async function within(read: SpanReader, span: Span): Promise<Ms | null> {
  const pages = read.upToTooLong(span, null);
  let end = await pages.next();
  while (end.done !== true) end = await pages.next();
  if (!end.value || span.to - span.from === 1) return end.value ? span.from : null;
  const middle = Math.floor((span.from + span.to) / 2);
  return (await within(read, { from: span.from, to: middle })) ?? within(read, { from: middle, to: span.to });
}

function lost(read: SpanReader, nearMs: Ms): LogkeepError {
  return new LogkeepError(
    'cursor',
    `${read.label}: an entry is too long, and none near ${new Date(nearMs).toISOString()} is: the cursor is lost`,
  );
}

/** The states that the filter value IN_PROGRESS stands for. */
export const IN_PROGRESS = ['ACTIVE', 'RETRY', 'ERROR'];
/** The states an entry may have; the service writes CANCELED, its page CANCELLED. */
const STATES = ['IN_PROGRESS', 'CREATED', 'DELIVERED', 'FAILED', 'CANCEL_REQUESTED', 'CANCELED', 'CANCELLED'];

/**
 * The entries of a ms that one of its entries hides from any walk: state by state, so that only older ones of the same
 * state stay hidden. `state`: the stream's own filter.
 */
export async function* readOtherStates(
  read: SpanReader,
  state: string | null,
  span: Span,
): AsyncGenerator<RawPage, void> {
  const states = [...(state === null ? STATES : state === 'IN_PROGRESS' ? IN_PROGRESS : [])];
  for (const one of states) {
    try {
      const hidden = yield* read.upToTooLong(span, one);
      if (hidden && one === 'IN_PROGRESS') states.push(...IN_PROGRESS);
    } catch (error) {
      // A state that the API does not let us ask for has nothing to show.
      if (!isFailure(error, 'request')) throw error;
    }
  }
}
