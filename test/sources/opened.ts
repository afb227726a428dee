import type { Clock } from '../../src/clock.ts';
import type { Cursor, Span, StreamId } from '../../src/model.ts';
import { createRedactor } from '../../src/redact.ts';
import { createHttp, type Http } from '../../src/sources/http.ts';
import {
  isRow,
  type Page,
  type ReadOptions,
  type Row,
  type Source,
  type Stream,
  type StreamSettings,
} from '../../src/sources/source.ts';
import { type Kept, keep } from './entries.ts';
import { turn } from './stand.ts';

/** A page whose entries are made. */
export type KeptPage = Page & Kept;

/** A source's stream, opened with its own settings and quick time-outs. */
export function openStream(
  source: Source,
  own: Record<string, unknown>,
  clock: Clock,
  changes: Partial<StreamSettings> = {},
): { stream: Stream; http: Http } {
  const http = createHttp({ clock });
  const stream = source.open(
    {
      id: `${source.name}.main` as StreamId,
      source: source.name,
      since: { agoMs: 86_400_000 },
      retentionMs: 86_400_000,
      settleMs: 30_000,
      overlapMs: 900_000,
      overlapAuto: false,
      sweepAfterMs: 21_600_000,
      sweepSchedule: '17 */6 * * *',
      schedule: '* * * * *',
      pageSize: Number(source.defaults.page_size),
      concurrency: 2,
      spacingMs: 0,
      reserve: 0,
      timeoutMs: 500,
      retryMs: 2_000,
      maxBodyBytes: 16_000_000,
      own: source.settings.parse(own),
      ...changes,
    },
    { clock, redactor: createRedactor(Buffer.alloc(32, 1)), http },
  );
  return { stream, http };
}

/** All pages of one window. */
export async function readAll(
  stream: Stream,
  window: Span,
  options: Partial<ReadOptions> = {},
): Promise<readonly KeptPage[]> {
  const pages: KeptPage[] = [];
  for await (const page of stream.read({ window, cursor: null, ...turn(), ...options }))
    pages.push({ ...keep(page.entries), ...page });
  return pages;
}

/**
 * The rows of a window however often the cursor is lost or the chain breaks, as a reader does that keeps what it
 * was given: from the last cursor while it holds, else from the start. Gives up after 60 attempts.
 */
export async function readStubbornly(stream: Stream, window: Span): Promise<ReadonlyMap<string, Row>> {
  const rows = new Map<string, Row>();
  let cursor: Cursor | null = null;
  let troubles: unknown[] = [];
  for (let attempt = 0; attempt < 60; attempt++) {
    try {
      for await (const page of stream.read({ window, cursor, ...turn() })) {
        for (const made of page.entries) if (isRow(made)) rows.set(made.key, made);
        cursor = page.next;
      }
      return rows;
    } catch (error) {
      const { kind } = error as { kind?: string };
      if (kind !== 'cursor' && kind !== 'protocol' && kind !== 'timeout') throw error;
      if (kind !== 'timeout') cursor = null;
      troubles = [...troubles, error];
    }
  }
  throw new AggregateError(troubles, 'the window was not read in 60 attempts');
}
