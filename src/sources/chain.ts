import { hash } from 'node:crypto';
import { isFailure, LogkeepError } from '../errors.ts';
import type { Cursor, Ms } from '../model.ts';
import type { Entries } from './entries.ts';

/** What one complete answer holds, before its entries become rows. */
export interface RawPage {
  readonly entries: Entries;
  /** Where the next page begins; null when the chain has ended. */
  readonly next: Cursor | null;
  readonly dateMs: Ms | null;
  /** Length of the decoded body. */
  readonly bytes: number;
}

/** How one API pages; the rules that hold for all of them are in `readChain`. */
export interface ChainOptions<Page extends RawPage> {
  /** The stream, as messages name it. */
  readonly label: string;
  /** Resume here; null: from the start of the window. */
  readonly cursor: Cursor | null;
  /** Entries to ask for where nothing stands against it. */
  readonly size: number;
  readonly maxBodyBytes: number;
  /** The smallest size worth trying after a query time-out; null where the API knows none. */
  readonly timeoutFloor: number | null;
  /**
   * Whether an empty end in answer to a cursor of this age is the end (Infinity: resumed, its age is not known).
   * An API that has forgotten a cursor may answer just so; believing it would claim what was not read.
   */
  readonly believesEnd: (ageMs: number) => boolean | Promise<boolean>;
  readonly now: () => Ms;
  /** One request; throws `oversize` where the answer exceeds the body cap. */
  readonly fetch: (cursor: Cursor | null, size: number) => Promise<Page>;
  /** Event time of the single entry after `cursor` that alone exceeds the cap. */
  readonly locate: (cursor: Cursor | null) => Promise<Ms>;
}

/**
 * The pages of one chain, until it ends. A cursor that repeats is an error (`protocol`), an empty page with a
 * cursor is not. A page beyond the body cap, or a query time-out, is asked for again in smaller parts.
 */
export async function* readChain<Page extends RawPage>(o: ChainOptions<Page>): AsyncGenerator<Page, void> {
  const seen = createMemory();
  let cursor = o.cursor;
  let cursorAt: Ms = Number.NEGATIVE_INFINITY;
  let size = o.size;
  // What time-outs allow; doubles with each page that came in time.
  let ceiling = o.size;
  let pages = 0;
  if (cursor !== null) seen.add(cursor);
  for (;;) {
    let page: Page;
    try {
      page = await o.fetch(cursor, size);
    } catch (error) {
      if (isFailure(error, 'oversize')) {
        if (size === 1) throw oversize(o, await o.locate(cursor), error);
        size = Math.max(1, Math.floor(size / 2));
      } else if (isFailure(error, 'timeout') && o.timeoutFloor !== null && size > o.timeoutFloor) {
        size = Math.max(o.timeoutFloor, Math.floor(size / 2));
        ceiling = size;
      } else throw error;
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
      size = Math.min(ceiling, fitting(o, page));
    }
    yield page;
    if (cursor === null) return;
  }
}

/** Full size again, unless entries as long as the last ones would exceed the cap again. */
function fitting(o: ChainOptions<RawPage>, page: RawPage): number {
  if (page.entries.length === 0) return o.size;
  const each = page.bytes / page.entries.length;
  return Math.max(1, Math.min(o.size, Math.floor((o.maxBodyBytes * 0.8) / each)));
}

function lost(o: ChainOptions<RawPage>, pages: number, why: string): LogkeepError {
  return new LogkeepError('cursor', `${o.label}: page ${pages}: ${why}: the cursor is lost`);
}

function oversize(o: ChainOptions<RawPage>, atMs: Ms, cause: unknown): LogkeepError {
  return new LogkeepError(
    'oversize',
    `${o.label}: the entry of ${new Date(atMs).toISOString()} is longer than max_body (${o.maxBodyBytes} bytes)`,
    { atMs, cause },
  );
}

const REMEMBERED = 50_000;

/** Remembers hashes of the last 50,000 cursors or more; a longer loop still meets itself in the next 50,000. */
function createMemory(): { add(cursor: string): boolean } {
  const seen = new Set<string>();
  return {
    add(cursor) {
      const short = hash('sha256', cursor, 'base64').slice(0, 16);
      if (seen.has(short)) return false;
      if (seen.size >= REMEMBERED) seen.clear();
      seen.add(short);
      return true;
    },
  };
}
