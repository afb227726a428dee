import type { IncomingHttpHeaders } from 'node:http';
import { isFailure, LogkeepError } from '../../errors.ts';
import type { Cursor, Ms, Span } from '../../model.ts';
import { nameTable } from '../../tape/names.ts';
import { endMember, firstMember, isOdd, KIND, kindOf, memberInteger, memberText } from '../../tape/tape.ts';
import { type RawPage, readChain } from '../chain.ts';
import { type Entries, readEntries } from '../entries.ts';
import type { Api, HttpAnswer } from '../exchange.ts';
import type { Http } from '../http.ts';
import type { Allowance } from '../ration.ts';
import type { ReadOptions } from '../source.ts';

/** One stream's access to `GET /v2/logs`. */
export interface QstashAccess {
  readonly http: Http;
  readonly api: Api;
  /** Address of the API, without a trailing slash. */
  readonly url: string;
  readonly token: string;
  /** Query parameters that every request of the stream carries. */
  readonly filters: readonly (readonly [name: string, value: string])[];
  /** Entries asked for per request. */
  readonly pageSize: number;
}

/** The pages of one window, newest first, until the chain ends. */
export function readPages(access: QstashAccess, o: ReadOptions): AsyncGenerator<RawPage, void> {
  // The oldest time given so far, and what was given of it: pages come newest first, but not strictly.
  let oldestMs: Ms | null = null;
  let given = new Set<string>();
  return readChain<RawPage>({
    label: access.api.label,
    cursor: o.cursor,
    size: access.pageSize,
    maxBodyBytes: access.api.maxBodyBytes,
    timeoutFloor: null,
    // Nothing is known of a cursor's expiry, so one request more looks for entries that should have come.
    believesEnd: async (ageMs) => {
      if (ageMs === Number.POSITIVE_INFINITY) return false;
      const to = oldestMs === null ? o.window.to : Math.min(oldestMs + 1, o.window.to);
      // More than a page may share that time, so it is walked to its end; an entry without a time tells nothing.
      let cursor: Cursor | null = null;
      do {
        const page: RawPage = await requestPage(
          access,
          o,
          { from: o.window.from, to },
          cursor,
          access.pageSize,
        );
        const times = timesOf(page.entries, o.window);
        if (times.some((time, index) => time !== null && !given.has(stamp(page.entries, index))))
          return false;
        if (page.next === cursor) return cursor === null;
        cursor = page.next;
      } while (cursor !== null);
      return true;
    },
    now: () => access.http.clock.now(),
    fetch: async (cursor, size) => {
      const page = await requestPage(access, o, o.window, cursor, size);
      const times = timesOf(page.entries, o.window);
      const before = oldestMs;
      for (const time of times) if (time !== null && (oldestMs === null || time < oldestMs)) oldestMs = time;
      if (oldestMs !== before) given = new Set();
      // Only what shares the oldest time is ever compared.
      for (let index = 0; index < times.length; index += 1)
        if (oldestMs !== null && times[index] === oldestMs) given.add(stamp(page.entries, index));
      return page;
    },
    locate: (cursor) => locate(access, o, cursor, oldestMs),
  });
}

/** One request for up to `count` entries of the window. */
export function requestPage(
  access: QstashAccess,
  o: Pick<ReadOptions, 'signal' | 'meter' | 'onWait' | 'priority'>,
  window: Span,
  cursor: Cursor | null,
  count: number,
): Promise<RawPage> {
  const url = new URL(`${access.url}/v2/logs`);
  url.searchParams.set('count', String(count));
  // Both ends are inclusive.
  url.searchParams.set('fromDate', String(window.from));
  url.searchParams.set('toDate', String(window.to - 1));
  for (const [name, value] of access.filters) url.searchParams.append(name, value);
  if (cursor !== null) url.searchParams.set('cursor', cursor);
  return access.http.request(
    access.api,
    {
      method: 'GET',
      url,
      headers: { authorization: `Bearer ${access.token}` },
      hasCursor: cursor !== null,
      signal: o.signal,
      meter: o.meter,
      ...(o.onWait === undefined ? {} : { onWait: o.onWait }),
      ...(o.priority === undefined ? {} : { priority: o.priority }),
    },
    readPage,
  );
}

/** The live service says `events`, its page `logs`. */
function readPage(answer: HttpAnswer): RawPage {
  const { envelope, entries } = readEntries(answer, ['events', 'logs'], null);
  if (entries === null) {
    const found = Object.keys(envelope).slice(0, 8).join(', ').slice(0, 100) || 'nothing';
    throw new LogkeepError(
      'protocol',
      `expected an array, \`events\` or \`logs\` but not both, found ${found}`,
    );
  }
  const cursor = envelope.cursor ?? '';
  if (typeof cursor !== 'string') {
    throw new LogkeepError('protocol', `\`cursor\` is a ${typeof cursor}: expected text`);
  }
  const next = cursor === '' ? null : (cursor as Cursor);
  return { entries, next, dateMs: answer.dateMs, bytes: answer.bytes };
}

/** Tells entries apart well enough to notice one that was not given. */
function stamp(entries: Entries, index: number): string {
  return JSON.stringify(quickStamp(entries, index) ?? exactStamp(entries, index));
}

function exactStamp(entries: Entries, index: number): unknown[] {
  const { messageId, state, time } = (entries.raw(index).value ?? {}) as Record<string, unknown>;
  return [messageId, state, time];
}

const STAMP = nameTable(['messageId', 'state', 'time']);

/** The same of a usual entry, from its bytes; null where it is not usual. */
function quickStamp({ tape }: Entries, index: number): unknown[] | null {
  if (tape === null || isOdd(tape, index)) return null;
  const found: unknown[] = [null, null, null];
  const end = endMember(tape, index);
  for (let member = firstMember(tape, index); member < end; member += 1) {
    const place = STAMP.find(tape, member);
    if (place < 0) continue;
    if (kindOf(tape, member) !== (place === 2 ? KIND.integer : KIND.text)) return null;
    found[place] = place === 2 ? memberInteger(tape, member) : memberText(tape, member);
  }
  return found;
}

const TIME = nameTable(['time']);

/** The entries' times; null where one has none, or none that the window could hold. */
function timesOf(entries: Entries, window: Span): (Ms | null)[] {
  const times: (Ms | null)[] = [];
  for (let index = 0; index < entries.length; index += 1) {
    const time = timeOf(entries, index);
    times.push(typeof time === 'number' && time >= window.from && time < window.to ? time : null);
  }
  return times;
}

function timeOf(entries: Entries, index: number): unknown {
  const { tape } = entries;
  if (tape !== null && !isOdd(tape, index)) {
    const end = endMember(tape, index);
    for (let member = firstMember(tape, index); member < end; member += 1) {
      if (TIME.find(tape, member) === 0 && kindOf(tape, member) === KIND.integer)
        return memberInteger(tape, member);
    }
  }
  return (entries.raw(index).value as { time?: unknown } | null)?.time;
}

/**
 * Event time of the newest entry not given yet, which alone is longer than the cap: found by asking for one
 * entry of ever smaller windows. What was given already ends at `oldestMs`, its ties included.
 */
async function locate(
  access: QstashAccess,
  o: ReadOptions,
  cursor: Cursor | null,
  oldestMs: Ms | null,
): Promise<Ms> {
  if (cursor !== null && oldestMs === null) {
    throw new LogkeepError(
      'cursor',
      `${access.api.label}: the entry after a resumed cursor is too long, and where it stands is not known: the cursor is lost`,
    );
  }
  const tooLong = async (from: Ms, last: Ms): Promise<boolean> => {
    try {
      await requestPage(access, o, { from, to: last + 1 }, null, 1);
      return false;
    } catch (error) {
      if (isFailure(error, 'oversize')) return true;
      throw error;
    }
  };
  const { from } = o.window;
  let last = oldestMs === null ? o.window.to - 1 : Math.min(oldestMs, o.window.to - 1);
  if (!(await tooLong(from, last))) {
    // An entry of that very ms stands before it: it is the next older one, or one more of that ms.
    if (last <= from || !(await tooLong(from, last - 1))) return last;
    last -= 1;
  }
  let low = from;
  let high = last;
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2);
    if (await tooLong(middle, last)) low = middle;
    else high = middle - 1;
  }
  return low;
}

const LONGEST_RESET_MS = 60_000;

/** The per-second limit on reading logs. The daily `RateLimit-*` headers concern publishing and are not ours. */
export function qstashAllowance(headers: IncomingHttpHeaders, now: Ms, dateMs: Ms | null): Allowance | null {
  const remaining = number(headers['burst-ratelimit-remaining']);
  if (remaining === null) return null;
  const reset = number(headers['burst-ratelimit-reset']);
  const restMs = reset === null ? null : rest(reset, now, dateMs);
  return {
    limit: number(headers['burst-ratelimit-limit']),
    remaining,
    resetInMs: restMs === null ? null : Math.min(restMs, LONGEST_RESET_MS),
    windowId: restMs === null || restMs > LONGEST_RESET_MS ? null : reset,
    periodMs: null,
  };
}

/** `reset` is a Unix time in s or ms; a small number can only be a rest in s. */
function rest(reset: number, now: Ms, dateMs: Ms | null): number {
  if (reset < 1e8) return reset * 1000;
  // The server's clock counts where ours is plainly wrong; its Date header knows only whole seconds.
  const serverNow = dateMs !== null && Math.abs(dateMs - now) > 2_000 ? dateMs : now;
  return Math.max(0, (reset > 1e11 ? reset : reset * 1000) - serverNow);
}

function number(value: string | string[] | undefined): number | null {
  const found = typeof value === 'string' && value.trim() !== '' ? Number(value) : Number.NaN;
  return Number.isFinite(found) && found >= 0 ? found : null;
}
