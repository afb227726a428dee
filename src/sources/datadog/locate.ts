import { isFailure, LogkeepError } from '../../errors.ts';
import type { Cursor, Ms, Span } from '../../model.ts';
import { distanceOf, type RawPage, readUpToTooLong } from '../chain.ts';
import type { ReadOptions } from '../source.ts';
import { decodeId } from './id.ts';
import { idOf, isSameLog, logAt, timeOf } from './place.ts';
import { type DatadogAccess, requestPage } from './request.ts';
import type { Ask } from './transport.ts';

/** The log that was given last; null where that is not known. */
export interface LastGiven {
  readonly ms: Ms | null;
  readonly id: string | null;
}

/**
 * Event time of the log after `cursor` that alone is longer than the cap. v1's cursor tells it; else it is found by
 * asking for one log of windows that begin behind `last`. Whether `to` belongs to a window is not known: a window
 * from a ms to the same ms tells, since it shows something only where it does.
 */
export async function locate(
  access: DatadogAccess,
  o: ReadOptions,
  cursor: Cursor | null,
  last: LastGiven,
): Promise<Ms> {
  const { transport } = access;
  const asked = cursor === null ? null : transport.place(cursor);
  const place = asked === null ? null : decodeId(asked);
  if (place !== null && transport.inclusive) return place.eventMs;
  const given = place?.eventMs ?? last.ms;
  if (cursor !== null && given === null) {
    throw lost(access, 'the log after a resumed cursor is too long, and where it stands is not known');
  }
  const lastId = transport.inclusive ? last.id : (asked ?? last.id);
  if (given !== null && (await goesOn(access, o, given, lastId))) return given;
  const from = given === null ? o.window.from : given + 1;
  const isTooLong = (found: unknown) => {
    // The log that is too long was the next one: any other came since, or stands behind it, and would be passed over.
    if (found === undefined || found === TOO_LONG) return found === TOO_LONG;
    throw lost(access, 'the log that is too long is not the next one any more');
  };
  const distance = await distanceOf(
    async (ms) => isTooLong(await firstOf(access, o, from, from + ms)),
    Math.max(0, o.window.to - from),
    given === null,
  );
  const to = from + distance;
  // Where `to` is exclusive, the log stands one ms before the first window that shows it.
  return distance === 0 || isTooLong(await firstOf(access, o, to, to)) ? to : to - 1;
}

/** Whether `to` belongs to a window, as far as a log that stands there tells. */
export async function holdsEnd(access: DatadogAccess, o: ReadOptions): Promise<boolean> {
  return (await firstOf(access, o, o.window.to, o.window.to)) !== undefined;
}

/** Whether a span holds more than so many logs, or one that is longer than the cap. */
export async function holdsMore(
  access: DatadogAccess,
  o: ReadOptions,
  span: Span,
  most: number,
): Promise<boolean> {
  let given = 0;
  const pages = walkUpToTooLong(access, o, span, 'ascending', most + 1, most + 1);
  for (;;) {
    const { done, value } = await pages.next();
    if (done === true) return value;
    given += value.entries.length;
    if (given > most) return true;
  }
}

/**
 * The logs of a ms from its other end, down to one that is longer than the cap: what stands behind it is out of the
 * chain's reach. Throws `cursor` where the ms holds none that long.
 */
export async function* readFromBehind(
  access: DatadogAccess,
  o: ReadOptions,
  atMs: Ms,
): AsyncGenerator<RawPage, void> {
  if (yield* readDownToTooLong(access, o, atMs)) return;
  throw lost(access, `no log of ${new Date(atMs).toISOString()} is too long, though one was found there`);
}

/** As `readFromBehind`, but returns whether the ms holds a log that long. */
async function* readDownToTooLong(
  access: DatadogAccess,
  o: ReadOptions,
  atMs: Ms,
): AsyncGenerator<RawPage, boolean> {
  for (const to of [atMs, atMs + 1]) {
    let given = 0;
    try {
      const pages = walkUpToTooLong(access, o, { from: atMs, to }, 'descending', access.pageSize);
      for (;;) {
        const { done, value } = await pages.next();
        if (done === true && value) return true;
        if (done === true) break;
        given += value.entries.length;
        yield value;
      }
    } catch (error) {
      if (to > atMs || !isFailure(error, 'request')) throw error;
    }
    // Where it shows anything, `to` belongs to the window, and the longer one would show the next ms.
    if (given > 0) return false;
  }
  return false;
}

/** Whether the ms of the log that was given last has others behind it. */
async function goesOn(
  access: DatadogAccess,
  o: ReadOptions,
  ms: Ms,
  lastId: string | null,
): Promise<boolean> {
  const newest =
    (await firstOf(access, o, ms, ms, 'descending')) ?? (await firstOf(access, o, ms, ms + 1, 'descending'));
  if (newest === undefined || newest === TOO_LONG) return newest === TOO_LONG;
  const id = idOf(newest);
  if (id !== null && lastId !== null && timeOf(newest) === ms) return !isSameLog(id, lastId);
  // Logs without ids are not told apart: only the whole ms says whether one of it is too long.
  const pages = readDownToTooLong(access, o, ms);
  for (;;) {
    const { done, value } = await pages.next();
    if (done === true) return value;
  }
}

const TOO_LONG = Symbol('too long');

/** The first log between two times in that order; undefined: there is none. */
async function firstOf(
  access: DatadogAccess,
  o: ReadOptions,
  from: Ms,
  to: Ms,
  order: Ask['order'] = 'ascending',
): Promise<unknown> {
  // Page by page, since an empty one with a cursor is not the end.
  const pages = walkUpToTooLong(access, o, { from, to }, order, 1);
  try {
    for (;;) {
      const { done, value } = await pages.next();
      if (done === true) return value ? TOO_LONG : undefined;
      const log = logAt(value, 0);
      if (log !== undefined) return log;
    }
  } catch (error) {
    // An API that refuses a window of no length shows nothing by it: at worst the ms before is given up as well.
    if (from === to && isFailure(error, 'request')) return undefined;
    throw error;
  }
}

/**
 * The logs of a span in that order, `begin` and then up to `size` a page, up to one that is longer than the cap; returns
 * whether there was one.
 */
function walkUpToTooLong(
  access: DatadogAccess,
  o: ReadOptions,
  span: Span,
  order: Ask['order'],
  size: number,
  begin = 1,
): AsyncGenerator<RawPage, boolean> {
  const walk = {
    label: access.api.label,
    size,
    maxBodyBytes: access.api.maxBodyBytes,
    now: () => access.http.clock.now(),
    fetch: (cursor: Cursor | null, limit: number) => requestPage(access, o, span, cursor, limit, order),
  };
  return readUpToTooLong(walk, begin);
}

function lost(access: DatadogAccess, why: string): LogkeepError {
  return new LogkeepError('cursor', `${access.api.label}: ${why}: the cursor is lost`);
}
