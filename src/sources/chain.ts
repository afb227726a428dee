import { MINUTE_MS } from '../clock.ts';
import { EARLIEST_MS } from '../durations.ts';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Cursor, Ms, Span } from '../model.ts';
import { createCursorMemory } from './cursor-memory.ts';
import type { Entries } from './entries.ts';
import { isSlow } from './exchange.ts';

/** What one complete answer holds, before its entries become rows. */
export interface RawPage {
  readonly entries: Entries;
  /** Where the next page begins; null when the chain has ended. */
  readonly next: Cursor | null;
  readonly dateMs: Ms | null;
  /** Length of the decoded body. */
  readonly bytes: number;
}

/** What any walk from page to page needs. */
export interface WalkOptions<Page extends RawPage> {
  /** The stream, as messages name it. */
  readonly label: string;
  /** Entries to ask for where nothing stands against it. */
  readonly size: number;
  readonly maxBodyBytes: number;
  readonly now: () => Ms;
  /** One request; throws `oversize` where the answer exceeds the body cap. */
  readonly fetch: (cursor: Cursor | null, size: number) => Promise<Page>;
}

/** How one API pages; the rules that hold for all of them are in `readChain`. */
export interface ChainOptions<Page extends RawPage> extends WalkOptions<Page> {
  /** Resume here; null: from the start of the window. */
  readonly cursor: Cursor | null;
  /** The smallest size worth trying after a query time-out; null where the API knows none. */
  readonly timeoutFloor: number | null;
  /**
   * Whether an empty end in answer to a cursor of this age is the end (Infinity: resumed, its age is not known).
   * An API that has forgotten a cursor may answer just so; believing it would claim what was not read.
   */
  readonly believesEnd: (ageMs: number) => boolean | Promise<boolean>;
  /** A request that finds nothing: where even its answer exceeds the cap, no entry is to blame. */
  readonly nothing: () => Promise<RawPage>;
  /** Event time of the single entry after `cursor` that alone exceeds the cap; `cursor` (lost) where it cannot be told. */
  readonly locate: (cursor: Cursor | null) => Promise<Ms>;
  /** What the API shows of that millisecond by other ways than this chain, which ends at the entry. */
  readonly around: (atMs: Ms) => AsyncIterable<Page>;
}

/** A span in which no entry stands: before all that any plan or index keeps. */
export const EMPTY_SPAN: Span = { from: EARLIEST_MS, to: EARLIEST_MS + 1_000 };

/** Stands for a cursor where a page has none and yet does not end the chain: it is resumed from its start. No API says it. */
const AT_START = '' as Cursor;

/** Where a walk ended before its end: at an entry that alone exceeds the cap. */
interface Stuck {
  readonly cursor: Cursor | null;
  readonly pages: number;
  readonly error: LogkeepError;
}

/**
 * The pages of one chain, until it ends. A cursor that repeats is an error (`protocol`), an empty page with a
 * cursor is not. A page beyond the body cap, or one that takes too long, is asked for again in smaller parts; a single
 * entry beyond the cap ends the chain as `oversize`, once all that can be had of its millisecond was given.
 */
export async function* readChain<Page extends RawPage>(o: ChainOptions<Page>): AsyncGenerator<Page, void> {
  const stuck = yield* walk(o, o.size);
  if (stuck === null) return;
  if (stuck.pages === 0 && (await exceedsCap(o.nothing()))) {
    throw new LogkeepError(
      'protocol',
      `${o.label}: even an answer that should hold no entry is longer than max_body (${o.maxBodyBytes} bytes): expected an empty page`,
    );
  }
  const atMs = await o.locate(stuck.cursor);
  for await (const page of o.around(atMs)) yield { ...page, next: stuck.cursor ?? AT_START };
  throw oversize(o, atMs, stuck.error);
}

/**
 * The pages of a span, up to an entry that alone exceeds the cap; returns whether there was one. Asks for `begin`
 * entries, and for twice as many with each page that came: where there is one, it is often the first.
 */
export async function* readUpToTooLong(o: WalkOptions<RawPage>, begin = 1): AsyncGenerator<RawPage, boolean> {
  const end = { cursor: null, timeoutFloor: null, believesEnd: () => true };
  return (yield* walk({ ...o, ...end }, begin)) !== null;
}

type Walk<Page extends RawPage> = Omit<ChainOptions<Page>, 'nothing' | 'locate' | 'around'>;

/** `begin`: entries to ask for at first. Returns null at the chain's end. */
async function* walk<Page extends RawPage>(o: Walk<Page>, begin: number): AsyncGenerator<Page, Stuck | null> {
  const seen = createCursorMemory();
  let cursor = o.cursor === AT_START ? null : o.cursor;
  let cursorAt: Ms = Number.NEGATIVE_INFINITY;
  let size = begin;
  // What time-outs allow; doubles with each page that came in time.
  let ceiling = begin;
  // So many of the next entries are together longer than the cap, and what was given of them does not explain it.
  let suspects = Number.POSITIVE_INFINITY;
  let pages = 0;
  if (cursor !== null) seen.add(cursor);
  for (;;) {
    let page: Page;
    try {
      page = await o.fetch(cursor, size);
    } catch (error) {
      if (isFailure(error, 'oversize')) {
        if (size === 1) return { cursor, pages, error };
        suspects = Math.min(suspects, size);
        size = Math.floor(size / 2);
        continue;
      }
      const floor = isFailure(error, 'timeout') ? o.timeoutFloor : isSlow(error) ? 1 : null;
      if (floor === null || size <= floor) throw error;
      size = Math.max(floor, Math.floor(size / 2));
      ceiling = size;
      continue;
    }
    pages += 1;
    const now = o.now();
    if (cursor !== null && page.entries.length === 0 && page.next === null) {
      if (!(await o.believesEnd(now - cursorAt))) {
        throw lost(o, pages, 'an old cursor was answered with an empty end');
      }
    }
    if (page.next !== null && !seen.add(page.next)) {
      // Walking into the place where the read was resumed: the API had forgotten it and started over.
      if (page.next === o.cursor) throw lost(o, pages, 'the chain leads back to the cursor it began with');
      throw new LogkeepError(
        'protocol',
        `${o.label}: page ${pages}: the cursor of the next page repeats an earlier one, the chain would not end`,
      );
    }
    cursor = page.next;
    cursorAt = now;
    if (size < o.size) {
      ceiling = Math.min(o.size, ceiling * 2);
      suspects = stillSuspect(o, page, suspects);
      size = Math.min(ceiling, fitting(o, page), Math.ceil(suspects / 2));
    }
    yield page;
    if (cursor === null) return null;
  }
}

/** How far away the entry is looked for at first. */
const STEP_MS = 1_000;

/**
 * The least distance at which an entry that is too long comes into sight, in ms; `mostMs`, unproven, where it comes at
 * no other. As a rule it is near, and where nothing was given before it (`isFirst`) often at once, as several come in a
 * row: so it is twice as far with each request, then halves of what is left.
 */
export async function distanceOf(
  isInSight: (distanceMs: Ms) => Promise<boolean>,
  mostMs: Ms,
  isFirst: boolean,
): Promise<Ms> {
  let low = 0;
  let high = Math.min(isFirst ? 0 : STEP_MS, mostMs);
  while (high < mostMs && !(await isInSight(high))) {
    low = high + 1;
    high = Math.min(Math.max(STEP_MS, 2 * high), mostMs);
  }
  while (low < high) {
    const middle = low + Math.floor((high - low) / 2);
    if (await isInSight(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Whether a request fails because an entry is longer than the body cap. */
export async function exceedsCap(request: Promise<unknown>): Promise<boolean> {
  try {
    await request;
    return false;
  } catch (error) {
    if (isFailure(error, 'oversize')) return true;
    throw error;
  }
}

/** What `page` gives for the last minute, or for a span without entries where even one entry of it exceeds the cap. */
export async function recentPage(now: Ms, page: (span: Span) => Promise<RawPage>): Promise<RawPage> {
  const recent = page({ from: now - MINUTE_MS, to: now });
  return (await exceedsCap(recent)) ? page(EMPTY_SPAN) : recent;
}

/** Full size again, unless entries as long as the last ones would exceed the cap again. */
function fitting(o: Walk<RawPage>, page: RawPage): number {
  if (page.entries.length === 0) return o.size;
  const each = page.bytes / page.entries.length;
  return Math.max(1, Math.min(o.size, Math.floor((o.maxBodyBytes * 0.8) / each)));
}

/**
 * How many of the entries behind `page` hold what is too long. Infinity: any number, since all suspects were given, or
 * are so long on average that together they had to exceed the cap. Else halving finds the one in log2 requests.
 */
function stillSuspect(o: Walk<RawPage>, page: RawPage, suspects: number): number {
  const { length } = page.entries;
  if (length === 0) return suspects;
  const explained = (page.bytes / length) * suspects > o.maxBodyBytes;
  return explained || length >= suspects ? Number.POSITIVE_INFINITY : suspects - length;
}

function lost(o: Walk<RawPage>, pages: number, why: string): LogkeepError {
  return new LogkeepError('cursor', `${o.label}: page ${pages}: ${why}: the cursor is lost`);
}

function oversize(o: ChainOptions<RawPage>, atMs: Ms, cause: unknown): LogkeepError {
  return new LogkeepError(
    'oversize',
    `${o.label}: the entry of ${new Date(atMs).toISOString()} is longer than max_body (${o.maxBodyBytes} bytes)`,
    { atMs, cause },
  );
}
