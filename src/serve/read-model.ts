import type { Kysely } from 'kysely';
import { type ProcessStatus, readProcesses } from '../store/process.ts';
import type { Database } from '../store/schema.ts';
import { readStatus, type StreamStatus } from '../store/status.ts';

/** All that `why`, `/metrics` and the alerts speak from. */
export interface ReadModel {
  readonly streams: readonly StreamStatus[];
  readonly processes: readonly ProcessStatus[];
}

/** Reads the model. Throws `database`. */
export async function readModel(db: Kysely<Database>): Promise<ReadModel> {
  const [streams, processes] = await Promise.all([readStatus(db), readProcesses(db)]);
  return { streams, processes };
}

/**
 * `read`, asked at most once in `ttlMs` by `elapsed` (ms since any fixed moment), and never twice at a time. A
 * failure is not kept.
 */
export function cached<T>(
  read: () => Promise<T>,
  ttlMs: number,
  elapsed: () => number = () => performance.now(),
): () => Promise<T> {
  let kept: { readonly value: Promise<T>; at: number } | null = null;
  return () => {
    if (kept !== null && elapsed() - kept.at < ttlMs) return kept.value;
    const fresh = { value: read(), at: Number.POSITIVE_INFINITY };
    kept = fresh;
    // Until it has come it is fresh to all who ask.
    fresh.value.then(
      () => {
        fresh.at = elapsed();
      },
      () => {
        if (kept === fresh) kept = null;
      },
    );
    return fresh.value;
  };
}
