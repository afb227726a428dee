import { isFailure, LogkeepError } from '../../errors.ts';
import type { Cursor, Ms, Span } from '../../model.ts';
import { type RawPage, readChain } from '../chain.ts';
import { NO_ENTRIES } from '../entries.ts';
import type { ReadOptions } from '../source.ts';
import { decodeId } from './id.ts';
import { locate } from './locate.ts';
import { type DatadogAccess, requestPage } from './request.ts';

/** A page, and how far into the window everything has been given (exclusive); null: not known. */
export interface DatadogPage extends RawPage {
  readonly readTo: Ms | null;
}

/** A smaller limit makes a query no faster; below this only a smaller window helps. */
const TIMEOUT_FLOOR = 50;

/** The age beyond which house rules call a cursor lost. */
export const CURSOR_MAX_AGE_MS = 600_000;

/**
 * The pages of one window, ascending, until the chain ends. That each continues the one before is checked: a
 * `startAt` outside the window, or one that storage has forgotten, is ignored by the API without a word.
 */
export async function* readPages(access: DatadogAccess, o: ReadOptions): AsyncGenerator<DatadogPage, void> {
  let lastMs: Ms | null = null;
  /** Logs given behind the one of `lastMs`: no time of theirs can be read. */
  let behind = 0;
  let ordered = true;
  let given = false;
  let full = false;
  const pages = readChain<RawPage>({
    label: access.api.label,
    cursor: o.cursor,
    size: access.pageSize,
    maxBodyBytes: access.api.maxBodyBytes,
    timeoutFloor: TIMEOUT_FLOOR,
    // v2 alone: an empty page in answer to v1's cursor has been refused before. After a full page an empty one is
    // what a forgotten cursor would bring too: one request more asks for what stands behind the last log given.
    believesEnd: async (ageMs) => {
      if (ageMs > CURSOR_MAX_AGE_MS || !given) return false;
      if (!full || !ordered || lastMs === null || lastMs >= o.window.to) return true;
      const rest = await requestPage(access, o, { from: lastMs + 1, to: o.window.to }, null, behind + 1);
      return rest.entries.length <= behind;
    },
    now: () => access.http.clock.now(),
    fetch: async (cursor, limit) => {
      const page = await requestPage(access, o, o.window, cursor, limit);
      if (cursor !== null) checkPlace(access, cursor, page);
      if (page.entries.length > 0) {
        given = true;
        full = page.entries.length >= limit;
      }
      return page;
    },
    locate: (cursor) => locate(access, o, cursor, lastMs),
  });
  try {
    for await (const page of pages) {
      const [first, last] = [firstTime(page), lastTime(page)];
      if (first === null || last === null) behind += page.entries.length;
      else {
        // Should the API ever leave the order it was asked for, only the chain's end claims anything.
        ordered &&= first <= last.ms && (lastMs === null || lastMs <= first);
        lastMs = last.ms;
        behind = last.behind;
      }
      yield { ...page, readTo: page.next === null ? o.window.to : ordered ? within(o.window, lastMs) : null };
    }
  } catch (error) {
    // A log that is too long and stands at the window's very end is the next window's: all of this one was given.
    if (!isFailure(error, 'oversize') || error.atMs === null || error.atMs < o.window.to || !ordered)
      throw error;
    const { to } = o.window;
    const { dateMs } = await requestPage(access, o, { from: to - 2, to: to - 1 }, null, 1);
    yield { entries: NO_ENTRIES, next: null, dateMs, bytes: 0, readTo: to };
  }
}

/** v1: the first log is the one asked for. v2: it does not stand before the one that was given last. */
function checkPlace(access: DatadogAccess, cursor: Cursor, page: RawPage): void {
  const asked = access.transport.place(cursor);
  const got = idOf(entryAt(page, 0));
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

/** The entry at a position, from the end where it is negative; undefined where there is none. */
function entryAt({ entries }: RawPage, position: number): unknown {
  const index = position < 0 ? entries.length + position : position;
  return index < 0 || index >= entries.length ? undefined : entries.raw(index).value;
}

/** The first time in a page that can be read; null where none can. */
function firstTime(page: RawPage): Ms | null {
  for (let at = 0; at < page.entries.length; at += 1) {
    const ms = timeOf(entryAt(page, at));
    if (ms !== null) return ms;
  }
  return null;
}

/** The last one, and how many logs stand behind it. */
function lastTime(page: RawPage): { readonly ms: Ms; readonly behind: number } | null {
  for (let behind = 0; behind < page.entries.length; behind += 1) {
    const ms = timeOf(entryAt(page, -1 - behind));
    if (ms !== null) return { ms, behind };
  }
  return null;
}

function idOf(entry: unknown): string | null {
  const id = (entry as { id?: unknown } | null | undefined)?.id;
  return typeof id === 'string' ? id : null;
}

/** Event time by the id, by which the API sorts; by the reported timestamp where the id does not decode. */
function timeOf(entry: unknown): Ms | null {
  const id = idOf(entry);
  const decoded = id === null ? null : decodeId(id);
  if (decoded !== null) return decoded.eventMs;
  const { content, attributes } = (entry ?? {}) as { content?: unknown; attributes?: unknown };
  const { timestamp } = (content ?? attributes ?? {}) as { timestamp?: unknown };
  const ms = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** Logs of the very last ms may go on with the next page, so it is not claimed. */
function within(window: Span, lastMs: Ms | null): Ms | null {
  return lastMs !== null && lastMs >= window.from && lastMs <= window.to ? lastMs : null;
}
