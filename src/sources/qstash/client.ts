import type { IncomingHttpHeaders } from 'node:http';
import { LogkeepError } from '../../errors.ts';
import type { Cursor, Ms, Span } from '../../model.ts';
import { nameTable } from '../../tape/names.ts';
import { endMember, firstMember, isOdd, KIND, kindOf, memberInteger, memberText } from '../../tape/tape.ts';
import { EMPTY_SPAN, type RawPage, readChain, readUpToTooLong } from '../chain.ts';
import { type Entries, readEntries } from '../entries.ts';
import type { Api, HttpAnswer } from '../exchange.ts';
import { greatestOf, leastOf, remainingOf } from '../headers.ts';
import type { Http } from '../http.ts';
import type { Allowance } from '../ration.ts';
import type { ReadOptions, RequestOptions } from '../source.ts';
import { locate, readOtherStates, type SpanReader } from './locate.ts';

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
  const walk = {
    label: access.api.label,
    size: access.pageSize,
    maxBodyBytes: access.api.maxBodyBytes,
    now: () => access.http.clock.now(),
  };
  const span: SpanReader = {
    label: access.api.label,
    upToTooLong: (window, state) => {
      const own = state === null ? access : withState(access, state);
      return readUpToTooLong({
        ...walk,
        fetch: (cursor, size) => requestPage(own, o, window, cursor, size),
      });
    },
  };
  return readChain<RawPage>({
    ...walk,
    cursor: o.cursor,
    timeoutFloor: null,
    // Nothing is known of a cursor's expiry, so one request more looks for entries that should have come.
    believesEnd: async (ageMs) => {
      if (ageMs === Number.POSITIVE_INFINITY) return false;
      const to = oldestMs === null ? o.window.to : Math.min(oldestMs + 1, o.window.to);
      // More than a page may share that time, so it is walked to its end; an entry without a time tells nothing.
      const fetch = (cursor: Cursor | null, size: number) =>
        requestPage(access, o, { from: o.window.from, to }, cursor, size);
      const rest = readUpToTooLong({ ...walk, fetch }, access.pageSize);
      for (;;) {
        const { done, value } = await rest.next();
        // An entry that is too long was not given either.
        if (done === true) return !value;
        const times = timesOf(value.entries, o.window);
        if (times.some((time, index) => time >= 0 && !given.has(stamp(value.entries, index)))) return false;
      }
    },
    fetch: async (cursor, size) => {
      const page = await requestPage(access, o, o.window, cursor, size);
      const times = timesOf(page.entries, o.window);
      const before = oldestMs;
      for (const time of times) if (time >= 0 && (oldestMs === null || time < oldestMs)) oldestMs = time;
      if (oldestMs !== before) given = new Set();
      // Only what shares the oldest time is ever compared.
      for (let index = 0; index < times.length; index += 1)
        if (oldestMs !== null && times[index] === oldestMs) given.add(stamp(page.entries, index));
      return page;
    },
    nothing: () => requestPage(access, o, EMPTY_SPAN, null, 1),
    locate: (cursor) => {
      if (cursor === null || oldestMs !== null) return locate(span, o.window, oldestMs);
      throw new LogkeepError(
        'cursor',
        `${access.api.label}: the entry after a resumed cursor is too long, and where it stands is not known: the cursor is lost`,
      );
    },
    around: (atMs) => readOtherStates(span, stateOf(access), { from: atMs, to: atMs + 1 }),
  });
}

/** The state that the stream is filtered by; null: by none. */
function stateOf({ filters }: QstashAccess): string | null {
  return filters.find(([name]) => name === 'state')?.[1] ?? null;
}

function withState(access: QstashAccess, state: string): QstashAccess {
  const others = access.filters.filter(([name]) => name !== 'state');
  return { ...access, filters: [...others, ['state', state]] };
}

/** One request for up to `count` entries of the window. */
export function requestPage(
  access: QstashAccess,
  turn: RequestOptions,
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
      ...turn,
      method: 'GET',
      url,
      headers: { authorization: `Bearer ${access.token}` },
      hasCursor: cursor !== null,
      divisible: count > 1,
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

/** The entries' times; -1 where one has none, or none that the window could hold. */
function timesOf(entries: Entries, window: Span): Float64Array {
  const times = new Float64Array(entries.length).fill(-1);
  for (let index = 0; index < times.length; index += 1) {
    const time = timeOf(entries, index);
    if (typeof time === 'number' && time >= window.from && time < window.to) times[index] = time;
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

const LONGEST_RESET_MS = 60_000;

/** The per-second limit on reading logs. The daily `RateLimit-*` headers concern publishing and are not ours. */
export function qstashAllowance(
  headers: IncomingHttpHeaders,
  { now, dateMs, refused }: { readonly now: Ms; readonly dateMs: Ms | null; readonly refused: boolean },
): Allowance | null {
  const reset = greatestOf(headers['burst-ratelimit-reset']);
  const restMs = reset === null ? null : rest(reset, now, dateMs);
  const ends = restMs !== null && restMs <= LONGEST_RESET_MS;
  const remaining = remainingOf(headers['burst-ratelimit-remaining']) ?? (refused && ends ? 0 : null);
  if (remaining === null) return null;
  return {
    limit: leastOf(headers['burst-ratelimit-limit']),
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
