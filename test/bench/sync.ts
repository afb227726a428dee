import { keepMemoryLow } from '../../src/memory.ts';
import type { Span } from '../../src/model.ts';
import type { Effort } from './effort.ts';
import type { SourceName } from './pages.ts';

/** One sync, as the command does it. */
export interface SyncTask {
  readonly source: SourceName;
  readonly api: string;
  readonly database: string;
  readonly span: Span;
  /** Read all of it again, although it is covered. */
  readonly again: boolean;
  /** Note the peak of memory when so many entries are stored. */
  readonly noteAt?: number;
}

/** What came of it; times in ms, sizes in bytes. */
export interface Synced extends Effort {
  readonly fetched: number;
  readonly fresh: number;
  readonly known: number;
  readonly quarantined: number;
  readonly requests: number;
  /** The peak by `noteAt`; null where that was not asked for, or not reached. */
  readonly notedRssBytes: number | null;
}

// As `main.ts` does it: before anything else is loaded, on which V8's first sizes depend.
keepMemoryLow();
await import('./sync-work.ts');
