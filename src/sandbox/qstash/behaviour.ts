/** How the QStash stand-in behaves. What is not known of the live service is a switch here. */
export interface QstashBehaviour {
  /** Entries older than this are gone; default 3 days. */
  readonly retentionMs: number;
  /** The key of the entries: `events` was recorded (default), `logs` is documented. */
  readonly envelope: 'events' | 'logs';
  /** Most entries of a page; default 100. */
  readonly maxCount: number;
  /** A `count` above the most is cut to it (default) or answered 400. */
  readonly overMax: 'clamp' | 'error';
  /** Log reads per window; null for no limit and no headers. Default 100 per 1000 ms. */
  readonly quota: { readonly limit: number; readonly windowMs: number } | null;
  /** `Burst-RateLimit-Reset` in seconds (default) or ms since the epoch. */
  readonly resetUnit: 's' | 'ms';
  /** Whether 200 answers carry the quota headers too; default true. */
  readonly quotaHeadersOn200: boolean;
  /** The daily `RateLimit-*` headers, which concern publishing and mean nothing for log reads; default null. */
  readonly daily: { readonly limit: number; readonly remaining: number } | null;
  /** The body of a 429. */
  readonly quotaBody: 'json' | 'text';
  /** How long after its time an entry becomes visible; default 300 to 8000 ms. */
  readonly lateness: { readonly minMs: number; readonly maxMs: number };
  /** Entries are ordered by their writing, up to this much after their time; default 3. */
  readonly disorderMs: number;
  /** The order within one ms of writing. */
  readonly ties: 'written' | 'reversed' | 'shuffled';
  /** How the cursor looks when the last page was given. */
  readonly cursorAtEnd: 'absent' | 'empty' | 'null';
  /** Whether a full last page still has a cursor, behind which is an empty page; default false. */
  readonly emptyLastPage: boolean;
  /** What a cursor brings that is none, or too old. */
  readonly badCursor: 'error' | 'start_over' | 'empty';
  /** A cursor older than this is bad; null (default): cursors live for ever. */
  readonly cursorMaxAgeMs: number | null;
  /** How history names labels: `labels` (default; the SDK), `label` (the page), or both. */
  readonly labels: 'labels' | 'label' | 'both';
  /** What history writes for a cancelled message: `CANCELED` was recorded (default), `CANCELLED` is documented. */
  readonly cancelled: 'CANCELED' | 'CANCELLED';
  /** Whether history spells `responseHeaders`, `retryDelayExpression` as documented (default) or as seen elsewhere. */
  readonly spelling: 'documented' | 'other';
  /** Whether history's redacted bodies stand as they are (default) or in base64 like the others. */
  readonly redacted: 'plain' | 'base64';
}

/** As recorded from the live service, as far as that is known. */
export const QSTASH_DEFAULTS: QstashBehaviour = {
  retentionMs: 3 * 86_400_000,
  envelope: 'events',
  maxCount: 100,
  overMax: 'clamp',
  quota: { limit: 100, windowMs: 1000 },
  resetUnit: 's',
  quotaHeadersOn200: true,
  daily: null,
  quotaBody: 'json',
  lateness: { minMs: 300, maxMs: 8000 },
  disorderMs: 3,
  ties: 'written',
  cursorAtEnd: 'absent',
  emptyLastPage: false,
  badCursor: 'error',
  cursorMaxAgeMs: null,
  labels: 'labels',
  cancelled: 'CANCELED',
  spelling: 'documented',
  redacted: 'plain',
};
