import { isFailure, LogkeepError } from '../../errors.ts';
import type { Cursor, Ms, Span } from '../../model.ts';
import { EMPTY_SPAN, type RawPage, readChain } from '../chain.ts';
import { NO_ENTRIES } from '../entries.ts';
import type { ReadOptions } from '../source.ts';
import { decodeId } from './id.ts';
import { holdsEnd, holdsMore, locate, readFromBehind } from './locate.ts';
import { firstTime, idOf, lastTime, logAt } from './place.ts';
import { type DatadogAccess, requestPage } from './request.ts';

/** A page, and how far into the window everything has been given (exclusive); null: not known. */
export interface DatadogPage extends RawPage {
  readonly readTo: Ms | null;
}

/** A smaller limit makes a query no faster; below this only a smaller window helps. */
const TIMEOUT_FLOOR = 50;

/** A cursor older than this when its request goes out is taken for lost. */
export const CURSOR_MAX_AGE_MS = 600_000;

/**
 * The pages of one window, ascending, until the chain ends. That each continues the one before is checked: a
 * `startAt` outside the window, or one that storage has forgotten, is ignored by the API without a word.
 */
export async function* readPages(access: DatadogAccess, o: ReadOptions): AsyncGenerator<DatadogPage, void> {
  let lastMs: Ms | null = null;
  let lastId: string | null = null;
  /** Logs given behind the one of `lastMs`: no time of theirs can be read. */
  let behind = 0;
  // Where a log is too long: the pages from then on are of its ms, and once it is `found` from behind too, all before
  // it counts as given.
  let tooLongMs: Ms | null = null;
  let found = false;
  // The Date of the answer before a too long log was looked for, where nothing was given before, and when it came.
  let dateMs: Ms | null = null;
  let heardAt: Ms = 0;
  let ordered = true;
  let given = false;
  let full = false;
  const { clock } = access.http;
  // Where the window holds its end, the log that is on record there would be met and located again.
  const endsBefore = o.tooLongAtEnd === true && (await holdsEnd(access, o));
  const asked = endsBefore ? { from: o.window.from, to: o.window.to - 1 } : o.window;
  let cursorAt = clock.now() - (o.cursorAgeMs ?? 0);
  let claimable: Ms | null = null;
  // Looking for the log may take hours of waiting: what is claimed begins no earlier than the retention before its end.
  const dateNow = () => (dateMs === null ? null : dateMs + (clock.now() - heardAt));
  // Planned anew, the window would begin where this chain began: with waits beyond the age it would never end. Then an
  // old cursor is better than none; what it brings is checked as ever.
  const stuck = () => o.cursor === null && (claimable === null || claimable <= o.window.from);
  const refuseOld = () => {
    const ageMs = clock.now() - cursorAt;
    if (ageMs <= CURSOR_MAX_AGE_MS || stuck()) return;
    throw new LogkeepError(
      'cursor',
      `${access.api.label}: the cursor is ${Math.round(ageMs / 1000)} s old when its turn comes: expected at most ${CURSOR_MAX_AGE_MS / 1000} s: the cursor is lost`,
    );
  };
  const pages = readChain<RawPage>({
    label: access.api.label,
    cursor: o.cursor,
    size: access.pageSize,
    maxBodyBytes: access.api.maxBodyBytes,
    timeoutFloor: TIMEOUT_FLOOR,
    // v2 alone: an empty page in answer to v1's cursor has been refused before. After a full page an empty one is
    // what a forgotten cursor would bring too: one request more asks for what stands behind the last log given.
    believesEnd: async (ageMs) => {
      const old = ageMs > CURSOR_MAX_AGE_MS;
      if (!given || (old && !stuck())) return false;
      if (!ordered || lastMs === null || lastMs + 1 >= o.window.to) return !old;
      if (!full && !old) return true;
      const rest = { from: lastMs + 1, to: asked.to };
      return !(await holdsMore(access, o, rest, behind));
    },
    now: () => clock.now(),
    fetch: async (cursor, limit) => {
      const turn = cursor === null ? o : { ...o, onTurn: refuseOld };
      const page = await requestPage(access, turn, asked, cursor, limit);
      cursorAt = clock.now();
      if (cursor !== null) checkPlace(access, cursor, page);
      if (page.entries.length > 0) {
        given = true;
        full = page.entries.length >= limit;
      }
      return page;
    },
    nothing: async () => {
      const page = await requestPage(access, o, EMPTY_SPAN, null, 1);
      [dateMs, heardAt] = [page.dateMs, clock.now()];
      return page;
    },
    locate: (cursor) => locate(access, o, cursor, { ms: lastMs, id: lastId }),
    around: async function* (atMs) {
      tooLongMs = atMs;
      // Where nothing was given, what stands before it is claimed by a Date from before it was looked for.
      if (dateMs !== null) yield { entries: NO_ENTRIES, next: null, dateMs, bytes: 0 };
      if (atMs >= o.window.to) return;
      yield* readFromBehind(access, o, atMs);
      found = true;
      yield { entries: NO_ENTRIES, next: null, dateMs: dateNow(), bytes: 0 };
    },
  });
  try {
    for await (const page of pages) {
      if (tooLongMs !== null) {
        yield { ...page, readTo: found && ordered ? within(o.window, tooLongMs) : null };
        continue;
      }
      const [first, last] = [firstTime(page), lastTime(page)];
      if (first === null || last === null) {
        behind += page.entries.length;
        if (behind > 0) lastId = null;
      } else {
        // Should the API ever leave the order it was asked for, only the chain's end claims anything.
        ordered &&= first <= last.ms && (lastMs === null || lastMs <= first);
        lastMs = last.ms;
        lastId = last.id;
        behind = last.behind;
      }
      const readTo = page.next === null ? o.window.to : ordered ? within(o.window, lastMs) : null;
      claimable = readTo ?? claimable;
      yield { ...page, readTo };
    }
  } catch (error) {
    // A log that is too long and stands at the window's very end is the next window's: all of this one was given.
    if (!isFailure(error, 'oversize') || tooLongMs === null || tooLongMs < o.window.to || !ordered)
      throw error;
    yield { entries: NO_ENTRIES, next: null, dateMs: dateNow(), bytes: 0, readTo: o.window.to };
  }
}

/** v1: the first log is the one asked for. v2: it does not stand before the one that was given last. */
function checkPlace(access: DatadogAccess, cursor: Cursor, page: RawPage): void {
  const asked = access.transport.place(cursor);
  const got = idOf(logAt(page, 0));
  if (asked === null || (got === null && !access.transport.inclusive)) return;
  const place = decodeId(asked);
  const first = got === null ? null : decodeId(got);
  const continues =
    place === null || first === null
      ? !access.transport.inclusive || got === asked
      : access.transport.inclusive
        ? first.eventMs === place.eventMs && first.innerId === place.innerId
        : first.eventMs >= place.eventMs;
  if (continues) return;
  throw new LogkeepError(
    'cursor',
    `${access.api.label}: the page begins with ${got === null ? 'nothing' : `log ${got.slice(0, 80)}`}: expected ${
      access.transport.inclusive ? '' : 'one after '
    }${asked.slice(0, 80)}: the cursor is lost`,
  );
}

/** Logs of the very last ms may go on with the next page, so it is not claimed. */
function within(window: Span, lastMs: Ms | null): Ms | null {
  return lastMs !== null && lastMs >= window.from && lastMs <= window.to ? lastMs : null;
}
