import { LogkeepError } from '../../errors.ts';
import type { Span } from '../../model.ts';
import { type Body, type Entries, readEntries } from '../entries.ts';
import { quote } from '../refusal.ts';
import { CONTAINER } from './fields.ts';

const UNKNOWN_INDEX = 'unknown_index';
const INDEX_REMEDY =
  'correct `index` of the stream: the API does not know an index that it names, or the key may not read it';

/** What a stream searches for. */
export interface Search {
  readonly query: string;
  /** Empty: all live indexes. */
  readonly indexes: readonly string[];
  /** v2 only; null: the indexes. */
  readonly storageTier: string | null;
}

/** Which page of which logs. */
export interface Ask {
  readonly window: Span;
  readonly cursor: string | null;
  readonly limit: number;
  readonly order: 'ascending' | 'descending';
}

/** What one answer holds: its entries in the order asked for, and the cursor of what follows. */
export interface Found {
  readonly entries: Entries;
  readonly next: string | null;
}

/** One of the two search endpoints. */
export interface Transport {
  readonly path: string;
  /** The request's body; all but limit and cursor must stay the same to the letter through a chain. */
  body(search: Search, ask: Ask): string;
  /** Throws `protocol` on an answer that is partial or unknown, `timeout` where the query was not finished. */
  read(answer: Body): Found;
  /** Id of the log at which the cursor stands; null where the cursor does not tell. */
  place(cursor: string): string | null;
  /** Whether the log at which the cursor stands comes again as the first of its page. */
  readonly inclusive: boolean;
}

/** `POST /api/v1/logs-queries/list`: the cursor is the id of the next page's first log. */
export const v1: Transport = {
  path: '/api/v1/logs-queries/list',
  inclusive: true,
  body: (search, { window, cursor, limit, order }) =>
    JSON.stringify({
      query: search.query,
      ...(search.indexes.length === 0 ? {} : { index: search.indexes.join(',') }),
      limit,
      sort: order === 'ascending' ? 'asc' : 'desc',
      ...(cursor === null ? {} : { startAt: cursor }),
      time: timeOf(window),
    }),
  read(answer) {
    const { envelope, entries } = readEntries(answer, ['logs'], CONTAINER.v1);
    if (entries === null) throw unknownEnvelope('logs', envelope);
    checkStatus(envelope.status ?? null);
    return { entries, next: cursorText(envelope.nextLogId, 'nextLogId') };
  },
  place: (cursor) => cursor,
};

/** `POST /api/v2/logs/events/search`: the cursor names the last log that was given, and comes on the last page too. */
export const v2: Transport = {
  path: '/api/v2/logs/events/search',
  inclusive: false,
  body: (search, { window, cursor, limit, order }) =>
    JSON.stringify({
      filter: {
        query: search.query,
        ...(search.indexes.length === 0 ? {} : { indexes: search.indexes }),
        ...(search.storageTier === null ? {} : { storage_tier: search.storageTier }),
        ...timeOf(window),
      },
      page: { limit, ...(cursor === null ? {} : { cursor }) },
      sort: order === 'ascending' ? 'timestamp' : '-timestamp',
    }),
  read(answer) {
    const { envelope, entries } = readEntries(answer, ['data'], CONTAINER.v2);
    if (entries === null) throw unknownEnvelope('data', envelope);
    const meta = member(envelope, 'meta');
    checkMeta(meta);
    // The end is an answer without a cursor, `{"data":[]}` as a rule.
    const page = objectOrNone(member(meta, 'page'), 'meta.page');
    return { entries, next: cursorText(member(page, 'after'), 'meta.page.after') };
  },
  place(cursor) {
    try {
      const after = member(JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')), 'after');
      return typeof after === 'string' ? after : null;
    } catch {
      return null;
    }
  },
};

function timeOf(window: Span): { readonly from: string; readonly to: string } {
  return { from: new Date(window.from).toISOString(), to: new Date(window.to).toISOString() };
}

/** Throws unless a v2 answer's `meta` lets it pass for whole: `timeout`, or `protocol` for anything else that is amiss. */
export function checkMeta(meta: unknown): void {
  // Older recordings have none; what is there must say that the query was finished.
  const status = member(objectOrNone(meta, 'meta'), 'status');
  if (status !== undefined) checkStatus(status);
  const warnings = member(meta, 'warnings') ?? [];
  if (!Array.isArray(warnings) || warnings.length > 0) {
    throw new LogkeepError(
      'protocol',
      `the answer is partial, it warns: "${quote(JSON.stringify(warnings))}"`,
      namesIndex(warnings) ? { remedy: INDEX_REMEDY } : {},
    );
  }
}

/** Whether an answer warns of an index that was not searched. */
function namesIndex(warnings: unknown): boolean {
  return Array.isArray(warnings) && warnings.some((warning) => member(warning, 'code') === UNKNOWN_INDEX);
}

function checkStatus(status: unknown): void {
  if (status === 'done') return;
  const said = quote(JSON.stringify(status));
  if (status === 'timeout') throw new LogkeepError('timeout', `the query's status is ${said}: expected done`);
  throw new LogkeepError(
    'protocol',
    `the answer is incomplete, the query's status is ${said}: expected done`,
  );
}

function cursorText(value: unknown, name: string): string | null {
  if (value === undefined || value === null || value === '') return null;
  if (typeof value === 'string') return value;
  throw new LogkeepError('protocol', `\`${name}\` is a ${typeof value}: expected text`);
}

/** What a missing object and null say is nothing; anything else that is no object may say what we cannot read. */
function objectOrNone(value: unknown, name: string): unknown {
  if (value === undefined || value === null) return null;
  if (typeof value === 'object' && !Array.isArray(value)) return value;
  throw new LogkeepError(
    'protocol',
    `\`${name}\` is ${Array.isArray(value) ? 'an array' : `a ${typeof value}`}: expected an object`,
  );
}

function unknownEnvelope(expected: string, envelope: Readonly<Record<string, unknown>>): LogkeepError {
  const found = quote(Object.keys(envelope).slice(0, 8).join(', ')) || 'nothing';
  return new LogkeepError('protocol', `expected an array \`${expected}\`, found ${found}`);
}

/** A member of a JSON object; undefined where there is no such member, or no object. */
export function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}
