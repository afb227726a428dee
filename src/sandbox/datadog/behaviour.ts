/** How the Datadog stand-in behaves. What is not known of the live service is a switch here. */
export interface DatadogBehaviour {
  /** Logs older than this are gone; default 15 days. */
  readonly retentionMs: number;
  /** Most logs of a page; default 1000. */
  readonly maxLimit: number;
  /** Logs of a page when no limit is asked for; 10 was recorded. */
  readonly defaultLimit: number;
  /** A limit above the most is answered 400 (default) or cut. */
  readonly overMax: 'error' | 'clamp';
  /**
   * Requests per calendar-aligned window, v1 and v2 together; `others` of them are used up by tools that we do
   * not see. Null for no limit and no headers. Default 300 per 3600 s.
   */
  readonly quota: { readonly limit: number; readonly periodS: number; readonly others?: number } | null;
  /** Whether a log at exactly `to` is shown; default true. */
  readonly toInclusive: boolean;
  /** How long after its intake a log becomes visible; default 5000 to 47000 ms. */
  readonly lateness: { readonly minMs: number; readonly maxMs: number };
  /** Layout of the ids made here; default 3. */
  readonly idLayout: 0 | 1 | 2 | 3;
  /** The tie-break of logs of one ms: any order (default), as added, or the reverse. */
  readonly ties: 'random' | 'added' | 'reversed';
  /** How v1's `nextLogId` looks at the end; `null` was recorded. */
  readonly nextAtEnd: 'null' | 'absent' | 'empty';
  /** Whether v1's content has a `status`; default false. */
  readonly v1Status: boolean;
  /** A `startAt` whose id is no longer there: found by its position (default), ignored, or answered 400. */
  readonly lostStartAt: 'position' | 'start_over' | 'error';
  /** Whether v2 gives a cursor with the last page too, as was recorded; default true. */
  readonly v2CursorAtEnd: boolean;
  /** What a v2 cursor brings that is none. */
  readonly badCursor: 'error' | 'start_over' | 'empty';
  /** v2's `meta`: the page alone as in old recordings, or with status, elapsed and request_id (default). */
  readonly v2Meta: 'page' | 'full';
  /** Indexes of rehydrated logs: searched only when named. */
  readonly historicalIndexes: readonly string[];
  /** `X-RateLimit-Name`; null for none. */
  readonly quotaName: string | null;
  /** Origin of `links.next`; null (default) for the sandbox's own. */
  readonly linksOrigin: string | null;
  /** Order of the parameters of `links.next`: by name, or as in recordings of 2021. */
  readonly linksOrder: 'name' | '2021';
}

/** As recorded from the live service, as far as that is known. */
export const DATADOG_DEFAULTS: DatadogBehaviour = {
  retentionMs: 15 * 86_400_000,
  maxLimit: 1000,
  defaultLimit: 10,
  overMax: 'error',
  quota: { limit: 300, periodS: 3600 },
  toInclusive: true,
  lateness: { minMs: 5000, maxMs: 47_000 },
  idLayout: 3,
  ties: 'random',
  nextAtEnd: 'null',
  v1Status: false,
  lostStartAt: 'position',
  v2CursorAtEnd: true,
  badCursor: 'error',
  v2Meta: 'full',
  historicalIndexes: [],
  quotaName: 'logs_public_search_api',
  linksOrigin: null,
  linksOrder: 'name',
};
