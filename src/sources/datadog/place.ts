import type { Ms } from '../../model.ts';
import type { RawPage } from '../chain.ts';
import { decodeId } from './id.ts';

/** The log at a position of a page, from the end where it is negative; undefined where there is none. */
export function logAt({ entries }: RawPage, position: number): unknown {
  const index = position < 0 ? entries.length + position : position;
  return index < 0 || index >= entries.length ? undefined : entries.raw(index).value;
}

/** A log's raw id; null where it has none. */
export function idOf(log: unknown): string | null {
  const id = (log as { id?: unknown } | null | undefined)?.id;
  return typeof id === 'string' ? id : null;
}

/** Event time by the id, by which the API sorts; by the reported timestamp where the id does not decode. */
export function timeOf(log: unknown): Ms | null {
  const id = idOf(log);
  const decoded = id === null ? null : decodeId(id);
  if (decoded !== null) return decoded.eventMs;
  const { content, attributes } = (log ?? {}) as { content?: unknown; attributes?: unknown };
  const { timestamp } = (content ?? attributes ?? {}) as { timestamp?: unknown };
  const ms = typeof timestamp === 'string' ? Date.parse(timestamp) : Number.NaN;
  return Number.isNaN(ms) ? null : ms;
}

/** Whether two ids name one log: the rest of an id may change when storage is compacted. */
export function isSameLog(one: string, other: string): boolean {
  const [a, b] = [decodeId(one), decodeId(other)];
  return a === null || b === null ? one === other : a.eventMs === b.eventMs && a.innerId === b.innerId;
}

/** The first time in a page that can be read; null where none can. */
export function firstTime(page: RawPage): Ms | null {
  for (let at = 0; at < page.entries.length; at += 1) {
    const ms = timeOf(logAt(page, at));
    if (ms !== null) return ms;
  }
  return null;
}

/** The last one, how many logs stand behind it, and its log's id: null where others stand there, or it has none. */
export function lastTime(
  page: RawPage,
): { readonly ms: Ms; readonly behind: number; readonly id: string | null } | null {
  for (let behind = 0; behind < page.entries.length; behind += 1) {
    const log = logAt(page, -1 - behind);
    const ms = timeOf(log);
    if (ms !== null) return { ms, behind, id: behind === 0 ? idOf(log) : null };
  }
  return null;
}
