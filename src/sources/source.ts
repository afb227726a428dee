import type { ZodObject } from 'zod';
import type { Clock } from '../clock.ts';
import type { LogkeepError } from '../errors.ts';
import type { Cursor, Ms, Span, StreamId } from '../model.ts';
import type { Redactor } from '../redact.ts';
import type { Http } from './http.ts';
import type { RowParts, SourceTables } from './tables.ts';

/** An entry that becomes a row. All but its key and time may be made only when asked for, from its page's bytes. */
export interface Row {
  readonly timeMs: Ms;
  /** `id:ms`: what tells it apart from the stream's other entries. */
  readonly key: string;
  /** What it adds to the stages. Valid until another row is asked for its own, and as long as the page's memory is. */
  parts(): RowParts;
  /** The entry's JSON text, redacted, for quarantine when a twin clashes. */
  rawText(): string;
}

/** Whether an entry has become a row. */
export function isRow(made: Row | Reject): made is Row {
  return 'parts' in made;
}

/** Why an entry cannot become a row. */
export const REJECT_REASONS = [
  'not_an_object',
  'no_time',
  'no_id',
  'time_out_of_bounds',
  'identity_clash',
  'too_large',
] as const;
export type RejectReason = (typeof REJECT_REASONS)[number];

/** An entry that cannot become a row: it waits in quarantine. */
export interface Reject {
  readonly reason: RejectReason;
  readonly timeMs: Ms | null;
  /** The entry's JSON text, redacted; escaped by the store. */
  readonly rawText: string;
}

/** What one HTTP answer holds, complete: anything less is an error. */
export interface Page {
  /** Its entries, in order, to be gone through once: each is made as it is asked for, and none need outlive its use. */
  readonly entries: Iterable<Row | Reject>;
  /** Length of the decoded body. */
  readonly bytes: number;
  /** Where the next page begins; null when the chain has ended. */
  readonly next: Cursor | null;
  /** The answer's Date header, in ms; null if it had none. */
  readonly dateMs: Ms | null;
  /** Ascending streams: every entry of the window before this time has been given. Null: not known before the end. */
  readonly readTo: Ms | null;
  /**
   * Gives the answer's memory to the next one: nothing made of this page may be used any more, its rows included. Need
   * not be called; absent: nothing is to be given back.
   */
  readonly release?: () => void;
  /** Fields and states that this version does not know, such as `field:flowControlKey`; complete behind the entries. */
  readonly unknown: readonly string[];
}

/** What reading cost; a stream adds to it as it goes. */
export interface Meter {
  requests: number;
  retries: number;
  /** Waits for quota, and their length. */
  waits: number;
  waitMs: number;
  bytes: number;
}

/** A meter at zero. */
export function createMeter(): Meter {
  return { requests: 0, retries: 0, waits: 0, waitMs: 0, bytes: 0 };
}

/** What reading one window needs. */
export interface ReadOptions {
  readonly window: Span;
  /** Resume here; null: from the start. */
  readonly cursor: Cursor | null;
  /** How old that cursor is already; absent: it is new. */
  readonly cursorAgeMs?: number;
  /** Whether an entry beyond the body cap is on record at `window.to`, which an API may take for a part of the window. */
  readonly tooLongAtEnd?: boolean;
  readonly signal: AbortSignal;
  readonly meter: Meter;
  /** Called before a wait for quota of about `waitMs`, so that what is in hand can be committed. */
  readonly onWait?: (waitMs: number) => void;
  /** 0 (first) to 9, as `Turn.priority` of the gate; absent: as the live log. */
  readonly priority?: number;
  /** Takes one request from an allowance, before each try of each request; false: not to be sent. Absent: no bound. */
  readonly mayRequest?: () => boolean;
  /** A try failed, and the request is about to be sent again for the `retry`-th time. */
  readonly onRetry?: (failure: LogkeepError, retry: number) => void;
}

/** What every request of a read is given. */
export type RequestOptions = Omit<ReadOptions, 'window' | 'cursor' | 'cursorAgeMs' | 'tooLongAtEnd'>;

/** What counting one window needs, which is of whole hours and a day at most. */
export type CountOptions = Omit<ReadOptions, 'cursor' | 'cursorAgeMs' | 'tooLongAtEnd'>;

/** How many entries the API counts in the hour that begins at `fromMs`. */
export interface HourCount {
  readonly fromMs: Ms;
  readonly count: number;
}

/** What the API last said about its rations. */
export interface Quota {
  readonly limit: number | null;
  readonly remaining: number | null;
  readonly resetMs: Ms | null;
  /** Length of a window in ms; null or absent: not told. */
  readonly periodMs?: number | null;
  /** Whose ration it is, without the secret: equal where streams share one. Absent: not known. */
  readonly credential?: string;
}

/** What `check` learnt of a stream from one cheap request. */
export interface Probe {
  /** Server's Date minus the local clock, in ms. */
  readonly skewMs: number | null;
  readonly quota: Quota;
}

/** Which entries the API shows a stream: those of the account for which every filter holds. */
export interface Scope {
  /** Host and account: equal where two streams read from the same log. */
  readonly account: string;
  /** By what is filtered: the values of which an entry must have one. Empty: every entry. */
  readonly filters: Readonly<Record<string, readonly string[]>>;
  /** Filters of what an entry has several of: streams with different values there may still show the same entry. */
  readonly manyValued?: readonly string[];
}

/** One log of a source, open for reading. Reading has no effect but requests: all progress is the store's. */
export interface Stream {
  readonly id: StreamId;
  readonly source: string;
  /** Hash of all that decides which entries the API shows: host, account, filters, tier. */
  readonly fingerprint: string;
  readonly scope: Scope;
  /** `ascending`: coverage may grow with each page. `descending`: only when the chain ends. */
  readonly order: 'ascending' | 'descending';
  /** Most entries that one answer brings. */
  readonly pageSize: number;
  /** A cursor older than this is not used; null: no limit known. */
  readonly cursorMaxAgeMs: number | null;
  /** Requests that reading a window of less than a page takes; absent: one. */
  readonly leastRequests?: number;
  readonly tables: SourceTables;
  /**
   * Pages of one window, in order, until the chain ends. Throws LogkeepError: `cursor` (lost), `timeout`
   * (plan a smaller window), `oversize` (with `atMs`), `protocol`, `auth`, `request`, `unavailable` (retries
   * or the allowance are used up, or the time is), `aborted`. A page that was given was complete.
   */
  read(options: ReadOptions): AsyncIterable<Page>;
  /** What a page makes of one entry, from its JSON text: for entries that waited in quarantine. */
  normalise(text: string): Row | Reject;
  /**
   * How many entries a window has by the API's own counting, by hour, in one request; hours without any are left
   * out. Absent where the API does not count. Throws as `read` does.
   */
  readonly count?: (options: CountOptions) => Promise<readonly HourCount[]>;
  /** One cheap request; what it takes is added to `meter`, if one is given. */
  probe(signal: AbortSignal, meter?: Meter): Promise<Probe>;
  quota(): Quota;
}

/** Settings that every stream has, whatever its source; declared in `config/declaration.ts`. Times are ms. */
export interface StreamSettings {
  readonly id: StreamId;
  readonly source: string;
  /** Where the first read begins: a span back from now, or a fixed time. */
  readonly since: { readonly agoMs: number } | { readonly atMs: Ms };
  readonly retentionMs: number;
  /** Where `since` was not said: how far back a first read looks, for what the API may hold beyond the retention. */
  readonly reachMs?: number;
  readonly settleMs: number;
  /** In force where `overlapAuto` says nothing else. */
  readonly overlapMs: number;
  /** True: the overlap follows from how late entries come, as far as that is known. */
  readonly overlapAuto: boolean;
  /** The age from which on a sweep reads once more; what it finds unchanged is settled. */
  readonly sweepAfterMs: number;
  /** When the scheduler sweeps: a cron expression in UTC. */
  readonly sweepSchedule: string;
  /** When the scheduler catches up: a cron expression in UTC, with optional seconds. */
  readonly schedule: string;
  /** Entries asked for per request. */
  readonly pageSize: number;
  /** Requests in flight per credential. */
  readonly concurrency: number;
  /** Least time between the starts of two requests of one credential. */
  readonly spacingMs: number;
  /** Share of the quota (0 to 1) left for the organisation's other tools. */
  readonly reserve: number;
  readonly timeoutMs: number;
  /** How long one request may be retried, waits for quota not counted. */
  readonly retryMs: number;
  readonly maxBodyBytes: number;
  /** The source's own settings, checked by its `settings`. */
  readonly own: unknown;
}

/** What opening a stream needs; all of it is shared by the streams of a process. */
export interface OpenOptions {
  readonly clock: Clock;
  readonly redactor: Redactor;
  /** The connections and gates of the process (`createHttp`); who opened it closes it. */
  readonly http: Http;
}

/** One external log API: all that logkeep knows of it is in its folder and behind this. */
export interface Source {
  readonly name: string;
  /** Settings of its own, as they stand in logkeep.yaml (snake_case, each with a description). */
  readonly settings: ZodObject;
  /** Defaults of the shared settings that differ by source, as they would stand in logkeep.yaml. */
  readonly defaults: Readonly<Record<string, string | number>>;
  /** The stream that environment variables alone declare. Present when every `required` variable is set. */
  readonly environment: {
    readonly stream: string;
    readonly variables: readonly {
      readonly name: string;
      readonly setting: string;
      readonly required: boolean;
      readonly help: string;
    }[];
  };
  /** The longest that the API keeps entries on any usual plan, in ms; absent: the retention. */
  readonly reachMs?: number;
  /** Settings that hold secrets: masked wherever settings are shown. */
  readonly secrets: readonly string[];
  /** Opens one stream. Does no request. */
  open(settings: StreamSettings, options: OpenOptions): Stream;
}
